"""How much room an episode is going to need on the disk."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

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
# What a plan is reckoned with as long as nothing is known: seconds of an episode, its rows per
# second, the pixels of a frame, and the share of them that a JPEG takes.
USUAL_SECONDS = 30.0
USUAL_RATE = 10.0
USUAL_PIXELS = 640 * 360
USUAL_JPEG_SHARE = 1 / 6


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
    settings: RecordingSettings,
    sight: Sight,
    *,
    camera_interval: float,
    free_bytes: int,
    missing: int = 0,
) -> str:
    """What it costs to keep a camera's raw pixels as they are; empty where it is little.

    Args:
        settings: how rows are chosen.
        sight: a frame of the camera.
        camera_interval: usual time between camera frames, s; 0 when unknown.
        free_bytes: what the disk has left; 0 when unknown.
        missing: episodes that a plan still wants.
    """
    if sight.form is None:
        return ""
    width, height, _ = sight.form
    rows = _rows_per_second(settings, camera_interval)
    rate = width * height * 3 * rows
    if rate < NOTEWORTHY:
        return ""
    full = (
        f", the disk is full in {free_bytes / rate / 60:.0f} min of recording"
        if free_bytes
        else ""
    )
    said = f"raw pictures take {rate / 1e6:.1f} MB/s{full}; image_format:=jpeg about a sixth"
    if not missing:
        return said
    seconds = settings.episode_length / rows if settings.episode_length else USUAL_SECONDS
    basis = f"raw, {seconds:.0f} s each"
    return f"{said}; {cost_of_plan(missing, rate * seconds, free_bytes, basis)}"


def cost_of_plan(missing: int, bytes_each: float, free_bytes: int, basis: str) -> str:
    """What the episodes that a plan still wants take, against the disk.

    Args:
        missing: how many.
        bytes_each: of one.
        free_bytes: what the disk has left; 0 when unknown.
        basis: what ``bytes_each`` goes by.
    """
    wanted = missing * bytes_each
    episodes = "the one episode that the plan still wants takes"
    if missing > 1:
        episodes = f"the {missing} episodes that the plan still wants take"
    said = f"{episodes} about {_gigabytes(wanted)} ({basis})"
    if not free_bytes:
        return said
    room = "" if wanted < free_bytes else ": not enough"
    return f"{said}, {_gigabytes(free_bytes)} are free{room}"


def cost_of_rest(missing: int, sizes: Sequence[int], folder: Path) -> str:
    """What the rest of a plan takes, by what was recorded so far, or for a usual camera.

    Args:
        missing: episodes that the plan still wants.
        sizes: bytes of those that there are.
        folder: where they lie; it need not be there yet.
    """
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(place).free
    if sizes:
        each = sum(sizes) / len(sizes)
        return cost_of_plan(missing, each, free, f"{each / 1e6:.0f} MB each, as until now")
    each = USUAL_PIXELS * 3 * USUAL_RATE * USUAL_SECONDS
    basis = f"raw 640x360, {USUAL_RATE:.0f} rows/s, {USUAL_SECONDS:.0f} s each"
    jpeg = _gigabytes(missing * each * USUAL_JPEG_SHARE)
    return f"{cost_of_plan(missing, each, free, basis)}; as JPEG about a sixth, {jpeg}"


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:.1f} GB"


def _rows_per_second(settings: RecordingSettings, camera_interval: float) -> float:
    if settings.mode == "rate":
        return settings.rate
    if settings.mode == "key_press":
        return PRESSES_PER_SECOND
    return 1.0 / camera_interval if camera_interval else USUAL_CAMERA_RATE
