"""The list of seen episodes in a converted directory: packed, in a file of its own.

An episode takes 2 kB to be recognised by its content; thousands of them would make `config.json`
unreadable and outweigh a small policy. Column by column, without base64, they take 0.8 kB each.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import lzma
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mobile_vla_ros.axes import AXES
from mobile_vla_ros.policy.errors import CheckpointError

EPISODES_FILE = "episodes.npz.xz"
NOTE = "episodes_sha256"  # in `config.json`, under `mobile_vla`: the file's hash
_LARGEST = 1 << 30  # bytes unpacked, 700,000 episodes
_SIDES = ("training", "validation")
_WORDS = ("name", "origins", "source", "start", "stage")
_DIGESTS = ("sha256", "id")
_VALUES = ("times", "commands", "looks")  # base64 of float32, float32 and uint8 values
_PIXELS = 96  # of a kept frame


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
    columns: dict[str, np.ndarray] = {}
    rest = {key: value for key, value in episodes.items() if key not in _SIDES}
    for side in _SIDES:
        if side in episodes:
            columns |= _packed(side, episodes[side])
    columns["rest"] = _text(rest)
    plain = io.BytesIO()
    np.savez(plain, allow_pickle=False, **columns)
    packed = lzma.compress(plain.getvalue())
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
        with np.load(io.BytesIO(plain), allow_pickle=False) as columns:
            sides = {side: _unpacked(side, columns) for side in _SIDES if side in columns}
            return {**sides, **_said(columns["rest"])}
    except (OSError, LookupError, ValueError, TypeError, lzma.LZMAError, EOFError) as error:
        raise CheckpointError(
            f"{path}, the list of the episodes that the policy has seen, is missing or not the "
            "one that was written with its weights; copy the whole directory again"
        ) from error


def _packed(side: str, entries: Sequence[Any]) -> dict[str, np.ndarray]:
    """Columns of a list of episodes; what is of another making stays as it is, at its end."""
    decoded = [_decoded(entry) for entry in entries]
    known = [entry for entry, found in zip(entries, decoded, strict=True) if found]
    others = [entry for entry, found in zip(entries, decoded, strict=True) if not found]
    words = [{key: entry[key] for key in _WORDS} for entry in known]
    digests = b"".join(bytes.fromhex(entry[key]) for entry in known for key in _DIGESTS)
    values = {key: [found[key] for found in decoded if found] for key in _VALUES}
    looks = _table(b"".join(values["looks"]), sum(map(len, values["times"])) // 4)
    return {
        side: np.array([len(each) // 4 for each in values["times"]], np.int64),
        f"{side}_words": _text({"known": words, "others": others}),
        f"{side}_digests": _table(digests, len(known)),
        f"{side}_times": np.frombuffer(b"".join(values["times"]), np.uint8),
        f"{side}_commands": np.frombuffer(b"".join(values["commands"]), np.uint8),
        # What changes from one frame to the next packs better than the frames.
        f"{side}_looks": np.diff(looks, axis=0, prepend=np.zeros_like(looks[:1])),
    }


def _decoded(entry: Any) -> dict[str, bytes] | None:
    """Values of an episode as `episodes.identity` writes it; None unless it comes back equal."""
    try:
        if set(entry) != {*_WORDS, *_DIGESTS, *_VALUES}:
            return None
        found = {key: base64.b64decode(entry[key]) for key in _VALUES}
        frames = len(found["times"]) // 4
        per_frame = {"times": 4, "commands": 4 * len(AXES), "looks": _PIXELS}
        comes_back = (
            frames > 0
            and all(len(found[key]) == frames * per_frame[key] for key in _VALUES)
            and all(base64.b64encode(found[key]).decode() == entry[key] for key in _VALUES)
            and all(len(entry[key]) == 64 for key in _DIGESTS)
            and all(bytes.fromhex(entry[key]).hex() == entry[key] for key in _DIGESTS)
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return found if comes_back else None


def _unpacked(side: str, columns: Mapping[str, np.ndarray]) -> list[Any]:
    words = _said(columns[f"{side}_words"])
    ends = np.cumsum(columns[side])[:-1]
    digests = [bytes(row).hex() for row in columns[f"{side}_digests"]]
    frames = int(columns[side].sum())
    tables = {
        "times": _table(columns[f"{side}_times"].tobytes(), frames),
        "commands": _table(columns[f"{side}_commands"].tobytes(), frames),
        "looks": np.cumsum(columns[f"{side}_looks"], axis=0, dtype=np.uint8),
    }
    parts = {
        key: [base64.b64encode(each.tobytes()).decode("ascii") for each in np.split(table, ends)]
        for key, table in tables.items()
    }
    found = [
        {
            **said,
            **dict(zip(_DIGESTS, (digest[:64], digest[64:]), strict=True)),
            **{key: parts[key][number] for key in _VALUES},
        }
        for number, (said, digest) in enumerate(zip(words["known"], digests, strict=True))
    ]
    return [*found, *words["others"]]


def _table(values: bytes, rows: int) -> np.ndarray:
    """uint8 [rows, columns]."""
    return np.frombuffer(values, np.uint8).reshape(rows, len(values) // max(rows, 1))


def _text(values: Any) -> np.ndarray:
    said = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
    return np.frombuffer(said.encode("utf-8", "surrogatepass"), np.uint8)


def _said(column: np.ndarray) -> dict[str, Any]:
    return dict(json.loads(column.tobytes().decode("utf-8", "surrogatepass")))
