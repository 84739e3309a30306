from __future__ import annotations

import pytest

from mobile_vla_ros.episodes.recording import RecordingSettings
from mobile_vla_ros.episodes.room import (
    cost_of_plan,
    cost_of_raw,
    cost_of_rest,
    needed_bytes,
)
from mobile_vla_ros.episodes.viewfinder import Sight

RAW = Sight(0.0, 0.0, 64 * 48 * 4, (64, 48, "rgba8"))
JPEG = Sight(0.0, 0.0, 1000)
PIXELS = 64 * 48 * 3


@pytest.mark.parametrize(
    ("settings", "sight", "jpeg", "interval", "expected"),
    [
        (RecordingSettings(episode_length=20), RAW, False, 0.0, 20 * PIXELS),
        (RecordingSettings(episode_length=20), RAW, True, 0.0, 5 * PIXELS),
        (RecordingSettings(episode_length=20), JPEG, True, 0.0, 30_000),
        (RecordingSettings(rate=5.0), RAW, False, 0.0, 600 * PIXELS),
        (RecordingSettings(mode="key_press"), RAW, False, 0.0, 300 * PIXELS),
        (RecordingSettings(mode="frame"), RAW, False, 0.1, 1200 * PIXELS),
        (RecordingSettings(mode="frame"), RAW, False, 0.0, 3600 * PIXELS),
    ],
)
def test_room_is_asked_for_by_rows_and_bytes_per_row(
    settings, sight, jpeg, interval, expected
) -> None:
    assert needed_bytes(settings, sight, jpeg=jpeg, camera_interval=interval) == expected


def test_raw_pictures_are_told_with_what_they_cost_and_small_ones_are_not() -> None:
    settings = RecordingSettings(mode="rate", rate=10.0)
    large = Sight(0.0, 0.0, 640 * 360 * 3, (640, 360, "rgb8"), "camera")
    said = cost_of_raw(settings, large, camera_interval=0.1, free_bytes=6_912_000 * 600)
    assert "6.9 MB/s" in said
    assert "full in 10 min" in said
    assert "image_format:=jpeg" in said
    small = Sight(0.0, 0.0, 64 * 48 * 3, (64, 48, "rgb8"), "camera")
    assert cost_of_raw(settings, small, camera_interval=0.1, free_bytes=10**9) == ""
    compressed = Sight(0.0, 0.0, 500_000, None, "camera")
    assert cost_of_raw(settings, compressed, camera_interval=0.1, free_bytes=10**9) == ""


def test_a_plan_is_told_with_what_it_takes_against_the_disk(tmp_path) -> None:
    settings = RecordingSettings(mode="rate", rate=10.0)
    large = Sight(0.0, 0.0, 640 * 360 * 3, (640, 360, "rgb8"), "camera")
    said = cost_of_raw(settings, large, camera_interval=0.1, free_bytes=10**10, missing=250)
    assert "the 250 episodes that the plan still wants take about 51.8 GB (raw, 30 s each)" in said
    assert "10.0 GB are free: not enough" in said
    short = RecordingSettings(mode="rate", rate=10.0, episode_length=18)
    said = cost_of_raw(short, large, camera_interval=0.1, free_bytes=10**10, missing=1)
    assert "the one episode that the plan still wants takes about 0.0 GB (raw, 2 s each)" in said
    assert "not enough" not in said
    said = cost_of_plan(2, 5e9, 0, "x")
    assert said == "the 2 episodes that the plan still wants take about 10.0 GB (x)"
    assert "as JPEG about a sixth, 8.6 GB" in cost_of_rest(250, [], tmp_path / "not" / "there")
    said = cost_of_rest(100, [40_000_000, 60_000_000], tmp_path)
    assert "about 5.0 GB (50 MB each, as until now), " in said
