"""The layout of an episode that is being recorded: which datasets, with room for which rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from h5py import h5d, h5p, h5s, h5t

from mobile_vla_ros.axes import AXES
from mobile_vla_ros.episodes import schema
from mobile_vla_ros.episodes.schema import EpisodeError

FIRST_ROWS = 64
ROWS_PER_CHUNK = 64
JPEG_CHUNKS_AT_ONCE = 64
_MOST_BYTES_AT_ONCE = 1 << 30
_SMALLEST_JPEG_CHUNK = 1 << 16
_LARGEST_JPEG_CHUNK = 1 << 20
_LARGEST_ATTRIBUTE = 32_000  # bytes; the format's limit for all of one attribute is 64 KiB


@dataclass(frozen=True)
class EpisodeLayout:
    """What an episode is made of.

    Attributes:
        name: of the episode.
        axes: names of the action columns.
        frame_period: seconds.
        image_format: ``raw`` or ``jpeg``.
        odom: whether odometry is kept.
        takeovers: whether rows say who drove.
        attributes: of the file, beside those that every episode has.
        shape: (H, W, 3) of the frames.
    """

    name: str
    axes: tuple[str, ...]
    frame_period: float
    image_format: str
    odom: bool
    takeovers: bool
    attributes: Mapping[str, Any]
    shape: tuple[int, ...] | None = None


@dataclass
class Room:
    """How much fits: rows, bytes of JPEG, and the bytes of one JPEG chunk (0 for raw frames)."""

    rows: int
    jpeg: int = 0
    jpeg_chunk: int = 0


def check_layout(layout: EpisodeLayout, name: str) -> None:
    """Refuses what no episode can be made of.

    Raises:
        EpisodeError: format, period or axes are wrong; ``name`` stands in the sentence.
    """
    if layout.image_format not in ("raw", "jpeg"):
        raise EpisodeError(
            f"{name}: image_format must be raw or jpeg, not {layout.image_format!r}"
        )
    if not layout.frame_period > 0:
        raise EpisodeError(f"{name}: frame_period must be positive, not {layout.frame_period}")
    axes = layout.axes
    if not axes or len(set(axes)) != len(axes) or any(axis not in AXES for axis in axes):
        raise EpisodeError(
            f"{name}: action_axes must be different ones of {', '.join(AXES)}, not {list(axes)}"
        )


def lay_out(file: h5py.File, layout: EpisodeLayout, payload_size: int) -> Room:
    """Makes every dataset and attribute of an empty episode.

    Args:
        file: the new file.
        layout: what it is made of.
        payload_size: bytes of the first frame, by which JPEG chunks are sized.
    """
    attributes = {
        "schema_version": schema.SCHEMA_VERSION,
        "episode_name": layout.name,
        "num_frames": 0,
        "total_duration": 0.0,
        "action_chunk_size": schema.DEFAULT_CHUNK_SIZE,
        "action_axes": list(layout.axes),
        "frame_period": layout.frame_period,
        "image_format": layout.image_format,
        "outcome": "",
        "complete": False,
        "frames_received": 0,
        "frames_written": 0,
        "frames_dropped": 0,
        "frames_lost": 0,
        **layout.attributes,
    }
    for name, value in attributes.items():
        if np.asarray(value).nbytes > _LARGEST_ATTRIBUTE and not isinstance(value, str):
            file[f"{schema.MORE}/{name}"] = value
        else:
            file.attrs[name] = schema.storable(value)
    text = schema.cut_utf8(str(attributes["instruction"]), schema.INSTRUCTION_BYTES)
    file[schema.INSTRUCTION] = np.array([text], schema.INSTRUCTION_TYPE)
    file.create_group(schema.STAMPS)
    _fixed(file, schema.COMMITTED, ())
    _fixed(file, schema.COUNTS, (2,))
    _rows(file, schema.ACTIONS, (len(layout.axes),), schema.ACTION_TYPE, ROWS_PER_CHUNK)
    _rows(file, schema.EVENTS, (), schema.EVENT_TYPE, ROWS_PER_CHUNK)
    for name in (schema.IMAGE_STAMPS, schema.RECEIVED_STAMPS, schema.ACTION_STAMPS):
        _rows(file, name, (), schema.STAMP_TYPE, ROWS_PER_CHUNK)
    if layout.odom:
        _rows(file, schema.ODOM, (7,), schema.STAMP_TYPE, ROWS_PER_CHUNK)
    if layout.takeovers:
        _rows(file, schema.TAKEN_OVER, (), np.dtype("u1"), ROWS_PER_CHUNK)
    if layout.image_format != "jpeg":
        _rows(file, schema.IMAGES, layout.shape or (), np.dtype("u1"), 1)
        return Room(resize_rows(file, FIRST_ROWS, 0))
    chunk = min(
        max(1 << (4 * payload_size).bit_length(), _SMALLEST_JPEG_CHUNK), _LARGEST_JPEG_CHUNK
    )
    _rows(file, schema.JPEG_END, (), schema.COUNT_TYPE, ROWS_PER_CHUNK)
    _rows(file, schema.JPEG, (), np.dtype("u1"), chunk)
    room = Room(resize_rows(file, FIRST_ROWS, 0), JPEG_CHUNKS_AT_ONCE // 8 * chunk, chunk)
    file[schema.JPEG].resize(room.jpeg, 0)
    return room


def chunked(file: h5py.File) -> list[str]:
    """The datasets with a row per frame (and the flat JPEG bytes), images last."""
    names = [
        schema.ACTIONS,
        schema.EVENTS,
        schema.IMAGE_STAMPS,
        schema.RECEIVED_STAMPS,
        schema.ACTION_STAMPS,
        schema.ODOM,
        schema.TAKEN_OVER,
        schema.JPEG_END,
        schema.JPEG,
        schema.IMAGES,
    ]
    return [name for name in names if name in file]


def _rows(
    file: h5py.File, name: str, rest: tuple[int, ...], kind: np.dtype, rows_per_chunk: int
) -> None:
    """A dataset that grows by rows, with its room in the file from the start, unfilled."""
    properties = h5p.create(h5p.DATASET_CREATE)
    properties.set_obj_track_times(False)  # the same frames give the same bytes
    properties.set_chunk((rows_per_chunk, *rest))
    properties.set_alloc_time(h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5d.FILL_TIME_NEVER)
    space = h5s.create_simple((0, *rest), (h5s.UNLIMITED, *rest))
    h5d.create(file.id, name.encode(), h5t.py_create(kind, logical=True), space, properties)


def _fixed(file: h5py.File, name: str, shape: tuple[int, ...]) -> None:
    properties = h5p.create(h5p.DATASET_CREATE)
    properties.set_obj_track_times(False)  # the same frames give the same bytes
    properties.set_alloc_time(h5d.ALLOC_TIME_EARLY)
    space = h5s.create_simple(shape) if shape else h5s.create(h5s.SCALAR)
    kind = h5t.py_create(schema.COUNT_TYPE, logical=True)
    h5d.create(file.id, name.encode(), kind, space, properties)


def resize_rows(file: h5py.File, wanted: int, now: int) -> int:
    """Makes room for ``wanted`` rows (fewer if frames are very large); returns the rows."""
    if schema.IMAGES in file:
        frame = int(np.prod(file[schema.IMAGES].shape[1:]))
        most = max(8, _MOST_BYTES_AT_ONCE // frame)
        # Full index nodes (64 chunks) split at once, so the new nodes lie before the new frames
        # and the file's tail can be cut off at the end.
        most = most // FIRST_ROWS * FIRST_ROWS or most
        wanted = min(wanted, now + most)
    for name in chunked(file):
        if name != schema.JPEG:
            file[name].resize(wanted, 0)
    return wanted
