#!/usr/bin/env python3
"""Drives the simulated field with the policy elsewhere, over networks as bad as labs have them.

    sudo .venv/bin/python scripts/two_machines.py --way server --out build/two_machines
    sudo .venv/bin/python scripts/two_machines.py --way ros --conditions clean,loss5 --seeds 3

Two network namespaces on this machine, joined by `bad_link`, stand for robot and station. On the
robot: the field as camera and base, the guard, and an observer that logs. With `--way server` the
inference node is on the robot and `mobile_vla serve` on the station; with `--way ros` the
inference node is on the station and only ROS 2 stands between them.

Needs root and `ip`. Nothing leaves the namespaces, which are removed at the end. Prints a
table in Markdown, and writes every run's figures as JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from bad_link import BadLink, Trouble

from mobile_vla_ros.fastdds import PROFILE_VARIABLES

HERE = Path(__file__).resolve()
ROOT = HERE.parents[1]
ROBOT, STATION = "mvla_robot", "mvla_station"
ROBOT_ADDRESS, STATION_ADDRESS = "10.77.0.1", "10.77.0.2"
PORT = 8765
READY_SECONDS = 90.0
FORGET_SECONDS = 5.0
CHECKPOINT = ROOT / "mobile_vla_ros" / "data" / "demo_policy"


@dataclass(frozen=True)
class Condition:
    """A network.

    Attributes:
        trouble: what it does to every packet.
        breaks: (seconds between the starts of two breaks, seconds each lasts); None for none.
        mode: of the link during a break, see `BadLink.mode`.
        both: whether both directions break.
    """

    trouble: Trouble = field(default_factory=Trouble)
    breaks: tuple[float, float] | None = None
    mode: str = "cut"
    both: bool = True


JITTER = Trouble(delay=0.02, jitter=0.02, ordered=True)
NEAR = Trouble(delay=0.01)
CONDITIONS = {
    "clean": Condition(),
    "delay20": Condition(Trouble(delay=0.02)),
    "jitter": Condition(JITTER),
    "loss1": Condition(replace(JITTER, loss=0.01)),
    "loss5": Condition(replace(JITTER, loss=0.05)),
    "loss20": Condition(replace(JITTER, loss=0.2)),
    "bursts": Condition(replace(JITTER, burst=0.01)),
    "reorder": Condition(Trouble(delay=0.03, jitter=0.02)),
    "duplicate": Condition(replace(JITTER, duplicate=0.1)),
    "narrow": Condition(replace(JITTER, rate=250e3)),
    "stall": Condition(NEAR, breaks=(3.0, 0.5), mode="held"),
    "break02": Condition(NEAR, breaks=(4.0, 0.2)),
    "break3": Condition(NEAR, breaks=(8.0, 3.0)),
    "oneway": Condition(NEAR, breaks=(8.0, 2.0), both=False),
    "queue": Condition(NEAR, breaks=(8.0, 2.0), mode="held"),
}


def run(*command: str, check: bool = True) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


class Namespaces:
    """Robot and station, apart from each other and from everything else."""

    def __enter__(self) -> Namespaces:
        self.remove()
        for name in (ROBOT, STATION):
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        return self

    def __exit__(self, *_) -> None:
        self.remove()

    def remove(self) -> None:
        for name in (ROBOT, STATION):
            run("ip", "netns", "del", name, check=False)


class Programs:
    """Processes in the namespaces; all ended at the end."""

    def __init__(self, folder: Path, domain: int) -> None:
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

    def start(self, where: str, name: str, *arguments: str, **extra: str) -> subprocess.Popen:
        log = open(self._folder / f"{name}.log", "w")  # noqa: SIM115
        process = subprocess.Popen(
            ["ip", "netns", "exec", where, sys.executable, *arguments],
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**self._environment, **extra},
            start_new_session=True,
        )
        self._running.append(process)
        return process

    def end(self, process: subprocess.Popen, how: int = signal.SIGINT) -> None:
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


def node(name: str) -> tuple[str, str]:
    return "-m", f"mobile_vla_ros.nodes.{name}"


def wait_for(path: Path, text: str, seconds: float) -> None:
    end = time.monotonic() + seconds
    while text not in (path.read_text(errors="replace") if path.exists() else ""):
        if time.monotonic() > end:
            raise SystemExit(f"{path} has not said '{text}' within {seconds:g} s")
        time.sleep(0.2)


def fastdds(arguments) -> dict[str, str]:
    """The environment that names the profiles of Fast DDS."""
    profile = str(ROOT / "config" / arguments.profile)
    return dict.fromkeys(PROFILE_VARIABLES, profile)


@contextlib.contextmanager
def robot_and_station(way: str, folder: Path, arguments) -> Iterator[Programs]:
    """Everything but the field, ready to drive."""
    programs = Programs(folder, domain=arguments.domain)
    ros = fastdds(arguments)
    drive = ["--ros-args", "-r", "cmd_vel:=policy_cmd_vel", "-p", "stamped:=true"]
    if way == "server":
        token = folder / "token"
        token.write_text("two-machines-test-bed")
        serve = ("-m", "mobile_vla_ros.cli.main", "serve", str(arguments.checkpoint))
        where = ("--host", STATION_ADDRESS, "--port", str(PORT), "--token-file", str(token))
        programs.start(STATION, "serve", *serve, *where)
        wait_for(folder / "serve.log", "ready on", READY_SECONDS)
        drive += ["-p", f"server:=ws://{STATION_ADDRESS}:{PORT}", "-p", f"token_file:={token}"]
        place, extra = ROBOT, {}
    else:
        drive += ["-p", f"checkpoint:={arguments.checkpoint}"]
        drive += ["-p", "image_transport:=compressed", "-r", "image:=policy_image"]
        drive += ["-p", f"image_depth:={arguments.depth}"]
        place, extra = STATION, ros
    programs.start(ROBOT, "guard", *node("cmd_vel_guard"), **ros)
    programs.start(place, "inference", *node("inference_node"), *drive, **extra)
    wait_for(folder / "inference.log", "ready in", READY_SECONDS)
    try:
        yield programs
    finally:
        programs.end_all()


def drive_once(
    link: BadLink, programs: Programs, condition: Condition, seed: int, folder: Path, arguments
) -> dict:
    """One field, driven to its end; returns what the observer saw."""
    side = "left" if seed % 2 else "right"
    report = folder / f"observed_{seed}.json"
    sim = [
        "--ros-args",
        "-r",
        "state:=mobile_vla/state",
        "-r",
        "instruction:=mobile_vla/instruction",
    ]
    sim += ["-p", f"scenario:=1box_{side}", "-p", f"seed:={seed}", "-p", "announce:=true"]
    sim += ["-p", f"time_limit:={arguments.time_limit}"]
    if arguments.way == "ros":
        sim += ["-p", "policy_image_width:=640"]
    observer = programs.start(ROBOT, f"observer_{seed}", str(HERE), "--observe", str(report))
    ros = fastdds(arguments) if arguments.way == "ros" else {}
    sim_field = programs.start(ROBOT, f"sim_{seed}", *node("sim_node"), *sim, **ros)
    begin, sent = time.monotonic(), link.sent_bytes()
    end = begin + arguments.time_limit + 20
    due = None if condition.breaks is None else begin + condition.breaks[0]
    while time.monotonic() < end and observer.poll() is None and sim_field.poll() is None:
        time.sleep(0.05)
        if due is not None and time.monotonic() >= due:
            link.mode(condition.mode, condition.both)
            time.sleep(condition.breaks[1])
            link.mode("open")
            due += condition.breaks[0]
    seconds = time.monotonic() - begin
    megabits = (link.sent_bytes() - sent) * 8e-6 / seconds
    programs.end(sim_field)
    programs.end(observer, signal.SIGTERM)
    # The next field has an instruction of its own, which it gives to who waits for one.
    forget = programs.start(ROBOT, f"forget_{seed}", str(HERE), "--forget")
    forget.wait(FORGET_SECONDS + 10)
    seen = json.loads(report.read_text()) if report.exists() else {"outcome": "no observer"}
    return {**seen, "seed": seed, "seconds": seconds, "uplink_mbit": megabits}


def summary(name: str, runs: list[dict]) -> str:
    """One row of the table."""
    reached = sum(run.get("outcome") == "reached" for run in runs)
    touched = sum("touch" in str(run.get("outcome")) for run in runs)
    mean = {
        key: sum(run.get(key) or 0.0 for run in runs) / len(runs)
        for key in ("driving_share", "age_p50", "age_p99", "uplink_mbit", "late_moves")
    }
    return (
        f"| {name} | {reached}/{len(runs)} | {touched} | {100 * mean['driving_share']:.1f} %"
        f" | {1000 * mean['age_p50']:.0f} / {1000 * mean['age_p99']:.0f} ms"
        f" | {mean['uplink_mbit']:.2f} | {mean['late_moves']:.1f} |"
    )


def observe(report: Path) -> int:
    """Runs on the robot: what the base is told, in which state, how old the chunks are."""
    import rclpy
    from geometry_msgs.msg import Twist
    from rclpy.executors import ExternalShutdownException
    from rclpy.qos import DurabilityPolicy, QoSProfile
    from std_msgs.msg import String
    from trajectory_msgs.msg import MultiDOFJointTrajectory

    from mobile_vla_ros.sim.outcome import RUNNING

    rclpy.init()
    me = rclpy.create_node("observer")
    latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    log: dict[str, list] = {"states": [], "moves": [], "chunks": [], "outcome": []}

    # Times of sending, by the middleware: this process may be slow to hear.
    def hear_chunk(message, info) -> None:
        stamp = message.header.stamp.sec + message.header.stamp.nanosec * 1e-9
        log["chunks"].append((info["source_timestamp"] * 1e-9, stamp))

    def hear_velocity(message, info) -> None:
        moves = any((message.linear.x, message.linear.y, message.angular.z))
        log["moves"].append((info["source_timestamp"] * 1e-9, moves))

    def hear_state(message) -> None:
        log["states"].append((time.monotonic(), message.data))

    me.create_subscription(String, "mobile_vla/state", hear_state, latched)
    me.create_subscription(MultiDOFJointTrajectory, "mobile_vla/chunk", hear_chunk, 20)
    me.create_subscription(Twist, "cmd_vel", hear_velocity, 50)
    me.create_subscription(String, "sim/outcome", lambda m: log["outcome"].append(m.data), 10)

    def finish(*_) -> None:
        rclpy.try_shutdown()

    signal.signal(signal.SIGTERM, finish)
    outcome = "unfinished"
    with contextlib.suppress(ExternalShutdownException, KeyboardInterrupt):
        while rclpy.ok():
            rclpy.spin_once(me, timeout_sec=0.2)
            for text in log["outcome"]:
                told = json.loads(text)["reason"]
                outcome = outcome if told == RUNNING else told
            log["outcome"].clear()
            if outcome != "unfinished":
                break
    report.write_text(json.dumps(figures(log, outcome)))
    return 0


def forget() -> int:
    """Runs on the robot: takes the policy's instruction away."""
    import rclpy
    from rclpy.duration import Duration
    from std_msgs.msg import String

    rclpy.init()
    orders = rclpy.create_node("forget").create_publisher(String, "mobile_vla/instruction", 10)
    end = time.monotonic() + FORGET_SECONDS
    while not orders.get_subscription_count() and time.monotonic() < end:
        time.sleep(0.05)
    orders.publish(String(data=""))
    return 0 if orders.wait_for_all_acked(Duration(seconds=FORGET_SECONDS)) else 1


def figures(log: dict[str, list], outcome: str) -> dict:
    """What one drive was like, from the observer's log."""
    import numpy as np

    end = time.monotonic()
    states = [*log["states"], (end, "")]
    first = next((at for at, state in states if state == "driving"), end)
    spans = [
        (max(after - max(at, first), 0.0), state)
        for (at, state), (after, _) in itertools.pairwise(states)
    ]
    total = sum(
        span for span, state in spans if not state.startswith(("arrived", "waiting_for_i"))
    )
    driving = sum(span for span, state in spans if state == "driving")
    sent, stamps = np.array(log["chunks"] or [(np.nan, np.nan)]).T
    ages = sent - stamps
    # A chunk is valid for 0.8 s from its capture; the guard sends zero 0.25 s later at the latest.
    late = 0
    for at, moving in log["moves"]:
        known = stamps[sent <= at]
        late += moving and (not len(known) or at - known.max() > 0.8 + 0.25 + 0.05)
    return {
        "outcome": outcome,
        "driving_share": driving / total if total else 0.0,
        "age_p50": float(np.nanpercentile(ages, 50)),
        "age_p99": float(np.nanpercentile(ages, 99)),
        "chunks": len(log["chunks"]),
        "commands": len(log["moves"]),
        "late_moves": int(late),
        "states": [state for _, state in log["states"]],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--way", choices=("server", "ros"), default="server")
    parser.add_argument("--conditions", default=",".join(CONDITIONS), help="with commas between")
    parser.add_argument("--seeds", type=int, default=10, help="fields per condition")
    parser.add_argument("--first-seed", type=int, default=500000)
    parser.add_argument("--time-limit", type=float, default=40.0, help="s per field")
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    parser.add_argument("--profile", default="fastdds_wifi.xml", help="a file of config/")
    parser.add_argument("--depth", type=int, default=5, help="image_depth, with --way ros")
    parser.add_argument("--domain", type=int, default=91, help="ROS_DOMAIN_ID")
    parser.add_argument("--out", type=Path, default=Path("build/two_machines"))
    parser.add_argument("--observe", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--forget", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.observe:
        return observe(arguments.observe)
    if arguments.forget:
        return forget()
    # However it is ended, programs and namespaces go with it.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))
    if os.geteuid() != 0:
        print("two_machines: needs root, for network namespaces", file=sys.stderr)
        return 2
    arguments.out.mkdir(parents=True, exist_ok=True)
    print(
        "| network | reached | boxes touched | driving | chunk age p50 / p99 | up, Mbit/s | late |"
    )
    print("|---|---|---|---|---|---|---|")
    ends = ((ROBOT, ROBOT_ADDRESS), (STATION, STATION_ADDRESS))
    with Namespaces(), BadLink(ends) as link:
        for name in arguments.conditions.split(","):
            condition = CONDITIONS[name]
            folder = arguments.out / f"{arguments.way}_{name}"
            folder.mkdir(exist_ok=True)
            link.be(Trouble())
            runs = []
            with robot_and_station(arguments.way, folder, arguments) as programs:
                link.be(condition.trouble)
                for index in range(arguments.seeds):
                    seed = arguments.first_seed + index
                    runs.append(drive_once(link, programs, condition, seed, folder, arguments))
                    (folder / "runs.json").write_text(json.dumps(runs, indent=1))
            print(summary(name, runs), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
