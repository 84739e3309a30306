"""Where a policy comes from: its file, its hash, and what it was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mobile_vla_ros.files import sha256_of
from mobile_vla_ros.hub import origin_of
from mobile_vla_ros.policy.familiarity import FeatureStatistics
from mobile_vla_ros.rig import Rig


@dataclass
class Provenance:
    """The origin of a loaded policy.

    Attributes:
        source: the checkpoint file or directory.
        kind: ``robovlms``, ``lightning``, ``converted`` or ``kosmos2``.
        training_files: episode file name -> SHA-256, for the episodes it was trained on.
        validation_files: the same for its validation set.
        episodes: what every stage of its training has seen, recognisable by content: lists
            ``training`` and ``validation`` of plain values, ``unknown_stages`` of names.
        instructions: the sentences it was trained with; () where it does not say.
        statistics: what the training frames' features were like, or None.
        rig: where the camera stood that most training episodes were recorded with.
        data_revisions: ``hf://datasets/ORG/NAME@COMMIT`` of each hub repository that the
            training data were taken from.
        recorded: what a converted directory noted about its source.
    """

    source: Path
    kind: str
    weights: Path
    training_files: Mapping[str, str] = field(default_factory=dict)
    validation_files: Mapping[str, str] = field(default_factory=dict)
    episodes: Mapping[str, Any] = field(default_factory=dict)
    instructions: tuple[str, ...] = ()
    statistics: FeatureStatistics | None = None
    rig: Rig = field(default_factory=Rig)
    data_revisions: tuple[str, ...] = ()
    recorded: Mapping[str, Any] = field(default_factory=dict)

    @property
    def feature_mean(self) -> np.ndarray | None:
        """[D] float32, mean of the training features at the action token, or None."""
        return None if self.statistics is None else self.statistics.arrays()["mean"]

    @property
    def feature_std(self) -> np.ndarray | None:
        """[D] float32, their standard deviations, or None."""
        return None if self.statistics is None else self.statistics.arrays()["std"]

    @property
    def revision(self) -> str:
        """``hf://ORG/NAME@COMMIT`` of the checkpoint where it came from a hub, else ''."""
        return str(self.recorded.get("revision") or origin_of(self.source))

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the original checkpoint (of its weights file, for a directory)."""
        return str(self.recorded.get("sha256") or sha256_of(self.weights))


def revisions_of(extra: Mapping[str, Any]) -> tuple[str, ...]:
    """Where a checkpoint's notes say that its data came from: hub addresses with their commits."""
    told = extra.get("data_revisions")
    return tuple(map(str, told)) if isinstance(told, (list, tuple)) else ()
