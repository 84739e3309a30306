from __future__ import annotations

import pytest

from mobile_vla_ros.episodes.recording import RecordingSettings
from mobile_vla_ros.episodes.room import cost_of_raw, needed_bytes
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
