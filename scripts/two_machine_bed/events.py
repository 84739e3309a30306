"""What may happen to a robot that drives: breaks of every kind, and what befalls its server."""

from __future__ import annotations

import json
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from bad_link import BadLink

from mobile_vla_ros.sim.scenario import parse_scenario
from two_machine_bed.figures import GUARD, PERIOD, Drive, Event
from two_machine_bed.networks import ROBOT
from two_machine_bed.programs import Bed, node

SCENARIO = "1box_left"
# The robot is shown the start of a field and never gets there: it wants to drive all the time,
# so that every break finds it moving.
PARAMETERS = (
    "-p",
    f"instruction:={parse_scenario(SCENARIO).instruction}",
    "-p",
    "arrival_speed:=0.0",
    "-p",
    "frozen_timeout:=0.0",
)
SETTLE_SECONDS = 4.0
OTHER_VERSION_SECONDS = 4.0
SECOND_ROBOT_FRAMES = 100
# Of the breaks in a row, and of the time between two.
BREAK_SECONDS = (0.2, 2.0)
PAUSE_SECONDS = (1.2, 2.0)
SAMPLE_SECONDS = 1.0
# In the first seconds of a break queues fill.
FILLING_SECONDS = 5.0

EVERY = (
    *(f"cut:{seconds:g}" for seconds in (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)),
    *("up:2", "down:2", "held:0.5", "held:2", "held:5"),
    *("killed", "second", "version", "client"),
)
"""Events by name; what follows the colon is seconds. Those of servers need --way server."""
OF_SERVERS = ("killed", "second", "version", "client")


class Happening:
    """Does events to a bed and writes down when.

    Args:
        bed: robot and station.
        link: between them.
    """

    def __init__(self, bed: Bed, link: BadLink) -> None:
        self._bed = bed
        self._link = link
        self.times: list[tuple[str, float, float]] = []

    def do(self, name: str) -> None:
        """One event, from its begin until all is well again."""
        kind, _, seconds = name.partition(":")
        begin = time.time()
        if kind in ("cut", "held"):
            self._break(kind, "both", float(seconds))
        elif kind in ("up", "down"):
            self._break("cut", kind, float(seconds))
        else:
            getattr(self, f"_{kind}")()
        self.times.append((name, begin, time.time()))

    def _break(self, mode: str, ways: str, seconds: float) -> None:
        self._link.mode(mode, ways)
        time.sleep(seconds)
        self._link.mode("open")

    def _killed(self) -> None:
        self._bed.kill_server()
        self._bed.programs.wait_for(self._bed.start_server(), "ready on")

    def _second(self) -> None:
        """One that finds the port taken says so and goes; when the first ends, it takes over."""
        first = self._bed.server
        name = self._bed.start_server()
        second, self._bed.server = self._bed.server, first
        self._bed.programs.wait_for(name, "cannot listen on")
        assert second is not None
        assert first is not None
        if second.wait(10) != 2:
            raise SystemExit(f"a second server ended with status {second.returncode}")
        self._bed.programs.end(first, signal.SIGTERM)
        self._bed.programs.wait_for(self._bed.start_server(), "ready on")

    def _version(self) -> None:
        self._bed.kill_server()
        self._bed.programs.wait_for(self._bed.start_server(other_version=True), "ready on")
        time.sleep(OTHER_VERSION_SECONDS)
        self._bed.kill_server()
        self._bed.programs.wait_for(self._bed.start_server(), "ready on")

    def _client(self) -> None:
        """A second robot at the same server."""
        ask = ("-m", "mobile_vla_ros.cli.main", "benchmark", "--server", self._bed.address)
        ask += ("--token-file", self._bed.token_file, "--runs", str(SECOND_ROBOT_FRAMES))
        self._bed.programs.start(ROBOT, "second_robot", *ask).wait(60)

    def events(self) -> list[Event]:
        """What was done, each until the next."""
        ends = [*(begin for _, begin, _ in self.times[1:]), time.time()]
        return [Event(*one, until) for one, until in zip(self.times, ends, strict=True)]


def breaks_in_a_row(count: int, seed: int) -> Iterator[tuple[str, float]]:
    """Short breaks, each with the pause after it, s."""
    draw = random.Random(seed).uniform
    for _ in range(count):
        yield f"cut:{draw(*BREAK_SECONDS):.3f}", draw(*PAUSE_SECONDS)


class Memory:
    """Resident memory of every program that matters, each second; `with Memory(bed) as memory`."""

    def __init__(self, bed: Bed) -> None:
        self._bed = bed
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self.samples: dict[str, list[tuple[float, int, float]]] = {}
        """name -> (machine's clock, process id, MB)"""

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._ending.set()
        self._thread.join(5.0)

    def _sample(self) -> None:
        while not self._ending.wait(SAMPLE_SECONDS):
            for name, process in (("node", self._bed.inference), ("server", self._bed.server)):
                if process is not None:
                    self._note(name, process.pid)

    def _note(self, name: str, number: int) -> None:
        below = {"node": "link" if self._bed.way == "server" else "worker", "server": "model"}
        try:
            process = psutil.Process(number)
            found = [(name, process), *((below[name], one) for one in process.children())]
            for label, one in found:
                megabytes = one.memory_info().rss / 1e6
                self.samples.setdefault(label, []).append((time.time(), one.pid, megabytes))
        except psutil.NoSuchProcess:
            return  # it is being started anew

    def growth(self, begin: float, end: float) -> dict[str, float]:
        """MB by which each program has grown between two times, its first seconds left out.

        One that was started anew meanwhile is left out.
        """
        grown = {}
        for name, samples in self.samples.items():
            inside = [one for one in samples if begin + FILLING_SECONDS <= one[0] <= end]
            if len(inside) > 2 and len({number for _, number, _ in inside}) == 1:
                grown[name] = inside[-1][2] - inside[0][2]
        return grown


def endure(
    bed: Bed, link: BadLink, seed: int, plan: Callable[[Happening], None]
) -> tuple[Drive, list[Event], Memory]:
    """Has a robot drive while a plan happens to it; returns what was seen and done."""
    sim = ["--ros-args", "-p", f"scenario:={SCENARIO}", "-p", f"seed:={seed}"]
    sim += ["-p", "time_limit:=3600.0", "-r", "cmd_vel:=not_driven"]
    ros = {}
    if bed.way == "ros":
        sim += ["-p", "policy_image_width:=640"]
        ros = bed.ros
    report = bed.folder / "observed.json"
    script = Path(__file__).parents[1] / "two_machines.py"
    observer = bed.programs.start(ROBOT, "observer", str(script), "--observe", str(report))
    field = bed.programs.start(ROBOT, "sim", *node("sim_node"), *sim, **ros)
    happening = Happening(bed, link)
    with Memory(bed) as memory:
        bed.programs.wait_for("observer", "observing")
        bed.programs.wait_for("sim", "field:")
        time.sleep(2 * SETTLE_SECONDS)
        plan(happening)
        time.sleep(SETTLE_SECONDS)
        bed.programs.end(observer, signal.SIGTERM)
        events = happening.events()
    bed.programs.end(field)
    return Drive(json.loads(report.read_text())), events, memory


def one_by_one(names: list[str]) -> Callable[[Happening], None]:
    """A plan of events with time to settle between them."""

    def plan(happening: Happening) -> None:
        for name in names:
            happening.do(name)
            time.sleep(SETTLE_SECONDS)

    return plan


def in_a_row(count: int, seed: int) -> Callable[[Happening], None]:
    """A plan of many short breaks."""

    def plan(happening: Happening) -> None:
        for name, pause in breaks_in_a_row(count, seed):
            happening.do(name)
            time.sleep(pause)

    return plan


def violations(seen: dict[str, Any]) -> int:
    """Commands on what was too old, and a zero that came too late."""
    too_late = seen["zero"] is not None and seen["zero"] > GUARD + PERIOD
    return int(seen["late"]) + too_late


HEAD = (
    "| event | lasted | violations | zero after validity | driving again after | said | memory |\n"
    "|---|---|---|---|---|---|---|"
)


def row(event: Event, seen: dict[str, Any], memory: Memory) -> str:
    """One event's line of the table."""
    said = ", ".join(dict.fromkeys(s.removeprefix("stopped: ") for s in seen["states"]))
    grown = ", ".join(
        f"{name} {size:+.1f}" for name, size in memory.growth(event.begin, event.end).items()
    )
    return (
        f"| {event.name} | {seen['seconds']:.1f} s | {violations(seen)}"
        f" | {_seconds(seen['zero'], 'never stood')} | {_seconds(seen['again'], '-')}"
        f" | {said or 'nothing'} | {grown + ' MB' if grown else '-'} |"
    )


def _seconds(value: float | None, otherwise: str) -> str:
    return otherwise if value is None else f"{value:+.2f} s"


def total(seen: list[dict[str, Any]], memory: Memory, begin: float, end: float) -> str:
    """Many breaks in a line."""
    again = [one["again"] for one in seen if one["again"] is not None]
    zero = [one["zero"] for one in seen if one["zero"] is not None]
    grown = [f"{name} {size:+.1f} MB" for name, size in memory.growth(begin, end).items()]
    parts = [
        f"{len(seen)} breaks, {sum(one['moving'] for one in seen)} of them while it moved",
        f"{sum(violations(one) for one in seen)} violations",
    ]
    if zero:
        parts.append(f"stood in {len(zero)}, the last {max(zero):+.2f} s after validity")
    if again:
        p50, p99 = np.percentile(again, (50, 99))
        parts.append(
            f"driving again after p50 {p50:.2f}, p99 {p99:.2f}, at most {max(again):.2f} s"
        )
    return "; ".join([*parts, f"memory over {end - begin:.0f} s: {', '.join(grown)}"])
