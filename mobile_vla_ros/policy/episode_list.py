"""The list of seen episodes in a converted directory: packed, in a file of its own.

An episode takes 2 kB to be recognised by its content; thousands of them would make `config.json`
unreadable and outweigh a small policy. Column by column, without base64, they take 0.8 kB each.
"""

from __future__ import annotations

import hashlib
import io
import json
import lzma
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mobile_vla_ros.axes import AXES
from mobile_vla_ros.episodes.attributes import READ_ERRORS
from mobile_vla_ros.episodes.identity import HEIGHT, WIDTH, Identity
from mobile_vla_ros.policy.errors import CheckpointError

EPISODES_FILE = "episodes.npz.xz"
NOTE = "episodes_sha256"  # in `config.json`, under `mobile_vla`: the file's hash
_LARGEST = 1 << 30  # bytes unpacked, 700,000 episodes
_SIDES = ("training", "validation")


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
    except (*READ_ERRORS, lzma.LZMAError, EOFError) as error:
        raise CheckpointError(
            f"{path}, the list of the episodes that the policy has seen, is missing or not the "
            "one that was written with its weights; copy the whole directory again"
        ) from error


def _packed(side: str, entries: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Columns of a list of episodes; what is not of our making stays as it is, at its end."""
    known: list[Identity] = []
    others: list[Any] = []
    for entry in entries:
        try:
            identity = Identity.from_plain(entry)
            bytes.fromhex(identity.sha256 + identity.id)
            ours = len(identity.sha256) == len(identity.id) == 64
        except READ_ERRORS:
            ours = False
        if ours:
            known.append(identity)
        else:
            others.append(entry)
    words = [[i.name, i.origins, i.source, i.start, i.stage] for i in known]
    looks = _joined([i.looks for i in known], np.empty((0, HEIGHT, WIDTH), np.uint8))
    digests = b"".join(bytes.fromhex(i.sha256 + i.id) for i in known)
    return {
        side: np.array([len(i.times) for i in known], np.int64),
        f"{side}_words": _text({"known": words, "others": others}),
        f"{side}_digests": np.frombuffer(digests, np.uint8).reshape(-1, 64),
        f"{side}_times": _joined([i.times for i in known], np.empty(0)).astype("<f4"),
        f"{side}_commands": _joined([i.commands for i in known], np.empty((0, len(AXES)))).astype(
            "<f4"
        ),
        # What changes from one frame to the next packs better than the frames.
        f"{side}_looks": np.diff(looks, axis=0, prepend=np.zeros_like(looks[:1])),
    }


def _unpacked(side: str, columns: Mapping[str, np.ndarray]) -> list[Any]:
    words = _said(columns[f"{side}_words"])
    ends = np.cumsum(columns[side])
    digests = [bytes(row).hex() for row in columns[f"{side}_digests"]]
    parts = [
        np.split(values, ends[:-1]) if len(ends) else []
        for values in (
            columns[f"{side}_times"],
            columns[f"{side}_commands"],
            np.cumsum(columns[f"{side}_looks"], axis=0, dtype=np.uint8),
        )
    ]
    found = [
        Identity(
            *(name, digest[:64], digest[64:], tuple(origins), source, start),
            *(times.astype(np.float64), commands.astype(np.float64), looks, stage),
        ).to_plain()
        for (name, origins, source, start, stage), digest, times, commands, looks in zip(
            words["known"], digests, *parts, strict=True
        )
    ]
    return [*found, *words["others"]]


def _joined(parts: Sequence[np.ndarray], nothing: np.ndarray) -> np.ndarray:
    return np.concatenate(parts) if parts else nothing


def _text(values: Any) -> np.ndarray:
    said = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
    return np.frombuffer(said.encode("utf-8", "surrogatepass"), np.uint8)


def _said(column: np.ndarray) -> dict[str, Any]:
    return dict(json.loads(column.tobytes().decode("utf-8", "surrogatepass")))
