"""The networks that are tried, and the two namespaces that they lie between."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from dataclasses import dataclass, field, replace

from bad_link import Trouble

ROBOT, STATION = "mvla_robot", "mvla_station"
ROBOT_ADDRESS, STATION_ADDRESS = "10.77.0.1", "10.77.0.2"
LOCK = "/run/mobile_vla_two_machines.lock"
ENDS = ((ROBOT, ROBOT_ADDRESS), (STATION, STATION_ADDRESS))


@dataclass(frozen=True)
class Condition:
    """A network.

    Attributes:
        trouble: what it does to every packet.
        breaks: (seconds between the starts of two breaks, seconds each lasts); None for none.
        mode: of the link during a break, see `BadLink.mode`.
        ways: which directions break.
    """

    trouble: Trouble = field(default_factory=Trouble)
    breaks: tuple[float, float] | None = None
    mode: str = "cut"
    ways: str = "both"


JITTER = Trouble(delay=0.02, jitter=0.02, ordered=True)
NEAR = Trouble(delay=0.01)
CONDITIONS = {
    "clean": Condition(),
    "delay20": Condition(Trouble(delay=0.02)),
    "delay100": Condition(Trouble(delay=0.1)),
    "jitter": Condition(JITTER),
    "loss1": Condition(replace(JITTER, loss=0.01)),
    "loss5": Condition(replace(JITTER, loss=0.05)),
    "loss20": Condition(replace(JITTER, loss=0.2)),
    "bursts": Condition(replace(JITTER, burst=0.01)),
    "reorder": Condition(Trouble(delay=0.03, jitter=0.02)),
    "duplicate": Condition(replace(JITTER, duplicate=0.1)),
    "narrow": Condition(replace(JITTER, rate=250e3)),
    "nomulticast": Condition(replace(JITTER, multicast=False)),
    "stall": Condition(NEAR, breaks=(3.0, 0.5), mode="held"),
    "break02": Condition(NEAR, breaks=(4.0, 0.2)),
    "break3": Condition(NEAR, breaks=(8.0, 3.0)),
    "oneway": Condition(NEAR, breaks=(8.0, 2.0), ways="up"),
    "queue": Condition(NEAR, breaks=(8.0, 2.0), mode="held"),
}


def run(*command: str, check: bool = True) -> str:
    """A command's output.

    Raises:
        SystemExit: it failed, with what it said.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


class Namespaces:
    """Robot and station, apart from each other and from everything else.

    There is one pair on a machine: who comes second waits.
    """

    def __init__(self) -> None:
        self._lock = open(LOCK, "w")  # noqa: SIM115

    def __enter__(self) -> Namespaces:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("waiting for another test bed on this machine to end", file=sys.stderr)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.remove()
        for name in (ROBOT, STATION):
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        return self

    def __exit__(self, *_) -> None:
        self.remove()
        self._lock.close()

    def remove(self) -> None:
        for name in (ROBOT, STATION):
            run("ip", "netns", "del", name, check=False)
