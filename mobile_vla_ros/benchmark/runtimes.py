"""Runtimes and number formats side by side: whole stream steps in turns, and each one's floor."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from mobile_vla_ros.benchmark.frames import BenchmarkError
from mobile_vla_ros.benchmark.memory import anonymous_bytes
from mobile_vla_ros.processor import threads

INSTRUCTION = "Navigate around obstacles and reach the front of the beverage bottle on the left"
COPY_BYTES = 256 * 2**20
SIDE = 1536


@dataclass(frozen=True)
class Contender:
    """One way to run the policy.

    Attributes:
        runtime: ``torch`` or ``onnx``.
        dtype: as ``load_policy`` takes it.
        load: loads it.
    """

    runtime: str
    dtype: str
    load: Callable[[], Any]

    @property
    def name(self) -> str:
        """As the table calls it."""
        return f"{self.runtime} {self.dtype}"


def compare_runtimes(
    contenders: Sequence[Contender],
    *,
    runs: int = 8,
    image_shape: tuple[int, int] = (720, 1280),
    tick: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> dict[str, Any]:
    """Times whole stream steps, each contender against the first, both in turns.

    Two policies are held at a time. Each pair sees the same frames, and who goes first changes
    from run to run, so that a machine that slows down slows both.

    Args:
        contenders: at least one; the first is what the others are set against.
        runs: pairs.
        image_shape: height and width of the frames.
        tick: progress: called with what is measured, how many are done, and of how many.

    Returns:
        ``rows``: per contender ``runtime``, ``dtype``, ``seconds`` (p50), ``base_seconds`` (the
        first one's p50 in the same pairs), ``ratio`` (median over the pairs), ``difference``
        (largest of normalised actions), ``bytes`` (anonymous memory after loading) and
        ``floor`` (see ``floor_of``).

    Raises:
        BenchmarkError: no contender.
    """
    if not contenders:
        raise BenchmarkError("there is nothing to compare")
    random = np.random.default_rng(0)
    frames = [random.integers(0, 256, (*image_shape, 3), dtype=np.uint8) for _ in range(4)]
    first = contenders[0]
    base, base_bytes = _loaded(first)
    operations = work_of(base)
    rows = []
    for contender in contenders:
        if contender is first:
            policy, size = base, base_bytes
        else:
            policy, size = _loaded(contender)
        told = partial(_tell, tick, contender.name, runs)
        times = _pairs(base, policy, frames, runs, told)
        seconds = float(np.median(times["own"]))
        rows.append(
            {
                "runtime": contender.runtime,
                "dtype": contender.dtype,
                "computes_in": str(policy.dtype).removeprefix("torch."),
                "seconds": seconds,
                "base_seconds": float(np.median(times["base"])),
                "ratio": float(np.median(np.array(times["own"]) / np.array(times["base"]))),
                "difference": times["difference"],
                "bytes": size,
                "floor": floor_of(operations, policy, seconds),
            }
        )
        del policy
    return {"first": first.name, "runs": runs, "operations": operations, "rows": rows}


def work_of(policy: Any) -> int:
    """Floating-point operations of one frame in linear layers and attention, about.

    From the sizes alone, so that it is the same whatever runs the policy.
    """
    sizes = policy.sizes
    tokens = sizes["tokens"] + len(policy.token_ids(INSTRUCTION)) - 1 + policy.config.latent
    vision = _layer(sizes["vision_width"], sizes["vision_inner"], sizes["patches"])
    text = _layer(sizes["width"], sizes["text_inner"], tokens)
    # In the last text layer only keys and values are computed for every token.
    last = 2 * tokens * 2 * sizes["width"] ** 2
    return sizes["vision_layers"] * vision + (sizes["text_layers"] - 1) * text + last


def _layer(width: int, inner: int, rows: int) -> int:
    return 2 * rows * (4 * width**2 + 2 * width * inner + 2 * rows * width)


def floor_of(operations: int, policy: Any, seconds: float) -> dict[str, Any]:
    """How fast this machine could be at best in a policy's number format.

    Returns:
        ``matrix_rate`` (operations/s of a large product in the format, or None where nothing here
        can measure it), ``copy_bandwidth`` (bytes/s), ``weight_bytes``, ``seconds`` (the larger
        bound), ``measured_over_floor``.
    """
    dtype = str(policy.dtype).removeprefix("torch.")
    rate = matrix_rate(dtype)
    bandwidth = copy_bandwidth()
    bounds = [policy.weight_bytes / bandwidth]
    if rate is not None:
        bounds.append(operations / rate)
    floor = max(bounds)
    return {
        "matrix_rate": rate,
        "copy_bandwidth": bandwidth,
        "weight_bytes": policy.weight_bytes,
        "seconds": floor,
        "measured_over_floor": seconds / floor,
    }


def copy_bandwidth() -> float:
    """Bytes per second of a large copy, read and written bytes counted, best of five."""
    source = np.ones(COPY_BYTES, np.uint8)
    target = np.empty_like(source)
    return 2 * COPY_BYTES / _best(lambda: np.copyto(target, source))


def matrix_rate(dtype: str) -> float | None:
    """Operations per second of a large product on the processor, the fastest of what is installed.

    float32 by numpy, torch and onnxruntime, bfloat16 and float16 by torch, int8 by onnxruntime;
    None where nothing can.
    """
    products = [_numpy_product(dtype), _torch_product(dtype), _onnx_product(dtype)]
    rates = [2 * SIDE**3 / _best(product) for product in products if product is not None]
    return max(rates, default=None)


def _numpy_product(dtype: str) -> Callable[[], Any] | None:
    if dtype != "float32":
        return None
    matrix = np.random.default_rng(0).normal(size=(SIDE, SIDE)).astype(np.float32)
    return lambda: matrix @ matrix


def _torch_product(dtype: str) -> Callable[[], Any] | None:
    if dtype == "int8":
        return None
    try:
        import torch
    except ImportError:
        return None
    matrix = torch.randn(SIDE, SIDE).to(getattr(torch, dtype))
    return lambda: matrix @ matrix


def _onnx_product(dtype: str) -> Callable[[], Any] | None:
    if dtype not in ("float32", "int8"):
        return None
    try:
        import onnxruntime
        from onnx import TensorProto, helper, numpy_helper
    except ImportError:
        return None
    levels = np.random.default_rng(0).integers(-64, 64, (SIDE, SIDE)).astype(np.int8)
    if dtype == "int8":
        operator, kind, result = "MatMulInteger", TensorProto.UINT8, TensorProto.INT32
        given, weight = (levels + 64).astype(np.uint8), levels
    else:
        operator, kind, result = "MatMul", TensorProto.FLOAT, TensorProto.FLOAT
        given = weight = levels.astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node(operator, ["a", "b"], ["c"])],
        "product",
        [helper.make_tensor_value_info("a", kind, [SIDE, SIDE])],
        [helper.make_tensor_value_info("c", result, [SIDE, SIDE])],
        [numpy_helper.from_array(weight, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads()
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda: session.run(None, {"a": given})


def _best(work: Callable[[], Any], repeats: int = 5) -> float:
    work()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return min(times)


def _tell(tick: Callable[[str, int, int], None], name: str, runs: int, run: int) -> None:
    tick(name, run, runs)


def _loaded(contender: Contender) -> tuple[Any, int]:
    before = anonymous_bytes()
    policy = contender.load()
    policy.require_driving()
    policy.warm_up(INSTRUCTION)
    return policy, anonymous_bytes() - before


def _pairs(
    base: Any, policy: Any, frames: list[np.ndarray], runs: int, tick: Callable[[int], None]
) -> dict[str, Any]:
    streams = {"base": base.stream(INSTRUCTION), "own": policy.stream(INSTRUCTION)}
    times: dict[str, list[float]] = {"base": [], "own": []}
    difference = 0.0
    for run in range(-1, runs):
        tick(max(run, 0))
        actions = {}
        for name in ("base", "own") if run % 2 else ("own", "base"):
            begin = time.perf_counter()
            chunk = streams[name].step(frames[run % len(frames)], 0.4 * (run + 1))
            seconds = time.perf_counter() - begin
            actions[name] = chunk.normalised
            if run >= 0:
                times[name].append(seconds)
        difference = max(difference, float(np.abs(actions["base"] - actions["own"]).max()))
    return {**times, "difference": difference}
