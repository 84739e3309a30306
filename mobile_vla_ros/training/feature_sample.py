"""What training frames are like: a sample of them, seen with a checkpoint's own weights."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mobile_vla_ros.policy.familiarity import FeatureStatistics, feature_statistics
from mobile_vla_ros.training.episode import TrainingEpisode
from mobile_vla_ros.training.frames import FrameCache, write_array

FRAMES = 2000
BATCH = 32

Look = Callable[[np.ndarray, str], tuple[np.ndarray, np.ndarray]]
"""uint8 [N, S, S, 3] and an instruction to features float32 [N, latent, D] and contexts [N, D]."""


@dataclass(frozen=True)
class FeatureSample:
    """Frames of the training episodes as they were recorded, evenly over all of them.

    Copies made by augmentation are left out, unless there is nothing else.

    Attributes:
        episodes: those of training.
        frames: where their pictures come from.
        kept: file for the sample's features when they cannot change during the run; or None.
        most: frames in the sample, at most.
    """

    episodes: Sequence[TrainingEpisode]
    frames: FrameCache
    kept: Path | None = None
    most: int = FRAMES

    def places(self) -> list[tuple[TrainingEpisode, np.ndarray]]:
        """The frames, as places in `samples.rows`, by episode."""
        recorded = [episode for episode in self.episodes if not episode.copy] or self.episodes
        counts = [len(episode.samples.rows) for episode in recorded]
        first = np.cumsum([0, *counts])
        total = int(first[-1])
        chosen = np.unique(np.linspace(0, total - 1, min(total, self.most)).round().astype(int))
        parts = [
            (episode, chosen[(chosen >= start) & (chosen < start + count)] - start)
            for episode, start, count in zip(recorded, first[:-1], counts, strict=True)
        ]
        return [(episode, places) for episode, places in parts if len(places)]

    def statistics(self, look: Look) -> FeatureStatistics | None:
        """The sample's statistics as `look` sees it now; None without a frame.

        Raises:
            RunError: `kept` cannot be written.
        """
        if self.kept is not None and self.kept.exists():
            return _of(np.load(self.kept))
        said: dict[str, list[tuple[TrainingEpisode, int]]] = {}
        for episode, places in self.places():
            said.setdefault(episode.instruction, []).extend((episode, at) for at in places)
        features, contexts = [], []
        for instruction, found in said.items():
            for first in range(0, len(found), BATCH):
                batch = found[first : first + BATCH]
                pictures = np.stack([self.frames.frames(episode)[at] for episode, at in batch])
                feature, context = look(pictures, instruction)
                features.append(feature.mean(1))
                contexts.append(context)
        if not features:
            return None
        values = np.stack([np.concatenate(features), np.concatenate(contexts)], axis=1)
        if self.kept is not None:
            write_array(self.kept, values)
        return _of(values)

    def name(self) -> str:
        """A file name that says which frames of which episodes these are."""
        digest = hashlib.sha256()
        for episode, places in self.places():
            rows = episode.samples.rows[places].tobytes()
            digest.update(f"{episode.sha256} {episode.instruction}".encode() + rows)
        return f"sample_{digest.hexdigest()[:24]}.npy"


def _of(values: np.ndarray) -> FeatureStatistics:
    """Of float32 [N, 2, D]: features and contexts."""
    return feature_statistics(values[:, 0], values[:, 1])
