from __future__ import annotations

import pytest

from mobile_vla_ros.episodes.recording import RecordingSettings
from mobile_vla_ros.episodes.room import needed_bytes
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
