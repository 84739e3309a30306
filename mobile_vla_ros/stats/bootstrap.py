"""Intervals by resampling whole episodes, since frames of one episode are not independent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import t as student


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval; low and high are NaN when nothing can be said."""

    value: float
    low: float
    high: float


def bootstrap_weights(groups: int, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """How often each group is drawn in each resample: int64 [resamples, groups]."""
    return rng.multinomial(groups, np.full(groups, 1.0 / groups), size=resamples)


def bootstrap_sums(
    sums: np.ndarray,
    statistic: Callable[[np.ndarray], np.ndarray],
    rng: np.random.Generator,
    *,
    resamples: int = 1000,
    confidence: float = 0.95,
) -> Interval:
    """Percentile bootstrap over episodes of a statistic that is a function of sums.

    Args:
        sums: float [episodes, ...]; each episode's additive contributions (counts, sums).
        statistic: maps summed contributions [..., *sums.shape[1:]] to values [...]; it is called
            with all resamples at once.
        rng: source of the resampling; the same seed gives the same interval.
        resamples: how many resamples.
        confidence: two-sided level in (0, 1).

    Returns:
        The statistic of all episodes and its percentile interval; the interval is NaN for fewer
        than two episodes, because one episode says nothing about the next.

    Source: B. Efron and R. Tibshirani, An introduction to the bootstrap (1993), chapter 13.
    """
    sums = np.asarray(sums, dtype=np.float64)
    value = float(statistic(sums.sum(axis=0)[None])[0])
    if len(sums) < 2:
        return Interval(value, float("nan"), float("nan"))
    weights = bootstrap_weights(len(sums), resamples, rng)
    resampled = np.tensordot(weights.astype(np.float64), sums, axes=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.asarray(statistic(resampled))
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return Interval(value, float("nan"), float("nan"))
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return Interval(value, float(low), float(high))


def bootstrap_mean(
    sums: np.ndarray, counts: np.ndarray, rng: np.random.Generator, **options: Any
) -> Interval:
    """Bootstrap over episodes of a mean: sums [episodes] over counts [episodes]."""
    both = np.stack([np.asarray(sums, float), np.asarray(counts, float)], axis=-1)
    return bootstrap_sums(both, lambda total: total[..., 0] / total[..., 1], rng, **options)


def jackknife(
    statistic: Callable[[np.ndarray], float],
    labels: np.ndarray,
    *,
    groups: int = 20,
    confidence: float = 0.95,
) -> Interval:
    """Delete-a-group jackknife interval for statistics that repeated samples would bias.

    A bootstrap repeats rows, and a repeated row looks like perfect agreement to an estimator
    that leaves only the diagonal out (debiased CKA). Leaving groups out repeats nothing.

    Args:
        statistic: maps the kept rows (a boolean mask [N]) to a value.
        labels: int [N]; the episode of each row. Episodes are never split.
        groups: at most this many groups of episodes are left out in turn.
        confidence: two-sided level in (0, 1); Student's t with groups - 1 degrees of freedom.

    Source: B. Efron, The jackknife, the bootstrap and other resampling plans (1982), chapter 3.
    """
    labels = np.asarray(labels)
    episodes = np.unique(labels)
    value = float(statistic(np.ones(len(labels), dtype=bool)))
    parts = np.array_split(episodes, min(groups, len(episodes)))
    if len(parts) < 2:
        return Interval(value, float("nan"), float("nan"))
    left_out = np.array([float(statistic(~np.isin(labels, part))) for part in parts])
    return _around(value, left_out, confidence)


def jackknife_sums(
    sums: np.ndarray,
    statistic: Callable[[np.ndarray], np.ndarray],
    *,
    groups: int = 20,
    confidence: float = 0.95,
) -> Interval:
    """Delete-a-group jackknife of a function of sums; for divergences, which a bootstrap biases.

    Args:
        sums: float [episodes, ...].
        statistic: maps summed contributions [..., *sums.shape[1:]] to values [...].
        groups: at most this many groups of episodes are left out in turn.
        confidence: two-sided level in (0, 1).
    """
    sums = np.asarray(sums, dtype=np.float64)
    total = sums.sum(axis=0)
    value = float(statistic(total[None])[0])
    parts = np.array_split(np.arange(len(sums)), min(groups, len(sums)))
    if len(parts) < 2:
        return Interval(value, float("nan"), float("nan"))
    left_out = np.stack([total - sums[part].sum(axis=0) for part in parts])
    return _around(value, np.asarray(statistic(left_out)), confidence)


def _around(value: float, left_out: np.ndarray, confidence: float) -> Interval:
    if not np.all(np.isfinite(left_out)):
        return Interval(value, float("nan"), float("nan"))
    count = len(left_out)
    error = np.sqrt((count - 1) / count * ((left_out - left_out.mean()) ** 2).sum())
    half = float(student.ppf(0.5 + confidence / 2, count - 1) * error)
    return Interval(value, value - half, value + half)
