"""Two robots at one policy server: what each waits longer than it would alone.

    .venv/bin/python scripts/two_robots.py --rounds 3

Each sends 10 frames/s, as `mobile_vla benchmark --server` does. Alone and together take turns, so
that what else the machine does falls on both. Exit status 1: with the other a robot waits longer
than 1.3 times what it waits alone and one step of the model.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
CHECKPOINT = ROOT / "mobile_vla_ros" / "data" / "demo_policy"
COMMAND = (sys.executable, "-m", "mobile_vla_ros.cli.main")
FACTOR = 1.3


def robot(address: str, frames: int, file: Path) -> subprocess.Popen:
    """One robot; its figures go to ``file``."""
    ask = ("benchmark", "--server", address, "--runs", str(frames), "--json", str(file))
    return subprocess.Popen([*COMMAND, *ask], stdout=subprocess.DEVNULL)


def measure(address: str, frames: int, folder: Path, robots: int) -> list[dict]:
    """Figures of so many robots at once."""
    files = [folder / f"{robots}_{index}.json" for index in range(robots)]
    running = [robot(address, frames, file) for file in files]
    for process in running:
        if process.wait(frames + 60):
            raise SystemExit(f"a robot ended with status {process.returncode}")
    return [json.loads(file.read_text()) for file in files]


def report(alone: list[dict], together: list[dict]) -> int:
    """Prints the table; returns the exit status."""

    def middle(runs: list[dict], stage: str, point: str) -> float:
        return float(np.median([run["stages"][stage][point] for run in runs]))

    step = middle(alone, "policy", "p50")
    print(f"a step of the model: {1000 * step:.1f} ms")
    print("| | alone | with another | at most |\n|---|---|---|---|")
    wrong = 0
    for point in ("p50", "p90", "p99"):
        single = middle(alone, "frame_to_chunk", point)
        pair = middle(together, "frame_to_chunk", point)
        limit = FACTOR * single + step
        wrong += pair > limit
        times = " | ".join(f"{1000 * seconds:.1f} ms" for seconds in (single, pair, limit))
        print(f"| frame to chunk {point} | {times} |")
    answers = " and ".join(
        f"{sum(run['answers'] for run in runs)} of {sum(run['frames'] for run in runs)}"
        for runs in (alone, together)
    )
    print(f"answered: {answers}")
    return 1 if wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    parser.add_argument("--frames", type=int, default=100, help="of each robot in each round")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    serve = ("serve", str(arguments.checkpoint), "--port", "0")
    server = subprocess.Popen([*COMMAND, *serve], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        words = server.stdout.readline().split()
        address = next(word.rstrip(":") for word in words if word.startswith("ws://"))
        alone, together = [], []
        with tempfile.TemporaryDirectory() as folder:
            for _ in range(arguments.rounds):
                alone += measure(address, arguments.frames, Path(folder), 1)
                together += measure(address, arguments.frames, Path(folder), 2)
        return report(alone, together)
    finally:
        server.terminate()
        server.wait(10)


if __name__ == "__main__":
    sys.exit(main())
