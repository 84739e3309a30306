from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_reader import BROKEN, NAME, broken, write_legacy

from mobile_vla_ros.episodes import CheckLimits, EpisodeWriter, check_episode

RNG = np.random.default_rng(2)
FRAMES = RNG.integers(60, 200, (20, 32, 48, 3), dtype=np.uint8)


def episode(
    path: Path,
    images: np.ndarray = FRAMES,
    stamps: np.ndarray | None = None,
    actions: np.ndarray | None = None,
    finish: dict[str, Any] | None = None,
    **options: Any,
) -> Path:
    count = len(images)
    stamps = np.arange(count) * 0.1 if stamps is None else stamps
    actions = np.tile([0.3, 0.0, 0.1], (count, 1)) if actions is None else actions
    writer = EpisodeWriter(
        path, **{"scenario": "1box_left", "instruction": "go left", **options}, flush=False
    )
    for image, stamp, action in zip(images, stamps, actions, strict=True):
        writer.append(
            image=image, action=action, image_stamp=stamp, received_stamp=stamp, action_stamp=stamp
        )
    return writer.finish(**(finish or {}))


def problems(path: Path, **limits: Any) -> str:
    report = check_episode(path, CheckLimits(**limits))
    assert report.ok == (not report.problems)
    return " | ".join(report.problems)


@pytest.mark.parametrize("image_format", ["raw", "jpeg"])
def test_a_good_episode_passes(tmp_path: Path, image_format: str) -> None:
    report = check_episode(episode(tmp_path / "a.h5", image_format=image_format))
    assert report.problems == ()
    assert (report.ok, report.complete, report.frames) == (True, True, 20)


def test_a_good_old_file_passes(tmp_path: Path) -> None:
    write_legacy(tmp_path / NAME, rows=18)
    assert problems(tmp_path / NAME, speed=9.9, turn_rate=9.9) == ""


def moved(row: int, by: float) -> np.ndarray:
    stamps = np.arange(20) * 0.1
    stamps[row:] += by
    return stamps


@pytest.mark.parametrize(
    ("stamps", "sentence"),
    [
        (moved(7, 0.5), "1 gap in the stamps, the widest 0.60 s after row 6"),
        (moved(7, -0.1), "do not rise: once, first after row 6"),
        (np.arange(20) * 0.3, "0.300 s apart, which does not fit the frame period of 0.400"),
        (np.full(20, np.nan), "not all numbers"),
    ],
)
def test_wrong_stamps_are_found(tmp_path: Path, stamps: np.ndarray, sentence: str) -> None:
    assert sentence in problems(episode(tmp_path / "a.h5", stamps=stamps))


def test_rows_of_key_presses_may_be_any_time_apart(tmp_path: Path) -> None:
    stamps = moved(7, 9.0)
    mode = {"recording_mode": "key_press"}
    assert problems(episode(tmp_path / "a.h5", stamps=stamps, attributes=mode)) == ""


@pytest.mark.parametrize("step", [0.033, 0.1, 0.2, 0.4, 0.42])
def test_a_spacing_that_fits_the_frame_period_passes(tmp_path: Path, step: float) -> None:
    assert problems(episode(tmp_path / "a.h5", stamps=np.arange(20) * step)) == ""


@pytest.mark.parametrize(
    ("finish", "sentence"),
    [
        ({"frames_dropped": 1}, "1 frame is dropped"),
        ({"frames_lost": 3}, "3 frames are lost"),
        ({"frames_received": 30}, "30 frames were received, but 20 written and 0 dropped"),
    ],
)
def test_frames_that_are_missing_are_found(tmp_path: Path, finish: dict, sentence: str) -> None:
    assert sentence in problems(episode(tmp_path / "a.h5", finish=finish))


@pytest.mark.parametrize("image_format", ["raw", "jpeg"])
def test_black_frozen_and_duplicate_frames_are_found(tmp_path: Path, image_format: str) -> None:
    images = FRAMES.copy()
    images[3:5] = 0
    images[9] = images[8]
    images[12:17] = images[12]
    found = problems(episode(tmp_path / "a.h5", images, image_format=image_format))
    assert "2 frames are black, first row 3" in found
    assert "frozen once while the robot moves, first in rows 12 to 16" in found
    assert "2 frames are the same as the one before" in found  # rows 4 and 9
    assert problems(tmp_path / "a.h5", frames=False) == ""


def test_equal_frames_of_a_robot_that_stands_are_no_problem(tmp_path: Path) -> None:
    images = np.tile(FRAMES[:1], (20, 1, 1, 1))
    assert problems(episode(tmp_path / "a.h5", images, actions=np.zeros((20, 3)))) == ""


def test_commands_beyond_the_limits_and_no_numbers_are_found(tmp_path: Path) -> None:
    actions = np.tile([1.15, 0.0, 0.1], (20, 1))
    assert problems(episode(tmp_path / "a.h5", actions=actions)) == ""
    actions[4:6, 2] = -2
    found = problems(episode(tmp_path / "b.h5", actions=actions))
    assert "2 of 20 commands on angular.z are beyond 1.15 rad/s (up to 2)" in found
    actions[0, 0] = np.nan
    assert "1 of 20 commands are not numbers" in problems(
        episode(tmp_path / "c.h5", actions=actions)
    )


def test_a_missing_instruction_is_found_unless_the_scenario_gives_one(tmp_path: Path) -> None:
    assert problems(episode(tmp_path / "a.h5", instruction="")) == ""
    path = episode(tmp_path / "b.h5", instruction="", scenario="corridor")
    assert "no instruction" in problems(path)


def test_an_incomplete_episode_may_be_in_order(tmp_path: Path) -> None:
    report = check_episode(episode(tmp_path / "a.h5", finish={"complete": False}))
    assert (report.ok, report.complete) == (True, False)


def test_interrupted_and_living_recordings_are_told_apart(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path / "a.h5", scenario="x", instruction="go")
    stamps = {f"{name}_stamp": 0 for name in ("image", "received", "action")}
    writer.append(image=FRAMES[0], action=[0, 0, 0], **stamps)
    assert "is being recorded now" in problems(tmp_path / "a.h5.part")
    with writer:
        pass
    report = check_episode(tmp_path / "a.h5.part")
    assert "episodes repair" in report.problems[0]
    assert report.frames == 1


@pytest.mark.parametrize("kind", BROKEN)
def test_an_unreadable_file_is_a_report_not_an_exception(tmp_path: Path, kind: str) -> None:
    broken(tmp_path / "x.h5", kind)
    report = check_episode(tmp_path / "x.h5")
    assert not report.ok
    assert len(report.problems) == 1
    assert report.frames == 0
