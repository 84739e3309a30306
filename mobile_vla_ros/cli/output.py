"""What every subcommand does with its result: ``--json FILE``, written whole or not at all."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from mobile_vla_ros import files
from mobile_vla_ros.errors import InputError


def write_json(path: str | Path | None, result: Any) -> None:
    """Writes ``result`` as UTF-8 JSON through a temporary file and a rename; None does nothing.

    Numpy scalars and arrays, dataclasses, paths and tuples are turned into plain JSON; NaN and
    infinity become null, which every JSON reader accepts. A missing folder is made.

    Raises:
        InputError: the file cannot be written.
    """
    if path is None:
        return
    text = json.dumps(_plain(result), indent=2, ensure_ascii=False) + "\n"
    target = Path(path)
    try:
        files.write_text(target, text)
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


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain(dataclasses.asdict(value))
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    return value
