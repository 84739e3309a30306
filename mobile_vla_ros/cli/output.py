"""What every subcommand does with its result: ``--json FILE``, written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mobile_vla_ros import files
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.hub import fetched


def write_json(path: str | Path | None, result: Any) -> None:
    """Writes ``result`` as UTF-8 JSON, as ``files.write_json`` does; None does nothing.

    What the command fetched from a hub stands in it as ``hub``, each with its commit.

    Raises:
        InputError: the file cannot be written.
    """
    if path is None:
        return
    target = Path(path)
    result = files.plain(result)
    if fetched() and isinstance(result, dict):
        result = {**result, "hub": list(fetched())}
    try:
        files.write_json(target, result, indent=2)
    except OSError as error:
        raise InputError(f"cannot write {target}: {error.strerror}") from error


def check_target(path: str | Path | None) -> None:
    """Refuses a file that cannot be written, before long work; None does nothing.

    Raises:
        InputError: it is a folder, or lies where nothing can be written.
    """
    if path is None:
        return
    if Path(path).is_dir():
        raise InputError(f"cannot write {path}: it is a directory")
    # Missing folders are made when there is a result.
    place = Path(path).absolute().parent
    while not place.exists():
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise InputError(f"cannot write {path}: nothing can be written in {place}")
