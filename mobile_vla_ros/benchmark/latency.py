"""Offline latency: the plain window and the stream, stage by stage, in one alternating run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mobile_vla_ros.benchmark.floor import count_work, measure_floor
from mobile_vla_ros.benchmark.frames import BenchmarkError, endless
from mobile_vla_ros.benchmark.machine import describe_machine
from mobile_vla_ros.benchmark.plain import Plain, PlainPasses
from mobile_vla_ros.benchmark.samples import Samples
from mobile_vla_ros.pictures import decode_compressed
from mobile_vla_ros.stats.percentiles import percentiles

if TYPE_CHECKING:
    from mobile_vla_ros.policy import Policy

MODES = ("stream", "window", "both")
DEADLINE = 0.2
INSTRUCTION = "Navigate around obstacles and reach the front of the beverage bottle on the left"


@dataclass
class LatencyResult:
    """What ``measure_latency`` found; times in seconds.

    Attributes:
        machine: see ``describe_machine``.
        model: kind, parameters, bytes, device, dtype, window and chunk.
        modes: mode -> {"stages": {name: summary}, "throughput", "missed_deadlines"}.
        stream_over_window: median over the pairs of window time / stream time.
        lean_over_plain: median over the pairs of the lean frame's time / the same frame's through
            transformers' own forward with its logits.
        max_action_difference: largest difference of the two modes' normalised actions.
        floor: see ``Floor``.
        memory: peak bytes: anonymous while loading and while running, and on the device.
        samples: raw seconds, mode -> stage -> list.
    """

    machine: dict[str, Any]
    model: dict[str, Any]
    modes: dict[str, Any]
    stream_over_window: float | None
    lean_over_plain: float | None
    lean_pairs: int
    max_action_difference: float | None
    floor: Any
    memory: dict[str, Any]
    samples: dict[str, dict[str, list[float]]] = field(repr=False, default_factory=dict)


def summary(seconds: Sequence[float]) -> dict[str, float]:
    """p50, p90, p99, max, mean, jitter (standard deviation) and count of durations."""
    values = np.asarray(seconds, np.float64)
    return {
        **percentiles(values),
        "max": float(values.max()),
        "mean": float(values.mean()),
        "jitter": float(values.std()),
        "count": len(values),
    }


def once(seconds: float) -> dict[str, float]:
    """The summary of something that happens once."""
    return dict.fromkeys(("p50", "p90", "p99", "max"), seconds) | {"count": 1}


def measure_latency(
    policy: Policy,
    frames: Sequence[bytes],
    *,
    mode: str = "both",
    runs: int = 30,
    warm_up: int = 3,
    lean_pairs: int = 15,
    instruction: str = INSTRUCTION,
    plain: Plain | None = None,
    tick: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> LatencyResult:
    """Times frames through a policy that drives.

    In each run the stream takes one new frame (decode, preprocess, vision, text, head), and the
    window mode computes all its frames anew, as the original code does (see ``plain``). Both see
    the same frames, in turns, so that a machine that slows down slows both.

    Args:
        policy: loaded; it must be able to drive.
        frames: JPEG frames.
        mode: ``stream``, ``window`` or ``both``.
        runs: measured runs.
        warm_up: runs before them, not counted; the very first is reported as ``first_call``.
        lean_pairs: pairs of single frames for ``lean_over_plain``; 0 leaves it out.
        instruction: what the policy is told.
        plain: the same policy's plain passes, where making ready to drive changes how its weights
            lie (``Policy.packs``); by default they are run on ``policy`` itself.
        tick: progress: called with what is measured, how many are done, and of how many.

    Raises:
        BenchmarkError: an unknown mode, too few runs, or ``plain`` is needed and not given.
        PolicyError: the policy cannot drive.
    """
    if mode not in MODES:
        raise BenchmarkError(f"--mode is {mode!r}: use {', '.join(MODES)}")
    if runs < 1:
        raise BenchmarkError(f"--runs is {runs}: at least one is needed")
    policy.require_driving()
    machine = describe_machine()
    if plain is None and needs_plain(mode, lean_pairs):
        if policy.packs:
            raise BenchmarkError("a policy that packs its weights needs others for plain passes")
        plain = PlainPasses(policy, instruction)
    if policy.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(policy.device)
    drive = _Drive(policy, frames, instruction, plain)
    first_call, warming, model, work = drive.start()
    differences = []
    for run in range(-warm_up, runs):
        tick("warm-up" if run < 0 else "frames", max(run, 0), runs)
        difference = drive.step(run, mode)
        if difference is not None:
            differences.append(difference)
    lean = None
    if plain is not None:
        lean = drive.lean_pairs(plain, lean_pairs, tick)

    seconds = drive.samples.seconds
    modes = _modes(seconds, first_call, warming)
    device_bytes = None
    if policy.device.type == "cuda":
        device_bytes = torch.cuda.max_memory_allocated(policy.device)
    step = float(np.median(seconds["stream" if "stream" in seconds else "window"]["total"]))
    return LatencyResult(
        machine=machine,
        model=model,
        modes=modes,
        stream_over_window=_ratio(seconds) if mode == "both" else None,
        lean_over_plain=lean,
        lean_pairs=lean_pairs,
        max_action_difference=max(differences) if differences else None,
        floor=measure_floor(work, policy.device, policy.dtype, step),
        memory={"device_peak": device_bytes},
        samples=seconds,
    )


def _ratio(seconds: Mapping[str, Mapping[str, Sequence[float]]]) -> float:
    """How many times the stream's step the window takes, pair by pair."""
    window, stream = (np.array(seconds[name]["total"]) for name in ("window", "stream"))
    return float(np.median(window / stream))


class _Drive:
    """A stream and the plain way through the same frames, timed."""

    def __init__(
        self, policy: Policy, frames: Sequence[bytes], instruction: str, plain: Plain | None
    ) -> None:
        self.samples = Samples(policy.device)
        self._policy = policy
        self._instruction = instruction
        self._plain = plain
        self._stream = policy.stream(instruction)
        self._source = endless(frames)
        self._stamp = 0.0
        self._image = np.empty(0, np.uint8)

    def start(self) -> tuple[float, float, dict[str, Any], Any]:
        """First call and warm-up (s), the model, its work per frame; then fills the window."""
        first = self._look(next(self._source))
        begin = self.samples.now()
        self._stream.step(first, 0.0)
        first_call = self.samples.now() - begin
        # Counted before the weights are packed, which hides them.
        model = describe_model(self._policy)
        work = count_work(self._policy, self._instruction)
        begin = self.samples.now()
        self._policy.warm_up(self._instruction, first.shape[:2])
        warming = self.samples.now() - begin
        if self._plain is not None:
            self._plain.remember(first)
        # The window is filled before anything counts, so that every run has all its frames.
        for _ in range(1, self._policy.config.window_size):
            image = self._look(next(self._source))
            self._stamp += self._policy.config.frame_period
            self._stream.step(image, self._stamp)
            if self._plain is not None:
                self._plain.remember(image)
        return first_call, warming, model, work

    def step(self, run: int, mode: str) -> float | None:
        """One new frame both ways, or one; how far their normalised actions are apart."""
        self.samples.recording = run >= 0
        self._stamp += self._policy.config.frame_period
        jpeg = next(self._source)
        image = self._look(jpeg)
        if self._plain is not None:
            self._plain.remember(image)
        actions: dict[str, np.ndarray] = {}
        # Who goes first changes from run to run.
        for name in ("stream", "window") if run % 2 else ("window", "stream"):
            if mode in (name, "both"):
                ways = {"stream": lambda: self._streamed(jpeg, image), "window": self._windowed}
                actions[name] = ways[name]()
        if mode in ("stream", "both"):
            _stream_stages(self._policy, self.samples, image, self._instruction)
        if len(actions) < 2:
            return None
        return float(np.abs(actions["stream"] - actions["window"]).max())

    def lean_pairs(
        self, plain: Plain, pairs: int, tick: Callable[[str, int, int], None]
    ) -> float | None:
        """Median of the lean frame's time over the plain one's, of the newest frame."""
        policy, told = self._policy, self._instruction
        return _lean_pairs(policy, plain, self.samples, self._image, told, pairs, tick)

    def _look(self, jpeg: bytes) -> np.ndarray:
        self._image = decode_compressed(jpeg)
        return self._image

    def _windowed(self) -> np.ndarray:
        assert self._plain is not None
        actions, seconds_of = self._plain.window()
        for stage, duration in seconds_of.items():
            self.samples.add("window", stage, duration)
        return actions

    def _streamed(self, jpeg: bytes, image: np.ndarray) -> np.ndarray:
        with self.samples.stage("stream", "decode"):
            decode_compressed(jpeg)
        with self.samples.stage("stream", "total"):
            chunk = self._stream.step(image, self._stamp)
        return chunk.normalised


def _modes(
    seconds: dict[str, dict[str, list[float]]], first_call: float, warming: float
) -> dict[str, Any]:
    modes: dict[str, Any] = {
        name: _mode(seconds[name]) for name in ("stream", "window") if name in seconds
    }
    if "stream" in modes:
        for stage, seconds_once in (("first_call", first_call), ("warm_up", warming)):
            modes["stream"]["stages"][stage] = once(seconds_once)
    return modes


def _mode(seconds: dict[str, list[float]]) -> dict[str, Any]:
    totals = np.array(seconds["total"])
    return {
        "stages": {stage: summary(values) for stage, values in seconds.items()},
        "throughput": float(1 / totals.mean()),
        "missed_deadlines": int((totals > DEADLINE).sum()),
        "deadline": DEADLINE,
    }


def needs_plain(mode: str, lean_pairs: int) -> bool:
    """Whether ``measure_latency`` sets anything against the plain way."""
    return mode != "stream" or lean_pairs > 0


def describe_model(policy: Policy) -> dict[str, Any]:
    """Which model was measured, in which number format, on what."""
    config = policy.config
    parameters = list(policy.model.parameters())
    return {
        "source": str(policy.provenance.source),
        "kind": policy.provenance.kind,
        "parameters": sum(p.numel() for p in parameters),
        "bytes": sum(p.numel() * p.element_size() for p in parameters),
        "device": str(policy.device),
        "dtype": policy.precision.name,
        "window_size": config.window_size,
        "chunk_size": config.chunk_size,
        "image_size": config.image_size,
    }


@torch.inference_mode()
def _stream_stages(policy: Policy, samples: Samples, image: np.ndarray, instruction: str) -> None:
    """The stream's stages one by one; their sum is a little more than the step in one go."""
    with samples.stage("stream", "preprocess"):
        pixels = policy.preprocess(image)
    with samples.stage("stream", "vision"):
        context = policy.encode_images(pixels)
    context = context.to(policy.dtype)
    with samples.stage("stream", "text"):
        features = policy.encode_frames(None, instruction, context=context)
    features = features[None].expand(1, policy.config.window_size, -1, -1).contiguous()
    with samples.stage("stream", "head"):
        policy.decode(features)


@torch.inference_mode()
def _lean_pairs(
    policy: Policy,
    plain: Plain,
    samples: Samples,
    image: np.ndarray,
    instruction: str,
    pairs: int,
    tick: Callable[[str, int, int], None],
) -> float | None:
    if not pairs:
        return None
    pixels = policy.preprocess(image)

    def lean() -> None:
        with samples.stage("frame", "lean"):
            policy.encode_frames(pixels, instruction)

    def plainly() -> None:
        samples.add("frame", "plain", plain.frame())

    for pair in range(-1, pairs):
        tick("lean against plain", max(pair, 0), pairs)
        samples.recording = pair >= 0
        for work in (lean, plainly) if pair % 2 else (plainly, lean):
            work()
    times = samples.seconds["frame"]
    return float(np.median(np.array(times["lean"]) / np.array(times["plain"])))
