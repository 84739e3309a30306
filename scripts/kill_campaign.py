#!/usr/bin/env python3
"""Kills recordings at random instants and checks what plain h5py finds in the file.

    .venv/bin/python scripts/kill_campaign.py --kills 240 --json kills.json

Each round starts a process that records an episode and says every acknowledged row, sends it
SIGKILL at a random time between its first row and its end (laying out, growing and finishing
included), and then demands: the file opens, every acknowledged row is there bit for bit, at most
one more is counted, and ``recover`` turns it into an episode with the same rows. Exit 1 if any
round fails.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import h5py
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "test" / "episodes")]

from kill_target import blob, frame  # noqa: E402

from mobile_vla_ros.episodes import EpisodeError, open_episode, recover  # noqa: E402

# image format, height, width, rows: many rows for growth, large frames for long writes
SETTINGS = [
    ("raw", 8, 8, 2500),
    ("raw", 480, 640, 150),
    ("raw", 720, 1280, 60),
    ("jpeg", 0, 0, 1500),
    ("jpeg", 0, 0, 4000),
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=240, help="recordings to kill")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--directory", help="where to record (the disk under test)")
    parser.add_argument("--json", help="write the numbers here")
    options = parser.parse_args()
    chance = random.Random(options.seed)
    counts: Counter[str] = Counter()
    failures: list[str] = []
    with tempfile.TemporaryDirectory(dir=options.directory) as folder:
        lengths = [_duration(Path(folder), setting) for setting in SETTINGS]
        rounds = 0
        while counts["kills"] < options.kills:
            which = rounds % len(SETTINGS)
            rounds += 1
            path = Path(folder) / "episode.h5"
            delay = chance.uniform(0, lengths[which])
            acknowledged, finished, _ = _record(path, SETTINGS[which], delay)
            problem = _check(path, SETTINGS[which], acknowledged, finished, counts)
            if problem:
                failures.append(f"{SETTINGS[which]} after {delay:.4f} s: {problem}")
            for leftover in Path(folder).iterdir():
                leftover.unlink()
            if rounds % 20 == 0:
                print(f"{counts['kills']} kills, {len(failures)} failures", flush=True)
    result = {**counts, "rounds": rounds, "failures": failures, "seed": options.seed}
    print(json.dumps(result, indent=2))
    if options.json:
        Path(options.json).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 1 if failures else 0


def _duration(folder: Path, setting: tuple[str, int, int, int]) -> float:
    """How long one undisturbed recording of this kind takes, from its first row to its end."""
    *_, seconds = _record(folder / "whole.h5", setting, None)
    (folder / "whole.h5").unlink()
    return seconds


def _record(path: Path, setting: tuple, delay: float | None) -> tuple[int, bool, float]:
    """Records, kills ``delay`` seconds after it is ready.

    Returns the rows acknowledged, whether it had ended, and the seconds from ready to its end.
    """
    target = ROOT / "test" / "episodes" / "kill_target.py"
    process = subprocess.Popen(
        [sys.executable, str(target), str(path), *map(str, setting)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    start = time.monotonic()
    if delay is not None:
        try:  # not sleep: the pipe would fill and the recording wait
            output, _ = process.communicate(timeout=delay)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
    else:
        output, _ = process.communicate()
    seconds = time.monotonic() - start
    lines = output.split("\n")[:-1]
    finished = "finished" in lines
    numbers = [int(line) for line in lines if line.isdigit()]
    return (numbers[-1] if numbers else 0), finished, seconds


def _check(
    path: Path, setting: tuple, acknowledged: int, finished: bool, counts: Counter
) -> str | None:
    part = path.with_name(path.name + ".part")
    if finished:
        counts["ended before the kill"] += 1
        return None
    counts["kills"] += 1
    counts[f"kills {setting[0]}"] += 1
    if path.exists():  # killed after the rename, before it was said
        counts["killed after the rename"] += 1
        found = path
    elif part.exists():
        found = part
    else:
        counts["killed before the first row"] += 1
        return None if acknowledged == 0 else "no file"
    try:
        with h5py.File(found, "r") as file:
            committed = int(file["committed_rows"][()])
            if not acknowledged <= committed <= acknowledged + 1:
                return f"{acknowledged} acknowledged, {committed} counted"
            problem = _compare(file, setting, committed)
        if problem is None and found == part and committed:
            if acknowledged == setting[3]:
                counts["killed while finishing"] += 1
            with open_episode(recover(part).path or part) as episode:
                problem = None if len(episode) == committed else "recovery lost rows"
    except (OSError, RuntimeError, KeyError, EpisodeError) as error:
        return str(error)
    counts["acknowledged rows"] += acknowledged
    counts["rows beyond the acknowledged"] += committed - acknowledged
    return problem


def _compare(file: h5py.File, setting: tuple, rows: int) -> str | None:
    image_format, height, width, _ = setting
    if not np.array_equal(file["actions"][:rows, 1], np.arange(rows) + np.float32(0.5)):
        return "actions differ"
    if not np.array_equal(file["stamps/image"][:rows], np.arange(rows) * 0.1):
        return "stamps differ"
    ends = [0, *file["images_jpeg_end"][:rows]] if image_format == "jpeg" else []
    for row in range(rows):
        if image_format == "raw":
            same = np.array_equal(file["images"][row], frame(row, height, width))
        else:
            same = file["images_jpeg"][ends[row] : ends[row + 1]].tobytes() == blob(row)
        if not same:
            return f"the frame of row {row} differs"
    return None


if __name__ == "__main__":
    sys.exit(main())
