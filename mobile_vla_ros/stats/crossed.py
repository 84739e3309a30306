"""Means over seeds, and over seeds and episodes at once, with intervals by Student's t."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import t as student

from mobile_vla_ros.stats.bootstrap import Interval


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """The mean of independent runs; the interval is NaN for fewer than two.

    Args:
        values: one of each run.
        confidence: two-sided level in (0, 1).
    """
    numbers = np.asarray(values, dtype=float)
    mean = float(numbers.mean())
    if len(numbers) < 2:
        return Interval(mean, float("nan"), float("nan"))
    half = _factor(confidence, len(numbers)) * float(numbers.std(ddof=1)) / np.sqrt(len(numbers))
    return Interval(mean, mean - float(half), mean + float(half))


def crossed_interval(differences: np.ndarray, confidence: float = 0.95) -> Interval:
    """The mean of differences that vary with the seed and with the episode.

    Both count as drawn at random, so the interval speaks of other seeds and other episodes. The
    two variances of the mean are added, which is slightly too wide rather than too narrow, and
    the fewer of both give the degrees of freedom.

    Args:
        differences: float [seeds, episodes].
        confidence: two-sided level in (0, 1).

    Returns:
        The interval is NaN for fewer than two seeds or two episodes.

    Source: A. Owen, The pigeonhole bootstrap, Annals of Applied Statistics 1 (2007), for the
    variance of a crossed mean.
    """
    matrix = np.asarray(differences, dtype=float)
    mean = float(matrix.mean())
    seeds, episodes = matrix.shape
    if min(seeds, episodes) < 2:
        return Interval(mean, float("nan"), float("nan"))
    variance = matrix.mean(axis=1).var(ddof=1) / seeds + matrix.mean(axis=0).var(ddof=1) / episodes
    half = _factor(confidence, min(seeds, episodes)) * float(np.sqrt(variance))
    return Interval(mean, mean - half, mean + half)


def _factor(confidence: float, count: int) -> float:
    return float(student.ppf(0.5 + confidence / 2, count - 1))
