"""Adds to a data set that is there: the old files stay as they are, the whole is put in place."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from mobile_vla_ros.episodes.lerobot import layout
from mobile_vla_ros.episodes.lerobot.building import OLD, building_place
from mobile_vla_ros.episodes.lerobot.dataset import Existing
from mobile_vla_ros.episodes.lerobot.source import Source
from mobile_vla_ros.episodes.lerobot.statistics import Numbers
from mobile_vla_ros.episodes.schema import EpisodeError

_RENAME_EXCHANGE = 2
_AT_FDCWD = -100


def read_existing(root: Path, features: dict[str, Any], fps: int) -> Existing:
    """What is there already, once it is sure that the new episodes fit it.

    Raises:
        EpisodeError: it is no data set of version 3.0, or has another rate or other features.
    """
    source = Source(root)
    version = str(source.info.get("codebase_version"))
    if version != layout.VERSION:
        raise EpisodeError(f"{root} is of version {version}; only {layout.VERSION} is added to")
    if source.fps != fps:
        raise EpisodeError(
            f"{root} has {source.fps:g} frames/s, the new episodes {fps}: give --fps "
            f"{source.fps:g} if they were recorded at least that fast"
        )
    _check_features(root, source.features, features)
    tasks = [source.tasks[index] for index in sorted(source.tasks)]
    if sorted(source.tasks) != list(range(len(tasks))):
        raise EpisodeError(f"{root}: the tasks are not numbered from 0 on")
    return Existing(
        info={"chunks_size": layout.FILES_PER_CHUNK, **source.info},
        tasks=tasks,
        episodes=[entry.facts for entry in source.entries],
        schema=_episodes_schema(root),
        numbers=_numbers(source, features),
        camera=_camera_statistics(root),
    )


def link_files(source: Path, target: Path) -> None:
    """Puts the old data set's files under ``target`` too, without copying them where possible.

    All but ``info.json``, so that ``target`` is no data set before it is finished.
    """
    for path in sorted(source.rglob("*")):
        place = target / path.relative_to(source)
        if path.is_dir():
            place.mkdir(parents=True, exist_ok=True)
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        if path == source / layout.INFO_PATH:
            continue
        if place.parent.name == "meta" or path.name == layout.CARD_PATH:
            shutil.copyfile(path, place)  # written anew: the old one must not change with it
            continue
        try:
            os.link(path.resolve(), place)
        except OSError:
            shutil.copyfile(path, place)


def exchange(new: Path, old: Path) -> None:
    """Puts ``new`` in the place of ``old`` in one step, and takes the old one away."""
    library = ctypes.CDLL(None, use_errno=True)
    if hasattr(library, "renameat2"):
        names = os.fsencode(new), os.fsencode(old)
        if library.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
            shutil.rmtree(new)
            return
        code = ctypes.get_errno()
        if code not in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
            raise OSError(code, os.strerror(code), str(old))
    aside = building_place(old).with_name(f"{building_place(old).name}{OLD}")
    os.rename(old, aside)
    os.rename(new, old)
    shutil.rmtree(aside)


def _check_features(root: Path, there: dict[str, Any], new: dict[str, Any]) -> None:
    if set(there) != set(new):
        extra = ", ".join(sorted(set(there) ^ set(new)))
        raise EpisodeError(f"{root} has other features than the new episodes: {extra}")
    for name, entry in new.items():
        for what in ("dtype", "shape", "names"):
            if there[name].get(what) != entry[what]:
                raise EpisodeError(
                    f"{root}: {name} has the {what} {there[name].get(what)}, the new episodes "
                    f"{entry[what]}"
                )


def _episodes_schema(root: Path) -> Any:
    from pyarrow import parquet

    files = sorted((root / "meta" / "episodes").rglob("*.parquet"))
    return parquet.read_schema(files[-1]).remove_metadata()


def _numbers(source: Source, features: dict[str, Any]) -> dict[str, Numbers]:
    names = [name for name in features if name != layout.CAMERA]
    found = {name: Numbers() for name in names}
    for entry in source.entries:
        columns = source.numbers(entry, names)
        for name in names:
            found[name].values.append(np.asarray(columns[name], np.float64))
    return found


def _camera_statistics(root: Path) -> dict[str, Any] | None:
    try:
        stats = json.loads((root / layout.STATS_PATH).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    found = stats.get(layout.CAMERA)
    return found if isinstance(found, dict) and {"mean", "std", "count"} <= set(found) else None
