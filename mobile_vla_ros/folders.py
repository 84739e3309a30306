"""Folders that are there whole or not at all, and what a killed process left of one."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from mobile_vla_ros.files import sync

_MODE = 0o755


@contextlib.contextmanager
def whole_folder(
    path: str | Path,
    ours: Collection[str],
    put: Callable[[Path, Path], None] = os.rename,
) -> Iterator[Path]:
    """A folder to write in; it becomes ``path`` when all went well, and vanishes otherwise.

    What killed processes left of their folders for ``path`` is removed first.

    Args:
        path: the folder; a missing one above it is made.
        ours: every name that is written directly under it: what holds another is not removed.
        put: told the finished folder and ``path``; brings the one to the place of the other.

    Yields:
        An empty folder beside ``path``.

    Raises:
        OSError: the disk is full, or nothing can be written there.
    """
    target = Path(path).absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned_folders(target, ours)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    with held(temporary):
        try:
            yield temporary
            temporary.chmod(_MODE)
            sync(temporary)
            put(temporary, target)
            sync(target.parent)
        finally:
            # After the last step there is nothing left under this name.
            shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def held(folder: str | Path) -> Iterator[None]:
    """Marks a folder that is being built; the mark goes with the process, however that ends."""
    claim = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):  # not every network file system has locks
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(claim)


def abandoned(folder: str | Path) -> bool:
    """Whether no living process builds in this folder (see ``held``), as far as can be told."""
    if os.path.islink(folder) or not os.path.isdir(folder):
        return False
    try:
        claim = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return False
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False  # another process is at work there, or nobody can tell: no locks
    finally:
        os.close(claim)
    return True


def _remove_abandoned_folders(target: Path, ours: Collection[str]) -> None:
    for left in target.parent.glob(f".{glob.escape(target.name)}.????????"):
        if abandoned(left) and not {item.name for item in left.iterdir()} - set(ours):
            shutil.rmtree(left, ignore_errors=True)
