"""Does the recorder keep up: a camera process, the recorder and its writer, watched from outside.

The processes are the node executables that a robot runs; nothing here imports them.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mobile_vla_ros.benchmark.frames import BenchmarkError
from mobile_vla_ros.benchmark.machine import cpu_name
from mobile_vla_ros.benchmark.processes import END_SECONDS, NodeProcesses
from mobile_vla_ros.episodes import open_episode

CALLBACK_LIMIT_MS = 1.0
SAVE_LIMIT_SECONDS = 2.0
# Processes start and caches fill in the first part of a run; after that memory must stay.
MEMORY_SETTLED = 0.3
MEMORY_SETTLED_SECONDS = 20
MEMORY_GROWTH_LIMIT = 0.1  # two images of 720p that happen to be on their way are 8 %
SAMPLE_SECONDS = 1.0
COMMAND_RATE = 20.0  # commands/s beside the images
START_SECONDS = 60.0


@dataclass(frozen=True)
class RecorderLoad:
    """What is recorded, and for how long.

    Attributes:
        seconds: duration of the episode.
        width, height: pixels.
        rate: camera frames/s; every one is recorded.
        image_format: ``raw`` or ``jpeg``.
        noise: grey levels of noise in the pictures: how hard they are to compress.
        cores: CPU cores that all processes share; 0 = as many as there are.
        directory: folder for the episode.
        keep: leave the episode there.
    """

    directory: Path
    seconds: float = 60.0
    width: int = 1280
    height: int = 720
    rate: float = 30.0
    image_format: str = "jpeg"
    noise: int = 24
    cores: int = 2
    keep: bool = False


@dataclass
class RecorderResult:
    """What was seen; times in the unit that the name says, memory in bytes.

    ``memory`` holds, per process, the samples of its own resident memory (one per second), without
    what it shares: the frame queue is 60 images of shared memory beside it. ``gaps`` is
    the number of places in the file where consecutive stamps are more than one and a half frame
    periods apart.
    """

    frames_received: int
    frames_written: int
    frames_dropped: int
    frames_lost: int
    gaps: int
    longest_gap: float
    callback_ms: dict[str, float]
    callback_cpu_ms: dict[str, float]
    write_ms: dict[str, float]
    save_seconds: float
    bytes_per_frame: float
    file_bytes: int
    longest_queue: int
    memory: dict[str, list[int]] = field(default_factory=dict)
    memory_growth: dict[str, float] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def measure_recorder(
    load: RecorderLoad, tick: Callable[[float], None] = lambda seconds: None
) -> RecorderResult:
    """Runs camera and recorder for ``load.seconds`` and saves the episode.

    Args:
        load: what to record.
        tick: called about once a second with the seconds recorded so far.

    Raises:
        BenchmarkError: a node did not start, or the recording failed.
    """
    load.directory.mkdir(parents=True, exist_ok=True)
    load_before = os.getloadavg()[0]
    with NodeProcesses(f"/benchmark_{os.getpid()}", load.cores) as nodes:
        used = nodes.cores
        camera = nodes.start(
            "pattern_node",
            width=load.width,
            height=load.height,
            rate=load.rate,
            noise=load.noise,
            command_rate=COMMAND_RATE,
        )
        recorder = nodes.start(
            "recorder_node",
            directory=load.directory,
            mode="frame",
            scenario="benchmark",
            instruction="benchmark",
            image_format=load.image_format,
        )
        session = nodes.start(
            "session_node", listen=True, seconds=float(load.seconds), patience=START_SECONDS
        )
        memory = _watch(session, camera, recorder, tick)
        output, complaint = session.communicate(timeout=END_SECONDS)
    if session.returncode != 0:
        lines = [line for line in complaint.splitlines() if line.startswith("recording_session")]
        raise BenchmarkError(f"the recording failed: {(lines or [complaint])[-1]}")
    status = json.loads(output.splitlines()[-1])
    result = _result(status, load, memory)
    result.machine = {
        "cpu": cpu_name(),
        "cores": len(used),
        "python": platform.python_version(),
        "load_average_before": load_before,
    }
    return result


def _watch(
    session: subprocess.Popen,
    camera: subprocess.Popen,
    recorder: subprocess.Popen,
    tick: Callable[[float], None],
) -> dict[str, list[int]]:
    """Samples memory until the session has ended."""
    memory: dict[str, list[int]] = {"recorder": [], "writer": []}
    start = time.monotonic()
    while session.poll() is None:
        for process, name in ((camera, "camera"), (recorder, "recorder")):
            if process.poll() is not None:
                raise BenchmarkError(f"the {name} process has ended with {process.returncode}")
        with contextlib.suppress(OSError, IndexError):
            memory["recorder"].append(_private_bytes(recorder.pid))
            memory["writer"].append(_private_bytes(_children(recorder.pid)[0]))
        tick(time.monotonic() - start)
        with contextlib.suppress(subprocess.TimeoutExpired):
            session.wait(SAMPLE_SECONDS)
    return memory


def _result(
    status: dict[str, Any], load: RecorderLoad, memory: dict[str, list[int]]
) -> RecorderResult:
    path = Path(status["path"])
    with open_episode(path) as episode:
        gaps = np.diff(episode.image_stamps)
        rows, attributes = len(episode), episode.attributes
    size = path.stat().st_size
    if not load.keep:
        path.unlink()
    result = RecorderResult(
        frames_received=int(attributes["frames_received"]),
        frames_written=rows,
        frames_dropped=int(attributes["frames_dropped"]),
        frames_lost=int(attributes["frames_lost"]),
        gaps=int(np.count_nonzero(gaps > 1.5 / load.rate)),
        longest_gap=float(gaps.max()) if len(gaps) else 0.0,
        callback_ms=status["callback_ms"],
        callback_cpu_ms=status["callback_cpu_ms"],
        write_ms=status["write_ms"],
        save_seconds=float(status["answer_seconds"]),
        bytes_per_frame=size / rows,
        file_bytes=size,
        longest_queue=int(status["longest_queue"]),
        memory=memory,
        memory_growth={name: _growth(samples) for name, samples in memory.items()},
    )
    result.problems = _problems(result)
    return result


def _problems(result: RecorderResult) -> list[str]:
    """What falls short, one sentence each."""
    found = []
    if result.frames_dropped:
        found.append(f"{result.frames_dropped} frames were dropped")
    if result.frames_lost:
        found.append(f"{result.frames_lost} frames were lost on the way")
    if result.callback_ms["p99"] >= CALLBACK_LIMIT_MS:
        found.append(
            f"the callback's p99 is {result.callback_ms['p99']:.2f} ms, not under"
            f" {CALLBACK_LIMIT_MS:g} ms ({result.callback_cpu_ms['p99']:.2f} ms of its own"
            " computing)"
        )
    if result.save_seconds > SAVE_LIMIT_SECONDS:
        found.append(f"saving took {result.save_seconds:.1f} s, more than {SAVE_LIMIT_SECONDS:g}")
    for name, growth in result.memory_growth.items():
        if growth > MEMORY_GROWTH_LIMIT:
            found.append(f"the memory of the {name} grew by {growth:.0%} after it had settled")
    return found


def _growth(samples: list[int]) -> float:
    """Growth of memory from the settled part's beginning to its end, as a share; 0 if short."""
    settled = samples[max(int(len(samples) * MEMORY_SETTLED), MEMORY_SETTLED_SECONDS) :]
    if len(settled) < 10:
        return 0.0
    edge = max(1, len(settled) // 10)
    first, last = np.median(settled[:edge]), np.median(settled[-edge:])
    return float(last / first - 1.0)


def _children(process: int) -> list[int]:
    tasks = Path(f"/proc/{process}/task")
    return [
        int(child)
        for task in tasks.iterdir()
        for child in (task / "children").read_text(encoding="ascii").split()
    ]


def _private_bytes(process: int) -> int:
    """Resident memory less what is shared: the frame queue counts only as far as it was used."""
    pages = Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()
    return (int(pages[1]) - int(pages[2])) * os.sysconf("SC_PAGE_SIZE")
