#!/usr/bin/env python3
"""Kills programs in the middle of field trials and checks what is left.

    .venv/bin/python scripts/trial_kill_campaign.py --kills 50 --json kills.json

Policy (with a model of a few lines), guard, recorder, trial manager and camera run as they do in
the field. In each round a trial is started, one program gets SIGKILL at a random moment, and then:
the log can be read, line by line; what it held before is there, byte for byte; the robot gets
zeros, or nothing for so long that its base stands by itself; a killed trial manager offers the
broken trial at its next start; nothing moves until a trial is started. Exit 1 if any round fails.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "test" / "nodes")]
os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")

from rig import Rig  # noqa: E402
from trial_rig import Field  # noqa: E402

from mobile_vla_ros.trials.log import read_trials  # noqa: E402

# A base that hears nothing for this long stands, s.
BASE_TIMEOUT = 0.5
# Until here the robot has to stand after a kill, s; most of it is a busy machine.
STAND_WITHIN = 5.0
VICTIMS = ("manager", "policy", "worker", "guard", "recorder", "writer", "camera")


class Campaign:
    """Rounds of one start, one kill, and the checks.

    Args:
        rig: the robot's side of the network.
        folder: where the trials are written.
        chance: decides what is killed, and when.
    """

    def __init__(self, rig: Rig, folder: Path, chance: random.Random) -> None:
        self.rig = rig
        self.chance = chance
        self.field = Field(rig, folder, time_limit=60.0)
        self.log = self.field.folder / "trials.jsonl"

    def round(self, victim: str) -> float:
        """Kills one program in mid-trial and puts everything back in order.

        Returns:
            Seconds from the kill until the robot stood.
        """
        before = self.log.read_bytes() if self.log.exists() else b""
        self.field.begin()
        self.rig.wait(lambda: self.rig.moving, "the robot moves")
        time.sleep(self.chance.uniform(0.0, 1.5))
        killed = time.monotonic()
        self._kill(victim)
        stood = self._wait_until_it_stands(victim, killed)
        self._check_log(before)
        self._mend(victim)
        self._check_log(before)
        if read_trials(self.log)[0] if self.log.exists() else ():
            assert self.log.read_bytes().startswith(before), "an earlier trial has changed"
        return stood

    def _kill(self, victim: str) -> None:
        if victim in ("worker", "writer"):
            parent = self.field.policy if victim == "worker" else self.field.recorder
            for child in children(parent.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            return
        process: subprocess.Popen = getattr(self.field, victim)
        process.kill()
        process.wait()

    def _wait_until_it_stands(self, victim: str, killed: float) -> float:
        def stands() -> bool:
            when, velocities = self.rig.commands[-1]
            return not any(velocities) or time.monotonic() - when > BASE_TIMEOUT

        # A killed worker is replaced at once, so the zero may be over when one looks.
        while not stands() and not self._zero_since(killed):
            assert time.monotonic() - killed < STAND_WITHIN + (5.0 if victim == "writer" else 0.0)
            time.sleep(0.005)
        return time.monotonic() - killed

    def _zero_since(self, killed: float) -> bool:
        recent = reversed(self.rig.commands[-400:])
        return any(not any(velocities) for when, velocities in recent if when > killed)

    def _check_log(self, before: bytes) -> None:
        if not self.log.exists():
            assert not before
            return
        _, problems = read_trials(self.log)
        assert not problems, problems
        assert self.log.read_bytes().startswith(before), "an earlier trial has changed"

    def _mend(self, victim: str) -> None:
        field = self.field
        if victim == "manager":
            moved = len(self.rig.commands)
            field.start_manager()
            broken = field.status["broken"]
            assert broken, "the broken trial is not offered"
            time.sleep(0.5)
            heard = self.rig.commands[moved:]
            assert not any(any(velocities) for _, velocities in heard), "it moves without a trial"
            assert field.call("abort").success
        elif victim in ("policy", "guard", "recorder", "camera"):
            getattr(field, f"start_{victim}")()
        self._end_trial()
        moved = len(self.rig.commands)
        time.sleep(0.3)
        heard = self.rig.commands[moved:]
        assert not any(any(velocities) for _, velocities in heard[20:]), "it moves without a trial"

    def _end_trial(self) -> None:
        deadline = time.monotonic() + 30
        while self.field.status.get("phase") != "waiting":
            self.field.call("abort")
            time.sleep(0.2)
            assert time.monotonic() < deadline, self.field.status


def children(parent: int) -> list[int]:
    """Process ids of a process's children."""
    found = Path(f"/proc/{parent}/task").glob("*/children")
    return [int(word) for file in found for word in file.read_text().split()]


def run(rounds: int, seed: int, folder: Path, say=print) -> dict:
    """Runs a campaign; returns its numbers, with a sentence for each failure."""
    chance = random.Random(seed)
    kills: Counter[str] = Counter()
    failures: list[str] = []
    slowest: dict[str, float] = {}
    with Rig(folder) as rig:
        campaign = Campaign(rig, folder, chance)
        order = [VICTIMS[index % len(VICTIMS)] for index in range(rounds)]
        chance.shuffle(order)
        for number, victim in enumerate(order, start=1):
            kills[victim] += 1
            try:
                stood = campaign.round(victim)
            except AssertionError as error:
                failures.append(f"round {number}, {victim}: {error}")
                say(failures[-1])
                break
            slowest[victim] = max(slowest.get(victim, 0.0), stood)
            say(f"{number:3d} {victim}: stood after {stood:.2f} s")
        trials = len(read_trials(campaign.log)[0]) if campaign.log.exists() else 0
    return {
        "kills": dict(kills),
        "failures": failures,
        "trials_written": trials,
        "slowest_stop_s": {name: round(value, 3) for name, value in slowest.items()},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--domain", type=int, default=77, help="ROS domain to work in")
    parser.add_argument("--json", help="write the numbers here")
    options = parser.parse_args()
    os.environ["ROS_DOMAIN_ID"] = str(options.domain)
    with tempfile.TemporaryDirectory() as folder:
        result = run(options.kills, options.seed, Path(folder))
    print(json.dumps(result, indent=1))
    if options.json:
        Path(options.json).write_text(json.dumps(result, indent=1) + "\n")
    return 1 if result["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
