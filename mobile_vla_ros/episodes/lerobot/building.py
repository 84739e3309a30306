"""The hidden folder that a data set is built in, and what a killed export left of its own."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from mobile_vla_ros.episodes.schema import EpisodeError
from mobile_vla_ros.folders import abandoned, held

OLD = ".old"
"""Ends the name of a data set that is being replaced, where a file system cannot exchange two."""


def building_place(folder: Path) -> Path:
    """Where this process builds what will be ``folder``."""
    return folder.with_name(f".{folder.name}.{os.getpid()}")


@contextlib.contextmanager
def building(folder: Path) -> Iterator[Path]:
    """A new hidden folder beside ``folder``; whatever still has its name at the end is removed.

    It is locked for as long as this process lives, which tells it from one that was left.

    Raises:
        OSError: it cannot be made.
    """
    place = building_place(folder)
    place.mkdir(parents=True)
    with held(place):
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)


def take_away_left(folder: Path) -> tuple[str, ...]:
    """Removes what exports to ``folder`` left that were killed; returns the names.

    Raises:
        EpisodeError: one was killed in the instant between taking the old data set away and
            putting the new one there; nothing is removed then.
    """
    ours = re.compile(re.escape(f".{folder.name}.") + rf"\d+({re.escape(OLD)})?")
    beside = folder.absolute().parent
    left = [p for p in sorted(beside.iterdir()) if ours.fullmatch(p.name) and abandoned(p)]
    for place in left:
        if place.name.endswith(OLD) and not folder.exists():
            raise EpisodeError(
                f"an export was cut off while it put {folder} in place: the data set as it was "
                f"is {place}; give it its name back with `mv` and start again"
            )
    for place in left:
        shutil.rmtree(place, ignore_errors=True)
    return tuple(place.name for place in left if not place.exists())
