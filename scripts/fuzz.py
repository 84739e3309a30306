#!/usr/bin/env python3
"""Gives every reader mutated files: none may end in a traceback, hang, crash or eat the memory.

    nice .venv/bin/python scripts/fuzz.py --cases 20000
    .venv/bin/python scripts/fuzz.py --kind hdf5 --only 123   # one case again, with its traceback

A case is (seed, kind, number): the same file every time. Those that once failed stand in
scripts/fuzz_cases.json and are run first, also by `make test`. Each worker is a process of its
own; one that crashes, hangs for 10 s or passes 1 GB is a fault of the case it had.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
GOLDEN = REPOSITORY / "test" / "fixtures" / "golden" / "mobile_vla_frozen"
CASES = Path(__file__).with_name("fuzz_cases.json")
SEED = 20260801
PATIENCE = 10.0  # s for one case
_START = 120.0  # s for a worker's imports
MEMORY = 1 << 30  # bytes, the whole process
# How the cases are shared out.
SHARES = {
    "hdf5": 0.3,
    "bag": 0.2,
    "checkpoint": 0.1,
    "run_file": 0.15,
    "plan": 0.125,
    "trial_log": 0.125,
}
NUMBERS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 40, (1 << 64) - 1)
VALUES = (
    *("null", "true", "-1", "0", "1e999", "NaN", "1e400", '""', "[]", "{}", '"False"', "[[[]]]"),
    *("9" * 400, '"\\u2028"', '"\\ud800"', '"x"', "1:30", "0.5", "[1, 2]", '{"a": 1}'),
)


@dataclass
class Tally:
    """What came out of the cases of one kind."""

    cases: int = 0
    refused: int = 0
    slowest: float = 0.0
    memory: int = 0
    faults: list[dict[str, Any]] = field(default_factory=list)


# Files to begin with


def make_files(folder: Path) -> dict[str, list[Path]]:
    """Small whole files of each kind."""
    made = {kind: folder / kind for kind in SHARES}
    for place in made.values():
        place.mkdir(parents=True)
    _make_episodes(made["hdf5"])
    _make_bags(made["bag"])
    shutil.copytree(
        GOLDEN, made["checkpoint"], ignore=shutil.ignore_patterns("*.npz"), dirs_exist_ok=True
    )
    for number, file in enumerate(sorted((REPOSITORY / "config" / "experiments").glob("*.json"))):
        if number < 3:
            shutil.copyfile(file, made["run_file"] / file.name)
    shutil.copyfile(GOLDEN / "config.json", made["run_file"] / "golden.json")
    _make_plans(made["plan"])
    _make_log(made["trial_log"] / "trials.jsonl")
    return {
        kind: sorted(p for p in place.rglob("*") if p.is_file() and _is_input(kind, p))
        for kind, place in made.items()
    }


def _is_input(kind: str, path: Path) -> bool:
    return kind != "checkpoint" or path.suffix == ".ckpt"


def _make_episodes(folder: Path) -> None:
    import h5py
    import numpy as np

    from mobile_vla_ros.episodes.writer import EpisodeWriter

    images = np.random.default_rng(0).integers(0, 256, (12, 24, 32, 3), dtype=np.uint8)
    for kind in ("raw", "jpeg"):
        name = folder / f"episode_20250101_120000_1box_left_{kind}.h5"
        with EpisodeWriter(
            name, scenario="1box_left", instruction="go", image_format=kind, odom=True, flush=False
        ) as writer:
            for row, image in enumerate(images):
                stamp = 1e9 + row * 0.4
                writer.append(
                    image=image,
                    action=[0.1, 0.0, 0.2],
                    image_stamp=stamp,
                    received_stamp=stamp,
                    action_stamp=stamp,
                    odom=[0, 0, 0, 0, 0, 0, stamp],
                )
            writer.finish()
    with h5py.File(folder / "episode_20240101_120000_1box_left.h5", "w") as file:
        file.create_dataset("images", data=images, compression="gzip")
        file["actions"] = np.ones((12, 3), "f4")
        file.create_dataset(
            "action_event_types", data=["start_action"] * 12, dtype=h5py.string_dtype("utf-8")
        )
        file["language_instruction"] = [b"go left"]
        file.attrs["num_frames"] = 12
        file.attrs["frame_period"] = 0.4


def _make_bags(folder: Path) -> None:
    import numpy as np
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS2_JAZZY)
    types = store.types
    image, twist = "sensor_msgs/msg/Image", "geometry_msgs/msg/TwistStamped"
    vector = types["geometry_msgs/msg/Vector3"]
    for plugin in (StoragePlugin.MCAP, StoragePlugin.SQLITE3):
        path = folder / plugin.name.lower()
        with Writer(path, version=9, storage_plugin=plugin) as writer:
            to_image = writer.add_connection("/image", image, typestore=store)
            to_twist = writer.add_connection("/cmd_vel", twist, typestore=store)
            for row in range(10):
                time_ = types["builtin_interfaces/msg/Time"](1000 + row, 0)
                header = types["std_msgs/msg/Header"](time_, "camera")
                velocity = types["geometry_msgs/msg/Twist"](vector(0.1, 0, 0), vector(0, 0, 0.1))
                at = (1000 + row) * 10**9
                stamped = types[twist](header, velocity)
                pixels = np.full(8 * 8 * 3, row * 20, np.uint8)
                picture = types[image](header, 8, 8, "rgb8", 0, 24, pixels)
                writer.write(to_twist, at, store.serialize_cdr(stamped, twist))
                writer.write(to_image, at + 1000, store.serialize_cdr(picture, image))
        for file in path.iterdir():
            # A bag of one file each: with metadata a mutated file would be read as a torn one.
            if file.suffix in (".mcap", ".db3"):
                file.rename(folder / f"bag{file.suffix}")
        shutil.rmtree(path)


def _make_plans(folder: Path) -> None:
    from mobile_vla_ros.trials.plan import make_plan, plan_to_json

    (folder / "collect.yaml").write_text(
        "instruction: go\nscenarios:\n  1box_left: 30\n  2box_left:\n"
        "    levels: {close: 4, far: 5}\n    instruction: go between\n"
    )
    plan, _ = make_plan(
        {"1box_left": "go"}, {"a": "x", "b": "y"}, repeats=4, difference=(0.9, 0.6)
    )
    (folder / "trials.json").write_text(json.dumps(plan_to_json(plan), indent=1))


def _make_log(path: Path) -> None:
    from mobile_vla_ros.trials.record import TrialRecord, record_to_json

    with path.open("w", encoding="utf-8") as file:
        for number in range(6):
            record = TrialRecord(
                trial=f"t{number}",
                scenario="1box_left_close",
                instruction="왼쪽",
                checkpoint="ab"[number % 2],
                outcome=("success", "failure", "abort")[number % 3],
                number=number + 1,
                pair=f"p{number // 2}",
                path=((0.0, 0.0, 0.0, 0.0), (1.0, 0.5, 0.1, 0.2)),
                driving_time=3.0,
                latency={"p50": 0.1},
                stops=({"reason": "camera silent", "start": 1.0, "duration": 0.5},),
            )
            file.write(json.dumps(record_to_json(record), ensure_ascii=False) + "\n")


# Changing them


def mutated(data: bytes, rng: random.Random, text: bool, focus: int = 0) -> bytes:
    """The bytes with one to eight changes; with ``focus`` mostly near beginning and end."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5, 8))):
        if not changed:
            break
        if text and rng.random() < 0.7:
            changed = bytearray(_text_changed(bytes(changed), rng))
            continue
        _change_bytes(changed, rng, focus)
    return bytes(changed)


def _change_bytes(changed: bytearray, rng: random.Random, focus: int) -> None:
    size = len(changed)
    at = rng.randrange(size)
    if focus and rng.random() < 0.9:
        at = rng.randrange(min(focus, size))
        if rng.random() < 0.4:
            at = size - 1 - at
    length = rng.choice((1, 2, 4, 8, 16, 64, 256))
    how = rng.randrange(8)
    if how == 0:
        changed[at] ^= 1 << rng.randrange(8)
    elif how == 1:
        changed[at : at + length] = rng.randbytes(length)
    elif how == 2:
        changed[at : at + length] = bytes([rng.choice((0, 255))]) * length
    elif how == 3:
        width = rng.choice((1, 2, 4, 8))
        number = rng.choice(NUMBERS) & ((1 << 8 * width) - 1)
        changed[at : at + width] = number.to_bytes(width, rng.choice(("little", "big")))
    elif how == 4:
        del changed[at : at + length]
    elif how == 5:
        changed[at:at] = rng.randbytes(length)
    elif how == 6:
        source = rng.randrange(size)
        changed[at : at + length] = changed[source : source + length]
    elif rng.random() < 0.3:
        del changed[at:]


def _text_changed(data: bytes, rng: random.Random) -> bytes:
    """Another value, a doubled line, a key gone or misspelt, as people and programs do it."""
    text = data.decode("utf-8", errors="replace")
    marks = [place for place, letter in enumerate(text) if letter in ":,[]{}\n"]
    if not marks:
        return data
    first = rng.choice(marks)
    later = [mark for mark in marks if mark > first]
    end = later[0] if later else len(text)
    how = rng.randrange(4)
    if how == 0:
        text = text[: first + 1] + " " + rng.choice(VALUES) + text[end:]
    elif how == 1:
        text = text[:first] + text[end:]
    elif how == 2:
        text = text[:end] + text[first:end] + text[end:]
    else:
        depth = rng.choice((1, 10, 2000))
        text = text[: first + 1] + "[" * depth + text[first + 1 :]
    return text.encode("utf-8", errors="replace")


# Reading them


def read_hdf5(path: Path) -> None:
    """As `list`, `check`, `merge` and training do."""
    from mobile_vla_ros.episodes import check_episode, open_episode
    from mobile_vla_ros.episodes.checks import why_unusable
    from mobile_vla_ros.episodes.identity import identify
    from mobile_vla_ros.episodes.incident import is_incident

    is_incident(path)
    check_episode(path)
    why_unusable(path)
    with open_episode(path) as episode:
        identify(episode)
        episode.images(slice(None))


def read_bag(path: Path) -> None:
    """As `import-bag` does."""
    from mobile_vla_ros.episodes.import_bag import import_bag

    with tempfile.TemporaryDirectory(dir=path.parent) as out:
        import_bag(path, out, scenario="1box_left", instruction="go", rate=0)


def read_checkpoint(path: Path) -> None:
    """As `inspect` and every loader begin."""
    from mobile_vla_ros.policy.plan import plan_loading

    plan = plan_loading(path, backbone=GOLDEN / "pretrained", config=GOLDEN / "config.json")
    plan.check()


def read_run(path: Path) -> None:
    """As `train` and every loader do."""
    from mobile_vla_ros.policy.run_file import read_run_file
    from mobile_vla_ros.training.run import load_run

    read_run_file(path)
    load_run(path)


def read_plans(path: Path) -> None:
    """As the recorder and the trial manager do."""
    from mobile_vla_ros.episodes.plan import read_plan as read_collection
    from mobile_vla_ros.trials.plan import read_plan

    if path.suffix == ".json":
        read_plan(path)
    else:
        read_collection(path)


def read_log(path: Path) -> None:
    """As `trials report` does."""
    from mobile_vla_ros.trials.log import read_trials
    from mobile_vla_ros.trials.report import report_trials

    trials, _ = read_trials(path)
    report_trials(trials)


READERS: dict[str, Callable[[Path], None]] = {
    "hdf5": read_hdf5,
    "bag": read_bag,
    "checkpoint": read_checkpoint,
    "run_file": read_run,
    "plan": read_plans,
    "trial_log": read_log,
}


def make_case(kind: str, number: int, seed: int, files: list[Path], folder: Path) -> Path:
    """Writes the file of one case; the same three give the same bytes."""
    rng = random.Random(f"{seed} {kind} {number}")
    source = files[number % len(files)]
    text = kind in ("run_file", "plan", "trial_log")
    focus = 40_000 if kind == "checkpoint" else 0
    path = folder / source.name
    path.write_bytes(mutated(source.read_bytes(), rng, text, focus))
    return path


def run_case(kind: str, path: Path) -> str:
    """``read``, ``refused`` or the traceback."""
    from mobile_vla_ros.errors import InputError

    try:
        READERS[kind](path)
    except InputError as error:
        said = str(error)
        return "refused" if said and "Traceback" not in said else "a refusal without a sentence"
    except BaseException:  # noqa: BLE001  the fault that is looked for
        return traceback.format_exc()
    return "read"


def _worker(link: Connection, kind: str, seed: int, files: list[Path], folder: Path) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    # Imports are nobody's case.
    link.send(run_case(kind, files[0]))
    while True:
        number = link.recv()
        if number is None:
            return
        path = make_case(kind, number, seed, files, folder)
        started = time.monotonic()
        said = run_case(kind, path)
        peak = _peak_memory()
        link.send((said, time.monotonic() - started, peak))


def _peak_memory() -> int:
    """Bytes at this program's highest; getrusage would count those of whoever started it, too."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


class Runner:
    """A worker process for one kind, started anew after a fault."""

    def __init__(self, kind: str, seed: int, files: list[Path], folder: Path) -> None:
        self.kind = kind
        self._start = (kind, seed, files, folder)
        self._context = multiprocessing.get_context("spawn")
        self._link: Connection | None = None
        self._process: Any = None

    def run(self, number: int, tally: Tally) -> None:
        """Runs one case and notes what came of it."""
        if self._link is None:
            self._link, theirs = self._context.Pipe()
            self._process = self._context.Process(target=_worker, args=(theirs, *self._start))
            self._process.start()
            theirs.close()
            if not self._link.poll(_START) or self._link.recv() != "read":
                raise RuntimeError(f"{self.kind}: a file that nobody changed is not read")
        link = self._link
        link.send(number)
        said, seconds, peak = "hangs", PATIENCE, 0
        with contextlib.suppress(EOFError, ConnectionResetError):
            if link.poll(PATIENCE):
                said, seconds, peak = link.recv()
        if said == "hangs" and not self._process.is_alive():
            said = "crashes"
        if peak > MEMORY:
            said = f"takes {peak >> 20} MiB"
        tally.cases += 1
        tally.refused += said == "refused"
        tally.slowest = max(tally.slowest, seconds)
        tally.memory = max(tally.memory, peak)
        if said not in ("read", "refused"):
            tally.faults.append({"kind": self.kind, "number": number, "said": said})
            if "Traceback" not in said:
                self.close()

    def close(self) -> None:
        """Ends the worker."""
        if self._link is not None:
            self._process.kill()
            self._process.join()
            self._link.close()
            self._link = None


def campaign(
    cases: int,
    seed: int,
    kinds: list[str],
    folder: Path,
    known: list[dict[str, Any]] = (),  # type: ignore[assignment]
    say: Callable[[str], None] = lambda sentence: None,
) -> dict[str, Tally]:
    """Runs the known cases and then ``cases`` more, shared out over the kinds."""
    files = make_files(folder / "whole")
    tallies = {}
    total = sum(SHARES[kind] for kind in kinds)
    for kind in kinds:
        place = folder / f"cases_{kind}"
        place.mkdir()
        tally = tallies[kind] = Tally()
        runner = Runner(kind, seed, files[kind], place)
        numbers = [case["number"] for case in known if case["kind"] == kind]
        numbers += range(round(cases * SHARES[kind] / total))
        try:
            for done, number in enumerate(numbers, 1):
                runner.run(number, tally)
                if done % 500 == 0:
                    say(f"{kind}: {done} of {len(numbers)}, {len(tally.faults)} faults")
        finally:
            runner.close()
    return tallies


def known_cases() -> list[dict[str, Any]]:
    """The cases that failed once."""
    return json.loads(CASES.read_text(encoding="utf-8")) if CASES.exists() else []


def main() -> int:
    """Runs the campaign; exit 1 where there were faults."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--kind", choices=list(SHARES), action="append")
    parser.add_argument("--only", type=int, help="one case of --kind, with its traceback")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    kinds = given.kind or list(SHARES)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if given.only is not None:
            files = make_files(folder / "whole")
            path = make_case(kinds[0], given.only, given.seed, files[kinds[0]], folder)
            print(run_case(kinds[0], path))
            return 0
        started = time.monotonic()
        say = lambda sentence: print(sentence, file=sys.stderr, flush=True)  # noqa: E731
        tallies = campaign(given.cases, given.seed, kinds, folder, known_cases(), say)
        seconds = time.monotonic() - started
    print("| kind | cases | refused | slowest (s) | memory (MiB) | faults |")
    print("|---|---|---|---|---|---|")
    for kind, tally in tallies.items():
        print(
            f"| {kind} | {tally.cases} | {tally.refused} | {tally.slowest:.2f} | "
            f"{tally.memory >> 20} | {len(tally.faults)} |"
        )
    faults = [fault for tally in tallies.values() for fault in tally.faults]
    print(f"{seconds:.0f} s, seed {given.seed}")
    kinds_of_fault = Counter(fault["said"].strip().split("\n")[-1][:150] for fault in faults)
    for said, count in kinds_of_fault.most_common():
        print(f"{count} x {said}")
    if given.json is not None:
        given.json.write_text(json.dumps(faults, indent=1), encoding="utf-8")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
