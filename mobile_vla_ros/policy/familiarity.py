"""How far a frame's feature lies from those of training: the light or the camera has changed."""

from __future__ import annotations

import math

import numpy as np

# A dimension that hardly varied in training says nothing about a new picture.
_LEAST_SPREAD = 1e-6


def feature_distance(
    feature: np.ndarray, mean: np.ndarray | None, std: np.ndarray | None
) -> float:
    """Root mean square, over the dimensions, of the distance from the mean in training spreads.

    Args:
        feature: float [latent, D] or [D], the policy's feature of one frame.
        mean: float [D] over the training frames, or None.
        std: float [D] over the training frames, or None.

    Returns:
        About 1 for a frame like those of training, more for others; NaN when the checkpoint
        carries no statistics, or ones of another width.
    """
    if mean is None or std is None or not feature.size or feature.shape[-1] != mean.shape[-1]:
        return math.nan
    told = std > _LEAST_SPREAD
    if not told.any():
        return math.nan
    spreads = (feature.reshape(-1, mean.shape[-1])[:, told] - mean[told]) / std[told]
    return float(np.sqrt(np.mean(np.square(spreads, dtype=np.float64))))
