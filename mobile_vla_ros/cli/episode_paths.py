"""Which episode files a command line means."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
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


def usable(
    paths: Iterable[Path], progress: Callable[[Sequence[Path], str], Iterable[Path]]
) -> list[Path]:
    """The finished episodes that something can be made of; the others are named and left out.

    Incident capsules pass. A single file that cannot be used is an error.

    Raises:
        InputError: there is none, or a path does not exist.
    """
    from mobile_vla_ros.episodes.checks import why_unusable
    from mobile_vla_ros.episodes.incident import is_incident

    files = finished(paths)
    found, reasons = [], []
    for path in progress(files, "looking at the episodes"):
        reason = None if is_incident(path) else why_unusable(path)
        if reason is None:
            found.append(path)
        else:
            reasons.append(reason)
    if not found:
        more = f" (and {len(reasons) - 1} more like it)" if len(reasons) > 1 else ""
        raise InputError(f"{reasons[0]}{more}")
    for reason in reasons:
        print(f"mobile_vla: left out: {' '.join(reason.split())}", file=sys.stderr)
    if reasons:
        print(f"mobile_vla: {len(reasons)} of {len(files)} files left out", file=sys.stderr)
    return found


def split_finished(files: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """Finished files, and those that were interrupted or are being recorded."""
    parts = [path for path in files if path.name.endswith(".part")]
    return [path for path in files if path not in parts], parts
