"""Makes an episode of what was recorded: exact length, counted again, under its final name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py

from mobile_vla_ros.episodes import schema
from mobile_vla_ros.episodes.layout import chunked
from mobile_vla_ros.episodes.names import free_path
from mobile_vla_ros.episodes.schema import EpisodeError
from mobile_vla_ros.episodes.structure import edit_structure
from mobile_vla_ros.files import rename_new, sync


def finish_part(
    descriptor: int, part: Path, final: Path, rows: int, attributes: Mapping[str, Any]
) -> Path:
    """Cuts a ``.part`` file to its rows, counts them again and gives it its final name.

    Args:
        descriptor: the part file, open for reading and writing.
        part: its path.
        final: the wanted name; a counter is added if it is taken.
        rows: the committed rows, at least 1.
        attributes: what to set, beside the frame count and the duration.

    Raises:
        OSError: the disk failed.
        EpisodeError: the file read back is not what was written.
    """
    target = free_path(final) if final.exists() else final
    with edit_structure(descriptor) as file:
        jpeg_bytes = int(file[schema.JPEG_END][rows - 1]) if schema.JPEG in file else 0
        for name in chunked(file):
            file[name].resize(jpeg_bytes if name == schema.JPEG else rows, 0)
        stamps = file[schema.IMAGE_STAMPS]
        duration = float(stamps[rows - 1] - stamps[0])
    with edit_structure(descriptor) as file:
        for name, value in {
            "num_frames": rows,
            "total_duration": duration,
            "episode_name": target.stem,
            **attributes,
        }.items():
            if name in file.attrs and not isinstance(value, str):
                file.attrs.modify(name, value)
            elif file.attrs.get(name) != value:
                file.attrs[name] = schema.storable(value)
    os.fsync(descriptor)
    _verify(part, rows, jpeg_bytes)
    while True:
        try:
            rename_new(part, target)
        except FileExistsError:
            target = free_path(final)
            continue
        break
    sync(final.parent)
    return target


def _verify(part: Path, rows: int, jpeg_bytes: int) -> None:
    """Opens the file as any program would and counts.

    Raises:
        EpisodeError: a dataset has another length, or the last frame cannot be read.
    """
    try:
        with h5py.File(part, "r", locking=False) as file:
            found = {name: len(file[name]) for name in chunked(file)}
            expected = {name: jpeg_bytes if name == schema.JPEG else rows for name in found}
            committed = int(file[schema.COMMITTED][()])
            file[schema.ACTIONS][rows - 1]
            if schema.IMAGES in file:
                file[schema.IMAGES][rows - 1]
            else:
                ends = file[schema.JPEG_END][max(0, rows - 2) :]
                file[schema.JPEG][int(ends[0]) if rows > 1 else 0 : int(ends[-1])]
    except (OSError, KeyError, RuntimeError) as error:
        raise EpisodeError(f"{part} cannot be read back: {error}") from error
    if found != expected or committed != rows:
        raise EpisodeError(f"{part} holds {found} ({committed} committed) instead of {rows} rows")
