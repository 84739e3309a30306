"""How far frames lie from those of training: the light or the camera has changed.

The dimensions of a feature are strongly correlated, so their single spreads tell little: a network
maps black pictures into the middle of every dimension. What tells is the distance along the
principal directions, each in its own spread (the Mahalanobis distance of Lee et al., 'A Simple
Unified Framework for Detecting Out-of-Distribution Samples', NeurIPS 2018, with one class), and
what is left beside them, in one common spread (Tipping and Bishop, 'Probabilistic Principal
Component Analysis', 1999). A single frame scatters; some seconds of frames do not.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

DIRECTIONS = 32
# So many training frames to a direction, at least: fewer would fit the frames, not the world.
_FRAMES_PER_DIRECTION = 20
# A dimension that hardly varied in training says nothing about a new picture.
_LEAST_SPREAD = 1e-6
# In squared spreads of a dimension. bfloat16 and int8 add 1e-4 to every direction: a direction
# that varied less in training would measure the number format.
_LEAST_VARIANCE = 1e-3
# Without directions the distance scatters more; divided by this, one warning level serves both.
_LOOSE = 1.25

SECONDS = 5.0


@dataclass(frozen=True)
class FeatureStatistics:
    """What the frames of training were like.

    A frame is told by its feature at the action token and by its image context, averaged over
    the context's tokens: E = 2 x D values. Older checkpoints know the feature's mean and spread
    alone: E = D and no directions.

    Attributes:
        width: D; the first so many of the E values are the feature's, others the context's.
        mean: float32 [E].
        std: float32 [E], standard deviations.
        directions: float32 [K, E], orthonormal, of values in spreads; K = 0 when unknown.
        variances: float32 [K], in squared spreads.
        rest: mean variance of a direction beside those.
        count: how many frames; 0 when unknown.
    """

    width: int
    mean: np.ndarray
    std: np.ndarray
    directions: np.ndarray
    variances: np.ndarray
    rest: float = 1.0
    count: int = 0

    def distance(self, feature: np.ndarray, context: np.ndarray | None = None) -> float:
        """Root mean square distance of one frame, in spreads of training.

        The principal directions and the rest count half each.

        Args:
            feature: float [latent, D] or [D], the hidden state at the action token.
            context: float [D], the image context's mean over its tokens.

        Returns:
            About 1 for frames like those of training, more for others; NaN when the statistics
            are of another width, or no dimension varied.
        """
        values = feature.reshape(-1, feature.shape[-1]).mean(0)
        if len(self.mean) > self.width and context is not None:
            values = np.concatenate([values, context])
        if values.shape != self.mean.shape:
            return math.nan
        told = self.std > _LEAST_SPREAD
        if not told.any():
            return math.nan
        spreads = np.where(told, values - self.mean, 0) / np.where(told, self.std, 1)
        dimensions = int(told.sum())
        if not len(self.variances):
            return math.sqrt(_square(spreads) / dimensions) / _LOOSE
        along = self.directions @ spreads
        beside = spreads - along @ self.directions
        near = float(np.mean(along.astype(np.float64) ** 2 / self.variances))
        far = _square(beside) / (dimensions - len(along)) / self.rest
        return math.sqrt((near + far) / 2)

    def arrays(self) -> dict[str, np.ndarray]:
        """What a checkpoint stores, by name; `from_arrays` is the way back.

        `mean` and `std` are the feature's, float32 [D], as they always were, `count` int64 [1];
        where they are known, `context_mean` and `context_std` [D] stand beside them, and
        `directions`, `variances` and `rest` [1].
        """
        arrays = {
            "mean": self.mean[: self.width],
            "std": self.std[: self.width],
            "count": np.array([self.count]),
        }
        if len(self.mean) > self.width:
            arrays["context_mean"] = self.mean[self.width :]
            arrays["context_std"] = self.std[self.width :]
        if len(self.variances):
            arrays["directions"] = self.directions
            arrays["variances"] = self.variances
            arrays["rest"] = np.array([self.rest], dtype=np.float32)
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> FeatureStatistics | None:
        """From `arrays`, of this version or of one that knew only `mean` and `std`.

        Returns:
            None when even those are missing, or the shapes do not fit together.
        """
        held = {name: np.asarray(value) for name, value in arrays.items()}
        if not {"mean", "std"} <= held.keys() or held["mean"].shape != held["std"].shape:
            return None
        mean, std = _floats(held["mean"]), _floats(held["std"])
        count = int(held["count"].reshape(-1)[0]) if "count" in held else 0
        width = len(mean)
        if {"context_mean", "context_std"} <= held.keys():
            mean = np.concatenate([mean, _floats(held["context_mean"])])
            std = np.concatenate([std, _floats(held["context_std"])])
        directions, variances, rest = np.zeros((0, len(mean)), np.float32), _floats(()), 1.0
        if {"directions", "variances", "rest"} <= held.keys():
            directions, variances = _floats(held["directions"]), _floats(held["variances"])
            rest = float(held["rest"].reshape(-1)[0])
        if std.shape != mean.shape or directions.shape != (len(variances), len(mean)):
            return None
        return cls(width, mean, std, directions, variances, rest, count)


def feature_statistics(features: np.ndarray, contexts: np.ndarray) -> FeatureStatistics:
    """The statistics of training frames.

    With fewer frames than dimensions the directions come from the frames' inner products, and
    there are at most a twentieth as many directions as frames.

    Args:
        features: float [N, latent, D] or [N, D], hidden states at the action token.
        contexts: float [N, D], image contexts averaged over their tokens.

    Raises:
        ValueError: no frame at all.
    """
    count = len(features)
    if not count:
        raise ValueError("there are no statistics of no frames")
    features = features.reshape(count, -1, features.shape[-1]).mean(1, dtype=np.float64)
    values = np.concatenate([features, contexts.astype(np.float64)], axis=1)
    mean, std = values.mean(0), values.std(0)
    told = std > _LEAST_SPREAD
    spreads = np.where(told, values - mean, 0) / np.where(told, std, 1)
    dimensions = int(told.sum())
    wanted = min(DIRECTIONS, count // _FRAMES_PER_DIRECTION, dimensions // 2)
    directions, variances = _principal(spreads, wanted)
    rest = (dimensions - variances.sum()) / max(1, dimensions - len(variances))
    return FeatureStatistics(
        width=features.shape[1],
        mean=mean.astype(np.float32),
        std=std.astype(np.float32),
        directions=directions.astype(np.float32),
        variances=np.maximum(variances, _LEAST_VARIANCE).astype(np.float32),
        # As it is stored, so that a checkpoint measures what training measured.
        rest=float(np.float32(max(rest, _LEAST_VARIANCE))),
        count=count,
    )


class Familiarity:
    """Mean distance over the last seconds of frames, by their capture stamps.

    Args:
        statistics: of training.
        seconds: how far back the mean reaches.
    """

    def __init__(self, statistics: FeatureStatistics, seconds: float = SECONDS) -> None:
        self._statistics = statistics
        self._seconds = seconds
        self._stamps: list[float] = []
        self._distances: list[float] = []

    def add(self, stamp: float, feature: np.ndarray, context: np.ndarray | None = None) -> None:
        """Notes one frame; see `FeatureStatistics.distance`.

        A repeated stamp changes nothing; a backward one, or a gap of half the seconds, starts
        anew.
        """
        if self._stamps:
            step = stamp - self._stamps[-1]
            if step == 0:
                return
            if not 0 < step < self._seconds / 2:
                self.clear()
        self._stamps.append(stamp)
        self._distances.append(self._statistics.distance(feature, context))
        old = bisect_left(self._stamps, stamp - self._seconds)
        del self._stamps[:old], self._distances[:old]

    @property
    def distance(self) -> float:
        """The mean; NaN while the frames reach back less than half of the seconds."""
        if not self._stamps or self._stamps[-1] - self._stamps[0] < self._seconds / 2:
            return math.nan
        return float(np.mean(self._distances))

    def clear(self) -> None:
        """Forgets every frame."""
        self._stamps.clear()
        self._distances.clear()


def _principal(values: np.ndarray, wanted: int) -> tuple[np.ndarray, np.ndarray]:
    """Directions [K, E] and variances [K] of centred values [N, E], widest first; K <= wanted."""
    count, width = values.shape
    if wanted < 1:
        return np.zeros((0, width)), np.zeros(0)
    if count < width:
        variances, shares = np.linalg.eigh(values @ values.T / count)
        variances, shares = variances[::-1][:wanted], shares[:, ::-1][:, :wanted]
        kept = variances > _LEAST_SPREAD
        directions = shares[:, kept].T @ values
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        return directions, variances[kept]
    variances, vectors = np.linalg.eigh(values.T @ values / count)
    variances, vectors = variances[::-1][:wanted], vectors[:, ::-1][:, :wanted]
    kept = variances > _LEAST_SPREAD
    return vectors[:, kept].T, variances[kept]


def _square(values: np.ndarray) -> float:
    return float(np.sum(np.square(values, dtype=np.float64)))


def _floats(values: Any) -> np.ndarray:
    return np.array(values, dtype=np.float32)
