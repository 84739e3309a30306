"""RMSE, MAE and R2 from additive sums, so that they stream, split and resample exactly."""

from __future__ import annotations

import numpy as np


def regression_sums(
    predicted: np.ndarray, truth: np.ndarray, valid: np.ndarray | None = None
) -> np.ndarray:
    """Additive sums of an error over the first axis.

    Args:
        predicted: float [N, ...].
        truth: float [N, ...], same shape.
        valid: bool, broadcastable to the same shape; False leaves a value out.

    Returns:
        float64 [..., 5]: count, sum of squared error, of absolute error, of truth, of truth^2.

    Raises:
        ValueError: shapes that differ.
    """
    predicted = np.asarray(predicted, dtype=np.float64)
    truth = np.asarray(truth, dtype=np.float64)
    if predicted.shape != truth.shape:
        raise ValueError(f"predicted {predicted.shape} and recorded {truth.shape} differ in shape")
    keep = np.broadcast_to(True if valid is None else valid, truth.shape).astype(np.float64)
    # A left-out value may be NaN, and NaN * 0 is NaN.
    error = np.where(keep > 0, predicted - truth, 0.0)
    truth = np.where(keep > 0, truth, 0.0)
    columns = [keep, error**2, np.abs(error), truth, truth**2]
    return np.stack([column.sum(axis=0) for column in columns], axis=-1)


def rmse(sums: np.ndarray) -> np.ndarray:
    """Root mean squared error of sums [..., 5]; NaN where there is nothing."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.sqrt(sums[..., 1] / sums[..., 0])


def mae(sums: np.ndarray) -> np.ndarray:
    """Mean absolute error of sums [..., 5]; NaN where there is nothing."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return sums[..., 2] / sums[..., 0]


def r2(sums: np.ndarray) -> np.ndarray:
    """Coefficient of determination against the mean of the truth; NaN for a constant truth."""
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = sums[..., 4] - sums[..., 3] ** 2 / sums[..., 0]
        # A constant truth leaves rounding noise instead of zero.
        spread = np.where(spread > 1e-12 * np.maximum(sums[..., 4], 1e-300), spread, np.nan)
        return 1 - sums[..., 1] / spread
