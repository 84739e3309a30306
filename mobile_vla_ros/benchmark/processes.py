"""Node processes for a benchmark: in a namespace of their own, on chosen cores, ended for sure."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from mobile_vla_ros.benchmark.frames import BenchmarkError

END_SECONDS = 10.0
_PROFILES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")


class NodeProcesses:
    """Starts node executables as a robot's launch file would; ``with`` ends them.

    Args:
        namespace: keeps them apart from a robot on the same network.
        cores: how many CPU cores all of them share; 0 takes what there is.
    """

    def __init__(self, namespace: str, cores: int = 0) -> None:
        available = sorted(os.sched_getaffinity(0))
        self.namespace = namespace
        self.cores = available[:cores] if cores else available
        self._environment = environment_with_image_room()
        self._running: list[tuple[str, subprocess.Popen[str]]] = []

    def __enter__(self) -> NodeProcesses:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        for _, process in reversed(self._running):
            if process.poll() is None:
                process.terminate()
        for _, process in reversed(self._running):
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def start(self, node: str, *ros_arguments: str, **parameters: Any) -> subprocess.Popen[str]:
        """Starts ``mobile_vla_ros.nodes.<node>``; its output is kept for ``complaint``."""
        given = [
            part
            for name, value in parameters.items()
            for part in ("-p", f"{name}:={_yaml(value)}")
        ]
        return self.run(
            node,
            *("-m", f"mobile_vla_ros.nodes.{node}", "--ros-args"),
            *("-r", f"__ns:={self.namespace}", *ros_arguments, *given),
        )

    def run(self, name: str, *arguments: str) -> subprocess.Popen[str]:
        """Starts this Python with ``arguments`` on the chosen cores."""
        cores = self.cores
        process = subprocess.Popen(
            [sys.executable, *arguments],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
        self._running.append((name, process))
        return process

    def check(self) -> None:
        """Raises BenchmarkError when one of them has ended by itself."""
        for name, process in self._running:
            if process.poll() not in (None, 0):
                raise BenchmarkError(f"{name} has ended: {self.complaint(process)}")

    @staticmethod
    def complaint(process: subprocess.Popen[str]) -> str:
        """The last line an ended process wrote about its failure."""
        assert process.stderr is not None
        lines = process.stderr.read().strip().splitlines()
        return lines[-1] if lines else f"status {process.returncode}, without a word"


def environment_with_image_room() -> dict[str, str]:
    """The caller's environment, with room for images in Fast DDS unless there are profiles."""
    environment = dict(os.environ)
    profiles = Path(__file__).resolve().parents[2] / "config" / "fastdds.xml"
    if profiles.is_file() and not any(environment.get(name) for name in _PROFILES):
        environment |= dict.fromkeys(_PROFILES, str(profiles))
    return environment


def _yaml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}'" if isinstance(value, str) else str(value)
