"""Sums over pairs of frames, per episode, from which every paired and pooled metric follows."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from mobile_vla_ros.analysis.metrics import METRICS
from mobile_vla_ros.stats import similarity
from mobile_vla_ros.stats.bootstrap import Interval, bootstrap_sums, jackknife_sums

HISTOGRAM_BINS = 100
QUANTILE_BINS = 16
QUANTILE_SAMPLE = 4096
# Histograms of thousands of dimensions are kept for so many groups of episodes, which is what
# their intervals need; memory then does not grow with the episodes.
JACKKNIFE_GROUPS = 20


@dataclass(frozen=True, eq=False)
class Spread:
    """Mean and variance of every token and dimension over all frames: [tokens, D]."""

    mean: np.ndarray
    variance: np.ndarray


def spread_of(values: np.ndarray) -> Spread:
    total = np.zeros(values.shape[2:])
    square = np.zeros(values.shape[2:])
    shift = np.asarray(values[0, 0], np.float64)
    for row in range(len(values)):
        window = np.asarray(values[row], np.float64) - shift
        total += window.sum(axis=0)
        square += (window**2).sum(axis=0)
    count = values.shape[0] * values.shape[1]
    mean = total / count
    return Spread(shift + mean, np.maximum(square / count - mean**2, 0.0))


@dataclass(frozen=True, eq=False)
class Frames:
    """Frames of one window: vectors [N, tokens, D], pooled counts and quantile bins of each."""

    vectors: np.ndarray
    histogram: np.ndarray
    index: np.ndarray

    def __getitem__(self, chosen: slice) -> Frames:
        return Frames(self.vectors[chosen], self.histogram[chosen], self.index[chosen])


@dataclass(frozen=True, eq=False)
class Bins:
    """Histogram bins shared by both models: pooled [bins + 1], per dimension [D, bins - 1]."""

    pooled: np.ndarray
    quantiles: np.ndarray

    @classmethod
    def around(cls, a: np.ndarray, b: np.ndarray) -> Bins:
        step = max(1, a.shape[0] * a.shape[1] * a.shape[2] // QUANTILE_SAMPLE)
        sample = []
        low, high = np.inf, -np.inf
        for values in (a, b):
            seen = 0
            for row in range(len(values)):
                window = np.asarray(values[row], np.float32).reshape(-1, values.shape[-1])
                low, high = min(low, float(window.min())), max(high, float(window.max()))
                sample.append(window[(-seen) % step :: step])
                seen += len(window)
        span = max(high - low, 1e-12)
        pooled = np.linspace(low - 1e-6 * span, high + 1e-6 * span, HISTOGRAM_BINS + 1)
        return cls(pooled, similarity.quantile_edges(np.concatenate(sample), QUANTILE_BINS))

    def frames(self, window: np.ndarray) -> Frames:
        """Bins a window [N, tokens, D]."""
        vectors = np.asarray(window, np.float32)
        histogram = np.stack([np.histogram(frame, self.pooled)[0] for frame in vectors])
        index = similarity.bin_index(vectors.reshape(-1, vectors.shape[-1]), self.quantiles)
        return Frames(vectors, histogram, index.reshape(vectors.shape))

    def histogram_json(self, pair: Pairs) -> dict[str, list]:
        counts = np.sum(list(pair.histograms.values()), axis=0)
        return {
            "edges": np.round(self.pooled, 6).tolist(),
            "a": counts[0].tolist(),
            "b": counts[1].tolist(),
        }


class Pairs:
    """Sums over pairs of frames, kept per episode so that episodes can be resampled."""

    def __init__(self, spread_a: Spread, spread_b: Spread) -> None:
        self.spread_a, self.spread_b = spread_a, spread_b
        variance = (spread_a.variance.mean() + spread_b.variance.mean()) / 2
        self.std = float(np.sqrt(variance))
        self.sums: dict[int, np.ndarray] = {}
        self.histograms: dict[int, np.ndarray] = {}
        self.quantiles: dict[int, np.ndarray] = {}

    def add(self, episode: int, left: Frames, right: Frames) -> None:
        """Adds frames and their partners."""
        a, b = left.vectors, right.vectors
        if len(a) == 0:
            return
        distance = similarity.rms_distance(a, b)
        columns = np.stack(
            [
                similarity.paired_cosine(a, b),
                similarity.paired_cosine(a - self.spread_a.mean, b - self.spread_b.mean),
                distance,
                distance**2,
                similarity.paired_correlation(a, b),
            ]
        )
        sums = np.stack([np.nansum(columns, axis=1), np.isfinite(columns).sum(axis=1)], axis=1)
        histogram = np.stack([left.histogram.sum(axis=0), right.histogram.sum(axis=0)])
        width = a.shape[-1]
        quantiles = np.stack(
            [
                similarity.bin_counts(side.index.reshape(-1, width), QUANTILE_BINS)
                for side in (left, right)
            ]
        )
        group = episode % JACKKNIFE_GROUPS
        for store, key, new in (
            (self.sums, episode, sums),
            (self.histograms, group, histogram),
            (self.quantiles, group, quantiles),
        ):
            store[key] = store[key] + new if key in store else new

    def metrics(self, name: str, seed: int, resamples: int) -> dict[str, Interval]:
        """Every metric but CKA, with intervals over episodes."""
        episodes = sorted(self.sums)
        if not episodes:
            nothing = Interval(float("nan"), float("nan"), float("nan"))
            return dict.fromkeys(METRICS, nothing)
        sums = np.stack([self.sums[episode] for episode in episodes])

        def interval(metric: str, column: int, statistic) -> Interval:
            rng = np.random.default_rng([seed, zlib.crc32(f"{name} {metric}".encode())])
            return bootstrap_sums(sums[:, column], statistic, rng, resamples=resamples)

        def mean(total: np.ndarray) -> np.ndarray:
            return total[..., 0] / total[..., 1]

        def scaled(total: np.ndarray) -> np.ndarray:
            return np.sqrt(mean(total)) / self.std

        pooled = np.stack([self.histograms[group] for group in sorted(self.histograms)])
        bins = np.stack([self.quantiles[group] for group in sorted(self.quantiles)])
        with np.errstate(divide="ignore", invalid="ignore"):
            return {
                "cosine": interval("cosine", 0, mean),
                "cosine_centred": interval("cosine_centred", 1, mean),
                "euclidean": interval("euclidean", 2, mean),
                "distance_over_std": interval("distance_over_std", 3, scaled),
                "correlation": interval("correlation", 4, mean),
                "kl": _divergence(pooled, similarity.histogram_kl),
                "jensen_shannon": _divergence(bins, similarity.histogram_jensen_shannon),
            }


def _divergence(counts: np.ndarray, measure) -> Interval:
    """A divergence of counts [groups, 2, ..., bins], averaged over what lies between."""

    def statistic(total: np.ndarray) -> np.ndarray:
        return np.array([measure(pair[0], pair[1]).mean() for pair in total])

    found = jackknife_sums(counts, statistic)
    # A divergence is never negative, though its interval's arithmetic may be.
    return Interval(found.value, max(found.low, 0.0), found.high)
