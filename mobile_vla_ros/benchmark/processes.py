"""Node processes for a measurement: a namespace of their own, chosen cores, a sure end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from mobile_vla_ros.benchmark.frames import BenchmarkError
from mobile_vla_ros.fastdds import image_room
from mobile_vla_ros.launching import parameter_value

END_SECONDS = 20.0


class NodeProcesses:
    """Starts node executables as a robot's launch file would; ``with`` ends them.

    What they log goes to files, so that none of them ever waits for a reader.

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
        self._logs = tempfile.TemporaryDirectory(prefix="mobile_vla_logs_")

    def __enter__(self) -> NodeProcesses:
        return self

    def __exit__(self, *_reason: object) -> None:
        for _, process in reversed(self._running):
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        for _, process in reversed(self._running):
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._logs.cleanup()

    def start(
        self, node: str, *ros_arguments: str, listen: bool = False, **parameters: Any
    ) -> subprocess.Popen[str]:
        """Starts ``mobile_vla_ros.nodes.<node>``.

        Args:
            node: module of the node below ``nodes``, such as ``tools.probe_node``.
            ros_arguments: further ``--ros-args``, such as remappings.
            listen: open its standard output (and errors) as pipes, for a caller that reads them.
            parameters: of the node.
        """
        given = [
            part
            for name, value in parameters.items()
            for part in ("-p", f"{name}:={_yaml(value)}")
        ]
        return self.run(
            node,
            *("-m", f"mobile_vla_ros.nodes.{node}", "--ros-args"),
            *("-r", f"__ns:={self.namespace}", *ros_arguments, *given),
            listen=listen,
        )

    def run(self, name: str, *arguments: str, listen: bool = False) -> subprocess.Popen[str]:
        """Starts this Python with ``arguments`` on the chosen cores."""
        cores = self.cores
        with open(self._log(name), "w", encoding="utf-8") as log:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                env=self._environment,
                stdout=subprocess.PIPE if listen else log,
                stderr=subprocess.PIPE if listen else log,
                text=True,
                # Inherited by what it starts in turn.
                preexec_fn=lambda: os.sched_setaffinity(0, cores),
            )
        self._running.append((name, process))
        return process

    def check(self) -> None:
        """Raises BenchmarkError when one of them has ended with a failure."""
        for name, process in self._running:
            if process.poll() not in (None, 0):
                raise BenchmarkError(f"{name} has ended: {self.complaint(name, process)}")

    def complaint(self, name: str, process: subprocess.Popen[str]) -> str:
        """The last line an ended process wrote about its failure."""
        text = process.stderr.read() if process.stderr else self._log(name).read_text("utf-8")
        lines = text.strip().splitlines()
        return lines[-1] if lines else f"status {process.returncode}, without a word"

    def _log(self, name: str) -> Path:
        return Path(self._logs.name) / f"{name}.log"


def environment_with_image_room() -> dict[str, str]:
    """The caller's environment, with room for images in Fast DDS unless there are profiles."""
    environment = dict(os.environ)
    share = Path("share", "mobile_vla_ros")
    places = [
        Path(__file__).resolve().parents[2],
        *(Path(prefix) / share for prefix in environment.get("AMENT_PREFIX_PATH", "").split(":")),
        Path(sys.prefix) / share,
    ]
    for place in places:
        if room := image_room(place, environment):
            return environment | room
    return environment


def _yaml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return parameter_value(str(value)) if isinstance(value, (str, Path)) else str(value)
