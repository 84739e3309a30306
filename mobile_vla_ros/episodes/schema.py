"""Names, types and defaults of an episode file, shared by everything that writes or reads one.

Old programs know ``images`` [T,H,W,3] uint8 RGB, ``actions`` [T,A] float32,
``action_event_types`` [T], ``language_instruction`` [1] and four attributes. Our files hold the
same and more beside it, so those programs still open them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mobile_vla_ros.axes import PLANAR_AXES, UNICYCLE_AXES
from mobile_vla_ros.errors import InputError

SCHEMA_VERSION = 2
PART_SUFFIX = ".part"

IMAGES = "images"
JPEG = "images_jpeg"
JPEG_END = "images_jpeg_end"
ACTIONS = "actions"
EVENTS = "action_event_types"
INSTRUCTION = "language_instruction"
STAMPS = "stamps"
IMAGE_STAMPS = "stamps/image"
RECEIVED_STAMPS = "stamps/received"
ACTION_STAMPS = "stamps/action"
ODOM = "odom"
TAKEN_OVER = "taken_over"  # uint8 [T]: 1 while a person had taken over from the policy
COMMITTED = "committed_rows"
COUNTS = "counts"
MORE = "attributes"  # group of what is too large for an attribute

EVENT_TYPES = ("episode_start", "start_action", "stop_action")
ODOM_COLUMNS = ("x", "y", "yaw", "vx", "vy", "wz", "stamp")
DEFAULT_FRAME_PERIOD = 0.4
DEFAULT_CHUNK_SIZE = 10
INSTRUCTION_BYTES = 256

EVENT_TYPE = h5py.string_dtype("utf-8", 16)
INSTRUCTION_TYPE = h5py.string_dtype("utf-8", INSTRUCTION_BYTES)
STAMP_TYPE = np.dtype("<f8")
ACTION_TYPE = np.dtype("<f4")
COUNT_TYPE = np.dtype("<i8")


class EpisodeError(InputError):
    """An episode that cannot be written or used; the sentence names the file and the mend."""


def part_path(path: str | Path) -> Path:
    """Name of an episode while it is recorded: ``<name>.h5.part``."""
    final = Path(path)
    return final.with_name(final.name + PART_SUFFIX)


def storable(value: Any) -> Any:
    """A value as HDF5 can hold it: text as UTF-8, which a file's name need not be, without NUL."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd").encode("utf-8", errors="replace").decode("utf-8")
    return value


def cut_utf8(text: str, size: int) -> bytes:
    """``text`` as UTF-8 of at most ``size`` bytes, cut between characters, never inside one."""
    return (
        text.encode("utf-8", errors="replace")[:size]
        .decode("utf-8", errors="ignore")
        .encode("utf-8")
    )


def default_axes(columns: int) -> tuple[str, ...]:
    """What the columns of a file that does not say are taken for.

    Three are what the lab's collector wrote (linear.x, linear.y, angular.z); two are forward
    speed and turning. Other counts have no names.
    """
    return {2: UNICYCLE_AXES, 3: PLANAR_AXES}.get(columns, ())
