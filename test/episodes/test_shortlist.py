"""The shortlist of known recordings leaves none out that a full comparison would find."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from mobile_vla_ros.axes import AXES
from mobile_vla_ros.episodes.identity import Identity
from mobile_vla_ros.episodes.shortlist import COMMAND, MIRRORED, Shortlist, alike

NAN = float("nan")


def commands(values: np.ndarray) -> np.ndarray:
    """float64 [T, 6] of linear.x and angular.z; the others are not recorded."""
    found = np.full((len(values), len(AXES)), NAN)
    found[:, 0], found[:, 5] = values[:, 0], values[:, 1]
    return found


def identity(stamps: np.ndarray, told: np.ndarray, name: str = "a.h5") -> Identity:
    looks = np.zeros((len(stamps), 8, 12), np.uint8)
    return Identity(name, name, name, (), "", float(stamps[0]), stamps - stamps[0], told, looks)


def recording(
    rng: np.random.Generator, rows: int, still: float = 0.4
) -> tuple[np.ndarray, np.ndarray]:
    """Stamps and commands of a drive that stands still now and then."""
    told = rng.uniform(-1, 1, (rows, 2))
    told[rng.random(rows) < still] = 0
    told[:, 0] = np.where(rng.random(rows) < 0.5, 0.3, told[:, 0])
    return rng.uniform(0, 1e6) + 0.4 * np.arange(rows), commands(told)


def by_hand(first: np.ndarray, second: np.ndarray) -> set[tuple[int, int]]:
    apart = np.nan_to_num(np.abs(first[:, None] - second[None]), nan=0.0)
    return {(int(a), int(b)) for a, b in np.argwhere((apart <= COMMAND).all(axis=2))}


@pytest.mark.parametrize("seed", range(30))
def test_pairs_are_those_of_every_row_with_every_row(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first = rng.integers(-3, 4, (23, 6)) * 1e-3
    second = rng.integers(-3, 4, (17, 6)) * 1e-3
    for table in (first, second):
        table[rng.random(table.shape) < 0.2] = NAN
        if seed % 3 == 0:
            table[:, rng.integers(6)] = NAN
    if seed == 1:
        second[:] = NAN
    assert set(zip(*map(list, alike(first, second)), strict=True)) == by_hand(first, second)


@pytest.mark.parametrize("seed", range(20))
def test_a_part_of_a_recording_is_on_the_list(seed: int) -> None:
    rng = np.random.default_rng(seed)
    known, files = [], []
    for _ in range(12):
        stamps, told = recording(rng, 40)
        kept = np.unique(np.linspace(0, 39, 12).astype(int))
        known.append(identity(stamps[kept], told[kept]))
        first = int(rng.integers(0, 28))
        part = slice(first, first + 12)  # at least three kept frames lie in it
        begins = rng.choice([stamps[first], 0.0, 5e5])
        signs = rng.choice([1, -1]) * 1.0
        moved = told[part] * (MIRRORED if signs < 0 else 1)
        files.append((stamps[part] - stamps[first] + begins, moved))
    shortlist = Shortlist(known)
    for number, (stamps, told) in enumerate(files):
        assert number in shortlist.candidates(stamps, told, 0.12)


def test_short_recordings_need_no_three_frames() -> None:
    stamps, told = recording(np.random.default_rng(3), 2)
    shortlist = Shortlist([identity(stamps, told), identity(stamps[:1] + 9e6, told[:1])])
    assert shortlist.candidates(stamps + 77, told, 0.1) == [0, 1]


def test_what_is_known_by_its_bytes_alone_is_never_on_it() -> None:
    assert (
        Shortlist([Identity.bare("a.h5", "0" * 64)]).candidates(
            np.arange(5.0), np.zeros((5, 6)), 0.1
        )
        == []
    )
    assert Shortlist([]).candidates(np.arange(5.0), np.zeros((5, 6)), 0.1) == []


def test_thousands_of_recordings_leave_few_to_look_at() -> None:
    rng = np.random.default_rng(0)
    known = []
    for number in range(3000):
        stamps, told = recording(rng, 12, still=0.05)
        known.append(identity(stamps, told, f"{number}.h5"))
    shortlist = Shortlist(known)
    stamps, told = recording(rng, 50, still=0.05)
    start = time.process_time()
    chosen = shortlist.candidates(stamps, told, 0.12)
    assert time.process_time() - start < 1.0
    assert len(chosen) < 300


def test_the_list_tells_no_difference_to_looking_at_all(tmp_path: Path) -> None:
    """With stamps of one clock a recording is on it whatever was commanded."""
    stamps, told = recording(np.random.default_rng(1), 20)
    shortlist = Shortlist([identity(stamps, told)])
    assert shortlist.candidates(stamps[5:9], told[5:9] + 1.0, 1e-3) == [0]
    assert shortlist.candidates(stamps + 1e4, told + 1.0, 1e-3) == []
