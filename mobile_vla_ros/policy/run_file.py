"""Run files as people write them: JSON with comments. No torch here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mobile_vla_ros.files import once, text_of
from mobile_vla_ros.policy.errors import CheckpointError


def read_run_file(path: str | Path) -> dict[str, Any]:
    """Reads a run JSON; ``//`` comments and trailing commas are allowed.

    Raises:
        CheckpointError: the file is missing or is not a JSON object.
    """
    path = Path(path)
    if path.is_dir():
        raise CheckpointError(f"the run file {path} is a directory; give the JSON file itself")
    try:
        text = text_of(path, "utf-8-sig")
    except OSError as error:
        raise CheckpointError(f"cannot read the run file {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CheckpointError(f"the run file {path} is not text in UTF-8") from error
    except ValueError as error:
        raise CheckpointError(f"the run file {str(path)!r} cannot be a file: {error}") from error
    try:
        run = json.loads(_without_comments(text), object_pairs_hook=once)
    except ValueError as error:
        raise CheckpointError(f"the run file {path} is not valid JSON: {error}") from error
    except RecursionError as error:
        raise CheckpointError(f"the run file {path} is nested too deeply") from error
    if not isinstance(run, dict):
        raise CheckpointError(f"the run file {path} must hold a JSON object")
    return run


def _without_comments(text: str) -> str:
    """Blanks ``//`` and ``/* */`` comments and trailing commas outside strings."""
    kept: list[str] = []
    position = 0
    while position < len(text):
        character = text[position]
        if character == '"':
            end = position + 1
            while end < len(text) and text[end] != '"':
                end += 2 if text[end] == "\\" else 1
            kept.append(text[position : end + 1])
            position = end + 1
        elif text.startswith("//", position):
            end = text.find("\n", position)
            position = len(text) if end < 0 else end
        elif text.startswith("/*", position):
            end = text.find("*/", position)
            # Line breaks stay, so that an error still names the right line.
            skipped = text[position:] if end < 0 else text[position : end + 2]
            kept.append("\n" * skipped.count("\n"))
            position += len(skipped)
        else:
            if character in "]}":
                _drop_trailing_comma(kept)
            kept.append(character)
            position += 1
    return "".join(kept)


def _drop_trailing_comma(kept: list[str]) -> None:
    for index in range(len(kept) - 1, -1, -1):
        if kept[index].strip():
            if kept[index] == ",":
                kept[index] = " "
            return
