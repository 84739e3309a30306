"""How much room an episode is going to need on the disk."""

from __future__ import annotations

from mobile_vla_ros.episodes.recording import RecordingSettings
from mobile_vla_ros.episodes.viewfinder import Sight

# Room asked for at the start when no length is given: this many seconds of rows.
UNLIMITED_SECONDS = 120.0
# One row per press and hold time in key-press mode.
PRESSES_PER_SECOND = 2.5
# Of a camera whose interval is not known yet.
USUAL_CAMERA_RATE = 30.0
# Bytes of a JPEG by those of its pixels, on the safe side.
JPEG_SHARE = 0.25
# The next compressed picture may be this much larger than one that was seen.
COMPRESSED_MARGIN = 1.5
# Bytes per second from where on raw pictures are worth a word: 7 GB an hour.
NOTEWORTHY = 2e6


def needed_bytes(
    settings: RecordingSettings, sight: Sight, *, jpeg: bool, camera_interval: float
) -> int:
    """Bytes that the rows of an episode will take, on the safe side.

    Args:
        settings: how rows are chosen, and how many.
        sight: a frame of the camera.
        jpeg: raw pixels are stored as JPEG.
        camera_interval: usual time between camera frames, s; 0 when unknown.
    """
    if sight.form is None:
        row_bytes = COMPRESSED_MARGIN * sight.size
    else:
        width, height, _ = sight.form
        row_bytes = width * height * 3 * (JPEG_SHARE if jpeg else 1.0)
    rows = settings.episode_length or UNLIMITED_SECONDS * _rows_per_second(
        settings, camera_interval
    )
    return int(rows * row_bytes)


def cost_of_raw(
    settings: RecordingSettings, sight: Sight, *, camera_interval: float, free_bytes: int
) -> str:
    """What it costs to keep a camera's raw pixels as they are; empty where it is little.

    Args:
        settings: how rows are chosen.
        sight: a frame of the camera.
        camera_interval: usual time between camera frames, s; 0 when unknown.
        free_bytes: what the disk has left; 0 when unknown.
    """
    if sight.form is None:
        return ""
    width, height, _ = sight.form
    rate = width * height * 3 * _rows_per_second(settings, camera_interval)
    if rate < NOTEWORTHY:
        return ""
    full = (
        f", the disk is full in {free_bytes / rate / 60:.0f} min of recording"
        if free_bytes
        else ""
    )
    return (
        f"raw pictures take {rate / 1e6:.1f} MB/s{full}; image_format:=jpeg takes a tenth or less"
    )


def _rows_per_second(settings: RecordingSettings, camera_interval: float) -> float:
    if settings.mode == "rate":
        return settings.rate
    if settings.mode == "key_press":
        return PRESSES_PER_SECOND
    return 1.0 / camera_interval if camera_interval else USUAL_CAMERA_RATE
