"""Is the driving node punctual? Camera, node and probe as processes, measured over ROS."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mobile_vla_ros.benchmark.frames import BenchmarkError
from mobile_vla_ros.benchmark.machine import describe_machine
from mobile_vla_ros.benchmark.processes import NodeProcesses
from mobile_vla_ros.stats.percentiles import percentiles

CALLBACK_LIMIT = 1e-3
INTERVAL_LIMIT = 5e-3
# Spins one core, as another program of the robot would.
_LOAD = "while True: pass"


@dataclass(frozen=True)
class NodeLoad:
    """What the node has to do.

    Attributes:
        checkpoint: the policy; '' for a random one of ``size``.
        size: size of the random policy.
        rate: camera frames/s.
        width, height: of a frame, pixels.
        control_rate: velocities/s.
        seconds: length of the measurement.
        cores: CPU cores for all processes together.
        busy: whether another program keeps one core busy.
        device, dtype: of the policy.
    """

    checkpoint: str = ""
    size: str = "small"
    rate: float = 10.0
    width: int = 1280
    height: int = 720
    control_rate: float = 20.0
    seconds: float = 30.0
    cores: int = 2
    busy: bool = False
    device: str = "auto"
    dtype: str = "auto"


@dataclass
class NodeResult:
    """What was seen, seconds.

    Attributes:
        interval: p50, p99, max of the time between two velocities, and the largest distance of
            its 99 % from the period (``off_period_p99``).
        chunk_delay: capture of a frame to its chunk heard by another process.
        command_delay: capture of a frame to the first velocity sent after its chunk.
        image_callback: p50 and p99 inside the node, worst second.
        stages: the worker's own times from the diagnostics: decoding, policy.
        frames: chunks heard, and how many there should have been.
        states: every state the node was in.
        problems: what falls short, one sentence each.
    """

    machine: dict[str, Any]
    load: dict[str, Any]
    interval: dict[str, float]
    chunk_delay: dict[str, float]
    command_delay: dict[str, float]
    image_callback: dict[str, float]
    stages: dict[str, float]
    frames: dict[str, int]
    states: list[str]
    problems: list[str] = field(default_factory=list)


def measure_node(
    load: NodeLoad, tick: Callable[[float], None] = lambda seconds: None
) -> NodeResult:
    """Runs camera, inference node and probe, and works out how punctual the node was.

    Raises:
        BenchmarkError: a node did not start, or it never drove.
    """
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = load.checkpoint or _random_checkpoint(Path(folder), load.size)
        with NodeProcesses(f"/benchmark_{os.getpid()}", load.cores) as nodes:
            nodes.start(
                "pattern_node",
                width=load.width,
                height=load.height,
                rate=load.rate,
                command_rate=0.0,
            )
            nodes.start(
                "inference_node",
                checkpoint=checkpoint,
                device=load.device,
                dtype=load.dtype,
                instruction="Navigate around obstacles and reach the front of the bottle",
                stamped=True,
                control_rate=load.control_rate,
                # A standing robot would arrive, and a busy machine may be late: keep measuring.
                arrival_speed=0.0,
                image_timeout=5.0,
                chunk_timeout=5.0,
                max_frame_age=5.0,
            )
            if load.busy:
                nodes.run("load", "-c", _LOAD)
            probe = nodes.start("tools.probe_node", listen=True, seconds=load.seconds)
            heard = _wait(nodes, probe, tick)
    return _result(load, heard)


def _random_checkpoint(folder: Path, size: str) -> str:
    from mobile_vla_ros.policy.random_policies import write_random_checkpoint

    return str(write_random_checkpoint(folder, size))


def _wait(
    nodes: NodeProcesses, probe: subprocess.Popen[str], tick: Callable[[float], None]
) -> dict[str, Any]:
    begin = time.monotonic()
    while True:
        try:
            output, complaint = probe.communicate(timeout=1.0)
            break
        except subprocess.TimeoutExpired:
            tick(time.monotonic() - begin)
            nodes.check()
    if probe.returncode != 0:
        lines = complaint.strip().splitlines() or ["no word"]
        raise BenchmarkError(f"the probe heard nothing to measure: {lines[-1]}")
    return json.loads(output.splitlines()[-1])


def _result(load: NodeLoad, heard: dict[str, Any]) -> NodeResult:
    sent = np.array([row[0] for row in heard["commands"]])
    chunks = np.array(heard["chunks"]).reshape(-1, 2)
    if len(sent) < 10 or len(chunks) < 5:
        raise BenchmarkError(
            f"only {len(sent)} velocities and {len(chunks)} chunks were heard: measure longer"
        )
    period = 1 / load.control_rate
    intervals = np.diff(sent)
    # The first velocity that can know of a chunk is the first one sent after it was heard.
    after = np.searchsorted(sent, chunks[:, 1])
    known = after < len(sent)
    command_delay = sent[after[known]] - chunks[known, 0]
    worst = {
        name: max(
            (float(row[key]) for row in heard["diagnostics"] if _number(row.get(key))),
            default=float("nan"),
        )
        for name, key in (
            ("p50", "image_callback_p50"),
            ("p99", "image_callback_p99"),
        )
    }
    stages = {
        name: float(
            np.median([float(r[key]) for r in heard["diagnostics"] if _number(r.get(key))] or [0])
        )
        for name, key in (
            ("decoding", "image_decoding_p50"),
            ("policy", "encoder_p50"),
            ("frame_to_chunk", "frame_to_chunk_p50"),
        )
    }
    result = NodeResult(
        machine=describe_machine(),
        load=vars(load),
        interval={
            **_summary(intervals),
            "period": period,
            "off_period_p99": percentiles(np.abs(intervals - period))["p99"],
        },
        chunk_delay=_summary(chunks[:, 1] - chunks[:, 0]),
        command_delay=_summary(command_delay),
        image_callback=worst,
        stages=stages,
        frames={"chunks": len(chunks), "expected": round(load.seconds * load.rate)},
        states=heard["states"],
    )
    result.problems = _problems(result)
    return result


def _problems(result: NodeResult) -> list[str]:
    found = []
    if not result.image_callback["p99"] < CALLBACK_LIMIT:
        found.append(
            f"the image callback's p99 is {1e3 * result.image_callback['p99']:.2f} ms, not under 1"
        )
    if result.interval["off_period_p99"] > INTERVAL_LIMIT:
        found.append(
            f"velocities are up to {1e3 * result.interval['off_period_p99']:.1f} ms off their "
            "period (p99), not within 5"
        )
    lost = result.frames["expected"] - result.frames["chunks"]
    if lost > max(2, 0.02 * result.frames["expected"]):
        found.append(f"{lost} of {result.frames['expected']} frames had no chunk")
    return found


def _summary(seconds: np.ndarray) -> dict[str, float]:
    return {**percentiles(seconds), "max": float(seconds.max())}


def _number(text: str | None) -> bool:
    try:
        return text is not None and np.isfinite(float(text))
    except ValueError:
        return False
