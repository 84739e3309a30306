"""``mobile_vla benchmark --runtime torch,onnx --dtype ...``: ways to run it, side by side."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobile_vla_ros.cli.output import write_json
from mobile_vla_ros.errors import InputError

if TYPE_CHECKING:
    from mobile_vla_ros.benchmark.runtimes import Contender

RUNTIMES = ("torch", "onnx")
COLUMNS = ("runtime", "dtype", "step", "first", "ratio", "floor", "rate", "memory", "differs")
TORCH_DTYPES = ("float32", "bfloat16", "float16", "int8")


def runtimes(
    checkpoint: str,
    backbone: str,
    config: str,
    random: str,
    *,
    device: str,
    runtime: str,
    dtype: str,
    threads: int,
    runs: int,
    json_file: Path | None,
    with_progress: Any,
) -> None:
    """Measures every runtime in every number format against the first pair, in turns.

    Raises:
        InputError: a word is unknown, or a policy cannot be had in a format.
    """
    from mobile_vla_ros.benchmark.machine import describe_machine
    from mobile_vla_ros.benchmark.runtimes import compare_runtimes

    if threads:
        os.environ["OMP_NUM_THREADS"] = str(threads)
        _set_torch_threads(threads)
    names = _words(runtime, RUNTIMES, "--runtime")
    formats = _words("float32" if dtype == "auto" else dtype, TORCH_DTYPES, "--dtype")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mobile_vla_")))
        if random:
            from mobile_vla_ros.policy import write_random_checkpoint
            from mobile_vla_ros.policy.random_policies import SIZES

            if random not in SIZES:
                raise InputError(f"--random is {random!r}: use {', '.join(reversed(SIZES))}")
            checkpoint = str(write_random_checkpoint(folder / "random", random))
        contenders = [
            _contender(name, kind, checkpoint, backbone, config, device, folder)
            for kind in formats
            for name in names
        ]
        result = with_progress(lambda tick: compare_runtimes(contenders, runs=runs, tick=tick))
    result["machine"] = describe_machine()
    result["checkpoint"] = f"random {random}" if random else checkpoint
    _tell(result)
    write_json(json_file, result)


def _words(text: str, known: tuple[str, ...], option: str) -> list[str]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    unknown = [word for word in words if word not in known]
    if unknown or not words:
        raise InputError(f"{option} is {text!r}: give one or several of {', '.join(known)}")
    return words


def _contender(
    runtime: str,
    dtype: str,
    checkpoint: str,
    backbone: str,
    config: str,
    device: str,
    folder: Path,
) -> Contender:
    from mobile_vla_ros.benchmark.runtimes import Contender
    from mobile_vla_ros.policy import load_policy
    from mobile_vla_ros.runtime.manifest import has_graphs, read_manifest

    source = Path(checkpoint)
    if runtime == "onnx" and not (has_graphs(source) and read_manifest(source).dtype == dtype):
        # One directory at a time for each format, made by what every user has: the command.
        source = folder / dtype
        if not source.exists():
            from mobile_vla_ros.policy.convert import convert

            convert(
                checkpoint,
                source,
                backbone or None,
                config or None,
                dtype=dtype,
                onnx=True,
                accept_error=True,
            )
    load = partial(
        load_policy,
        source,
        backbone=backbone or None,
        config=config or None,
        device=device,
        dtype=dtype,
        runtime=runtime,
    )
    return Contender(runtime, dtype, load)


def _set_torch_threads(threads: int) -> None:
    try:
        import torch
    except ImportError:
        return
    torch.set_num_threads(threads)


def _tell(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    machine = result["machine"]
    print(
        f"{result['checkpoint']}: whole stream steps, {result['runs']} pairs in turns with "
        f"{result['first']}; {machine['cpu']}, {machine['threads']} threads, load "
        f"{machine['load_average']:.1f}"
    )
    table = Table(box=None)
    for title in COLUMNS:
        left = title in ("runtime", "dtype")
        table.add_column(title, justify="left" if left else "right", no_wrap=True)
    for row in result["rows"]:
        floor = row["floor"]
        rate = floor["matrix_rate"]
        table.add_row(
            row["runtime"],
            row["dtype"],
            f"{1e3 * row['seconds']:.4g} ms",
            f"{1e3 * row['base_seconds']:.4g} ms",
            f"{row['ratio']:.3f}",
            f"{1e3 * floor['seconds']:.4g} ms",
            "unknown" if rate is None else f"{rate / 1e9:.4g} GOP/s",
            f"{row['bytes'] / 1e9:.2f} GB",
            f"{row['difference']:.2g}",
        )
    Console().print(table)
