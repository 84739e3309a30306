"""Difference of two sets of vectors after the best rotation: units need not correspond."""

from __future__ import annotations

import numpy as np


def procrustes_difference(x: np.ndarray, y: np.ndarray) -> float:
    """What is left of the difference after centring, scaling and rotating one onto the other.

    Args:
        x: float [N, P]; paired with ``y`` row by row.
        y: float [N, Q]; the narrower one is padded with zeros.

    Returns:
        0 (equal up to shift, scale and rotation) to 1; scipy calls it the disparity. With fewer
        samples than dimensions it falls towards 0 for unrelated data too, so read it beside the
        value for shuffled samples.

    Raises:
        ValueError: different numbers of samples.

    Source: J. Gower, Generalized Procrustes analysis, Psychometrika 40 (1975).
    """
    if len(x) != len(y):
        raise ValueError(f"{len(x)} and {len(y)} samples cannot be paired")
    one, other = _unit(x), _unit(y)
    if one is None or other is None:
        return float("nan")
    aligned = np.linalg.svd(one.T @ other, compute_uv=False).sum()
    return float(np.clip(1 - aligned**2, 0.0, 1.0))


def _unit(values: np.ndarray) -> np.ndarray | None:
    values = np.asarray(values, dtype=np.float64)
    values = values - values.mean(axis=0)
    norm = np.linalg.norm(values)
    return values / norm if norm > 0 else None
