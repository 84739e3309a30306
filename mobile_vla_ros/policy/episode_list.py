"""The list of seen episodes in a converted directory: packed, in a file of its own.

An episode takes 2 kB to be recognised by its content; thousands would make `config.json`
unreadable and outweigh a small policy.
"""

from __future__ import annotations

import hashlib
import json
import lzma
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mobile_vla_ros.policy.errors import CheckpointError

EPISODES_FILE = "episodes.json.xz"
NOTE = "episodes_sha256"  # in `config.json`, under `mobile_vla`: the file's hash
_LARGEST = 1 << 30  # bytes unpacked, 500,000 episodes


def write_episodes(directory: Path, episodes: Mapping[str, Any]) -> dict[str, str]:
    """Writes the list.

    Args:
        directory: the converted directory.
        episodes: as in `Provenance.episodes`.

    Returns:
        What `config.json` says of it under `mobile_vla`.

    Raises:
        OSError: the disk is full.
    """
    plain = json.dumps(episodes, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    packed = lzma.compress(plain.encode("utf-8"))
    (directory / EPISODES_FILE).write_bytes(packed)
    return {NOTE: hashlib.sha256(packed).hexdigest()}


def read_episodes(directory: Path, extra: Mapping[str, Any]) -> dict[str, Any]:
    """The list of a converted directory; empty where it keeps none.

    Args:
        directory: the converted directory.
        extra: the ``mobile_vla`` entry of its ``config.json``; in older directories the list
            itself is in it.

    Raises:
        CheckpointError: the file is missing, or is not the one that was written.
    """
    noted = extra.get(NOTE)
    if noted is None:
        older = extra.get("episodes")
        return dict(older) if isinstance(older, Mapping) else {}
    path = directory / EPISODES_FILE
    try:
        packed = path.read_bytes()
        if hashlib.sha256(packed).hexdigest() != noted:
            raise ValueError("another file")
        plain = lzma.LZMADecompressor().decompress(packed, _LARGEST)
        return dict(json.loads(plain))
    except (OSError, ValueError, TypeError, lzma.LZMAError) as error:
        raise CheckpointError(
            f"{path}, the list of the episodes that the policy has seen, is missing or not the "
            "one that was written with its weights; copy the whole directory again"
        ) from error
