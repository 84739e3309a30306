#!/usr/bin/env python3
"""Drives the simulated field with the policy elsewhere, over networks as bad as labs have them.

    sudo .venv/bin/python scripts/two_machines.py --way server --out build/two_machines
    sudo .venv/bin/python scripts/two_machines.py --way ros --conditions clean,loss5 --seeds 3
    sudo .venv/bin/python scripts/two_machines.py --events all
    sudo .venv/bin/python scripts/two_machines.py --breaks 200

Two network namespaces on this machine, joined by `bad_link`, stand for robot and station. On the
robot: the field as camera and base, the guard, and an observer that logs. With `--way server` the
inference node is on the robot and `mobile_vla serve` on the station; with `--way ros` the
inference node is on the station and only ROS 2 stands between them.

Without --events and --breaks fields are driven to their ends. With them the robot is shown the
start of a field all the time, so that it wants to drive, and things happen to it: the link breaks,
the server is killed, a second one takes over, one of another version comes.

Needs root and `ip`. Nothing leaves the namespaces, which are removed at the end. Prints tables in
Markdown, and writes every run's figures as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from bad_link import BadLink, Trouble
from two_machine_bed.networks import CONDITIONS, ENDS, ROBOT, Condition, Namespaces
from two_machine_bed.programs import ROOT, Bed, node

HERE = Path(__file__).resolve()
CHECKPOINT = ROOT / "mobile_vla_ros" / "data" / "demo_policy"


def drive_once(
    link: BadLink, bed: Bed, condition: Condition, seed: int, time_limit: float
) -> dict:
    """One field, driven to its end; returns what the observer saw."""
    from two_machine_bed.figures import Drive

    side = "left" if seed % 2 else "right"
    report = bed.folder / f"observed_{seed}.json"
    sim = ["--ros-args", "-r", "state:=mobile_vla/state"]
    sim += ["-r", "instruction:=mobile_vla/instruction", "-p", "announce:=true"]
    sim += ["-p", f"scenario:=1box_{side}", "-p", f"seed:={seed}"]
    sim += ["-p", f"time_limit:={time_limit}"]
    ros = {}
    if bed.way == "ros":
        sim += ["-p", "policy_image_width:=640"]
        ros = bed.ros
    start = bed.programs.start
    watch = (str(HERE), "--observe", str(report), "--clear")
    observer = start(ROBOT, f"observer_{seed}", *watch)
    bed.programs.wait_for(f"observer_{seed}", "observing")
    field = start(ROBOT, f"sim_{seed}", *node("sim_node"), *sim, **ros)
    begin, sent = time.monotonic(), link.sent_bytes()
    end = begin + time_limit + 20
    due = None if condition.breaks is None else begin + condition.breaks[0]
    while time.monotonic() < end and observer.poll() is None and field.poll() is None:
        time.sleep(0.05)
        if due is not None and condition.breaks is not None and time.monotonic() >= due:
            link.mode(condition.mode, condition.ways)
            time.sleep(condition.breaks[1])
            link.mode("open")
            due += condition.breaks[0]
    seconds = time.monotonic() - begin
    megabits = (link.sent_bytes() - sent) * 8e-6 / seconds
    bed.programs.end(field)
    bed.programs.end(observer, signal.SIGTERM)
    seen: dict[str, Any] = {"outcome": "no observer"}
    if report.exists():
        seen = Drive(json.loads(report.read_text())).summary()
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


def drive_fields(link: BadLink, arguments) -> None:
    """Every condition, so many fields each."""
    print(
        "| network | reached | boxes touched | driving | chunk age p50 / p99 | up, Mbit/s | late |"
    )
    print("|---|---|---|---|---|---|---|", flush=True)
    for name in arguments.conditions.split(","):
        condition = CONDITIONS[name]
        folder = arguments.out / f"{arguments.way}_{name}"
        folder.mkdir(exist_ok=True)
        link.be(Trouble(multicast=condition.trouble.multicast))
        runs = []
        with Bed(arguments.way, folder, arguments) as bed:
            link.be(condition.trouble)
            for index in range(arguments.seeds):
                seed = arguments.first_seed + index
                runs.append(drive_once(link, bed, condition, seed, arguments.time_limit))
                (folder / "runs.json").write_text(json.dumps(runs, indent=1))
        print(summary(name, runs), flush=True)


def endure_events(link: BadLink, arguments) -> int:
    """Things that happen to a robot that drives; returns how often something was wrong."""
    from two_machine_bed import events

    link.be(CONDITIONS[arguments.network].trouble)
    folder = arguments.out / f"{arguments.way}_{'breaks' if arguments.breaks else 'events'}"
    folder.mkdir(exist_ok=True)
    if arguments.breaks:
        plan = events.in_a_row(arguments.breaks, arguments.first_seed)
    else:
        names = list(events.EVERY) if arguments.events == "all" else arguments.events.split(",")
        if arguments.way == "ros":
            names = [name for name in names if name not in events.OF_SERVERS]
        plan = events.one_by_one(names)
    with Bed(arguments.way, folder, arguments, events.PARAMETERS) as bed:
        drive, done, memory = events.endure(bed, link, arguments.first_seed, plan)
    seen = [drive.around(event) for event in done]
    (folder / "events.json").write_text(
        json.dumps({"events": seen, "memory": memory.samples}, indent=1)
    )
    if arguments.breaks:
        print(events.total(seen, memory, done[0].begin, done[-1].end), flush=True)
    else:
        print(events.HEAD)
        for event, one in zip(done, seen, strict=True):
            print(events.row(event, one, memory), flush=True)
    return sum(events.violations(one) for one in seen) + sum(not one["moving"] for one in seen)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--way", choices=("server", "ros"), default="server")
    parser.add_argument("--conditions", default=",".join(CONDITIONS), help="with commas between")
    parser.add_argument("--seeds", type=int, default=10, help="fields per condition")
    parser.add_argument("--first-seed", type=int, default=500000)
    parser.add_argument("--time-limit", type=float, default=40.0, help="s per field")
    parser.add_argument("--events", default="", help="all, or such as cut:0.2,held:2,killed")
    parser.add_argument("--breaks", type=int, default=0, help="so many short ones in a row")
    parser.add_argument("--network", default="delay20", help="with --events, --breaks: condition")
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    parser.add_argument("--profile", default="fastdds_wifi.xml", help="a file of config/")
    parser.add_argument("--depth", type=int, default=5, help="image_depth, with --way ros")
    parser.add_argument(
        "--discovery",
        choices=("multicast", "peers", "server"),
        default="multicast",
        help="how nodes find each other; the others need no multicast (condition nomulticast)",
    )
    parser.add_argument("--domain", type=int, default=91, help="ROS_DOMAIN_ID")
    parser.add_argument("--out", type=Path, default=Path("build/two_machines"))
    parser.add_argument("--observe", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--clear", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.observe:
        from two_machine_bed.observer import observe

        return observe(arguments.observe, arguments.clear)
    # However it is ended, programs and namespaces go with it.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))
    if os.geteuid() != 0:
        print("two_machines: needs root, for network namespaces", file=sys.stderr)
        return 2
    arguments.out = arguments.out.absolute()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with Namespaces(), BadLink(ENDS) as link:
        if not (arguments.events or arguments.breaks):
            drive_fields(link, arguments)
            return 0
        return 1 if endure_events(link, arguments) else 0


if __name__ == "__main__":
    sys.exit(main())
