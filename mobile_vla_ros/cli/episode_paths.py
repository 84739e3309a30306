"""Which episode files a command line means."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mobile_vla_ros.errors import InputError


def files_of(paths: Iterable[Path]) -> list[Path]:
    """The files named, and of each folder all episodes, also those not finished.

    Raises:
        InputError: a path does not exist.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = [*path.glob("*.h5"), *path.glob("*.h5.part")]
            found += sorted(p for p in inside if not p.is_dir() and not p.name.startswith("."))
        elif path.exists() or path.is_symlink():
            found.append(path)  # a link that leads nowhere is named when it is opened
        else:
            raise InputError(f"{path} does not exist")
    return found


def finished(paths: Iterable[Path]) -> list[Path]:
    """The finished episodes among the files named and in the folders named.

    Raises:
        InputError: there is none, or a path does not exist.
    """
    found, _ = split_finished(files_of(paths))
    if not found:
        raise InputError(f"there is no finished episode in {', '.join(map(str, paths))}")
    return found


def split_finished(files: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """Finished files, and those that were interrupted or are being recorded."""
    parts = [path for path in files if path.name.endswith(".part")]
    return [path for path in files if path not in parts], parts
