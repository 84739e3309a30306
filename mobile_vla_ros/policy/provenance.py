"""Where a policy comes from: its file, its hash, and what it was trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

BLOCK = 1 << 22


@dataclass
class Provenance:
    """The origin of a loaded policy.

    Attributes:
        source: the checkpoint file or directory.
        kind: ``robovlms``, ``lightning``, ``converted`` or ``kosmos2``.
        training_files: episode file name -> SHA-256, for the episodes it was trained on.
        validation_files: the same for its validation set.
        feature_mean: [D] float32, mean of the training features, or None.
        feature_std: [D] float32, their standard deviation, or None.
        recorded: what a converted directory noted about its source.
    """

    source: Path
    kind: str
    weights: Path
    training_files: Mapping[str, str] = field(default_factory=dict)
    validation_files: Mapping[str, str] = field(default_factory=dict)
    feature_mean: np.ndarray | None = None
    feature_std: np.ndarray | None = None
    recorded: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the original checkpoint (of its weights file, for a directory)."""
        return str(self.recorded.get("sha256") or sha256_of(self.weights))


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
