"""The programs of robot and station, each in its namespace."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from mobile_vla_ros.fastdds import PROFILE_VARIABLES
from two_machine_bed.networks import ROBOT, ROBOT_ADDRESS, STATION, STATION_ADDRESS

ROOT = Path(__file__).resolve().parents[2]
PORT = 8765
DISCOVERY_PORT = 11811
DISCOVERY_SERVER = Path(sys.executable).with_name("fast-discovery-server")
READY_SECONDS = 90.0
# A server that speaks another version of the protocol, which no release does yet.
OTHER_VERSION = """
import sys
from mobile_vla_ros.serving import wire
wire.PROTOCOL += 1
from mobile_vla_ros.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


class Programs:
    """Processes in the namespaces; all ended at the end.

    Args:
        folder: gets their logs.
        domain: ROS_DOMAIN_ID.
        discovery: how nodes find each other: `multicast`, `peers` or `server`.
    """

    def __init__(self, folder: Path, domain: int, discovery: str = "multicast") -> None:
        self._folder = folder
        self._running: list[subprocess.Popen] = []
        self._environment = {
            **os.environ,
            "ROS_DOMAIN_ID": str(domain),
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET",
            "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
            "HF_HUB_OFFLINE": "1",
            "MUJOCO_GL": "egl",
            "OMP_NUM_THREADS": "1",
            "PYTHONUNBUFFERED": "1",
        }
        self._environment.pop("ROS_LOCALHOST_ONLY", None)
        self._named: dict[str, dict[str, str]] = {ROBOT: {}, STATION: {}}
        if discovery == "peers":
            self._named[ROBOT] = {"ROS_STATIC_PEERS": STATION_ADDRESS}
            self._named[STATION] = {"ROS_STATIC_PEERS": ROBOT_ADDRESS}
        elif discovery == "server":
            place = f"{STATION_ADDRESS}:{DISCOVERY_PORT}"
            self._named = {key: {"ROS_DISCOVERY_SERVER": place} for key in self._named}

    def start(self, where: str, name: str, *arguments: str, **extra: str) -> subprocess.Popen:
        """Starts a python program in a namespace; `extra` is added to its environment."""
        return self.start_program(where, name, sys.executable, *arguments, **extra)

    def start_program(
        self, where: str, name: str, *command: str, **extra: str
    ) -> subprocess.Popen:
        """Starts any program in a namespace."""
        log = open(self._folder / f"{name}.log", "w")  # noqa: SIM115
        process = subprocess.Popen(
            ["ip", "netns", "exec", where, *command],
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**self._environment, **self._named[where], **extra},
            start_new_session=True,
        )
        self._running.append(process)
        return process

    def end(self, process: subprocess.Popen, how: int = signal.SIGINT) -> None:
        """Ends a program, by force when it does not go."""
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, how)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(6)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(5)

    def end_all(self) -> None:
        for process in reversed(self._running):
            self.end(process)

    def wait_for(self, name: str, text: str, seconds: float = READY_SECONDS) -> None:
        """Waits until a program has said something.

        Raises:
            SystemExit: it has not in time.
        """
        path = self._folder / f"{name}.log"
        end = time.monotonic() + seconds
        while text not in (path.read_text(errors="replace") if path.exists() else ""):
            if time.monotonic() > end:
                raise SystemExit(f"{path} has not said '{text}' within {seconds:g} s")
            time.sleep(0.1)


def node(name: str) -> tuple[str, str]:
    """The command of one of our nodes."""
    return "-m", f"mobile_vla_ros.nodes.{name}"


class Bed:
    """Robot and station but for the field; `with Bed(...) as bed` when they are ready to drive.

    Args:
        way: `server` (the policy behind a socket) or `ros` (the node on the station).
        folder: gets logs and the token.
        arguments: of the command line.
        parameters: of the inference node, as ROS arguments.
    """

    def __init__(
        self, way: str, folder: Path, arguments, parameters: tuple[str, ...] = ()
    ) -> None:
        self.way = way
        self.folder = folder
        self.programs = Programs(folder, arguments.domain, arguments.discovery)
        self._discovery = arguments.discovery
        profile = str(ROOT / "config" / arguments.profile)
        self.ros = dict.fromkeys(PROFILE_VARIABLES, profile)
        self._checkpoint = str(arguments.checkpoint)
        self._depth = arguments.depth
        self._parameters = parameters
        self._servers = 0
        self.server: subprocess.Popen | None = None
        self.inference: subprocess.Popen | None = None

    def __enter__(self) -> Bed:
        try:
            if self._discovery == "server":
                self._start_discovery()
            if self.way == "server":
                (self.folder / "token").write_text("two-machines-test-bed")
                self.programs.wait_for(self.start_server(), "ready on")
            self.programs.start(ROBOT, "guard", *node("cmd_vel_guard"), **self.ros)
            self._start_inference()
            self.programs.wait_for("inference", "ready in")
        except BaseException:
            self.programs.end_all()
            raise
        return self

    def __exit__(self, *_) -> None:
        self.programs.end_all()

    @property
    def place(self) -> str:
        """Where the inference node runs."""
        return ROBOT if self.way == "server" else STATION

    @property
    def address(self) -> str:
        """Of the policy server."""
        return f"ws://{STATION_ADDRESS}:{PORT}"

    @property
    def token_file(self) -> str:
        return str(self.folder / "token")

    def _start_discovery(self) -> None:
        found = shutil.which(DISCOVERY_SERVER.name) or str(DISCOVERY_SERVER)
        where = ("-i", "0", "-l", STATION_ADDRESS, "-p", str(DISCOVERY_PORT))
        self.programs.start_program(STATION, "discovery", found, *where)

    def start_server(self, other_version: bool = False) -> str:
        """Starts the policy server; returns the name of its log."""
        self._servers += 1
        name = f"serve_{self._servers}"
        program = ("-c", OTHER_VERSION) if other_version else ("-m", "mobile_vla_ros.cli.main")
        where = ("--host", STATION_ADDRESS, "--port", str(PORT), "--token-file", self.token_file)
        serve = (*program, "serve", self._checkpoint, *where)
        self.server = self.programs.start(STATION, name, *serve)
        return name

    def kill_server(self) -> None:
        """As a crash of the whole machine would: neither it nor its model says goodbye."""
        assert self.server is not None
        os.killpg(self.server.pid, signal.SIGKILL)
        self.server.wait(5)

    def _start_inference(self) -> None:
        drive = ["--ros-args", "-r", "cmd_vel:=policy_cmd_vel", "-p", "stamped:=true"]
        if self.way == "server":
            drive += ["-p", f"server:={self.address}", "-p", f"token_file:={self.token_file}"]
        else:
            drive += ["-p", f"checkpoint:={self._checkpoint}"]
            drive += ["-p", "image_transport:=compressed", "-r", "image:=policy_image"]
            drive += ["-p", f"image_depth:={self._depth}"]
        extra = {} if self.way == "server" else self.ros
        command = (*node("inference_node"), *drive, *self._parameters)
        self.inference = self.programs.start(self.place, "inference", *command, **extra)
