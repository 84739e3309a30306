"""Two models on the same frames: how alike their vectors are, and whether the measure can tell.

Every measure is also taken for one model against itself, on neighbouring frames (what almost
equal input gives) and on frames shuffled between episodes (what unrelated input gives). A
threshold that shuffled frames pass too says nothing, and is said to.
"""

from __future__ import annotations

import operator
import zlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mobile_vla_ros.analysis.context import Extraction
from mobile_vla_ros.analysis.recordings import AnalysisError, Progress, silent
from mobile_vla_ros.analysis.windows import episode_labels
from mobile_vla_ros.stats import similarity
from mobile_vla_ros.stats.bootstrap import Interval, bootstrap_sums, jackknife, jackknife_sums
from mobile_vla_ros.stats.cka import gram_debiased_cka

HISTOGRAM_BINS = 100
QUANTILE_BINS = 16
QUANTILE_SAMPLE = 4096
# The Gram matrices of debiased CKA are kept in memory.
CKA_FRAMES = 1024

# The lab's lines: metric, comparison, value. KL has none.
THRESHOLDS = (("cosine", ">", 0.8), ("euclidean", "<", 0.5), ("correlation", ">", 0.7))
COMPARISONS = {">": operator.gt, "<": operator.lt}
# What each metric is, for tables and figures; usual forms first, each before its better form.
METRICS = {
    "cosine": "cosine similarity",
    "cosine_centred": "cosine, centred per dimension",
    "euclidean": "Euclidean distance (RMS per element)",
    "distance_over_std": "distance over standard deviation",
    "kl": "KL divergence of pooled histograms (nats)",
    "jensen_shannon": "Jensen-Shannon per dimension (bits)",
    "correlation": "correlation",
    "cka_debiased": "debiased CKA",
}
# These compare distributions and do not see which frame belongs to which.
UNPAIRED = ("kl", "jensen_shannon")


def compare(
    a: Extraction, b: Extraction, *, seed: int = 0, resamples: int = 1000, progress=silent
) -> dict[str, Any]:
    """Compares two extractions of the same frames.

    Returns:
        A JSON-ready dictionary: ``metrics`` of the image context, ``references`` and
        ``references_b`` (the first and the second model against themselves; ``shuffled_pairs``
        is the first against the second on shuffled frames, ``shuffled_episodes`` the same with
        whole episodes exchanged), ``thresholds``, and
        the same under ``action`` where both models have an action token.

    Raises:
        AnalysisError: other frames, other numbers of tokens or dimensions.
    """
    _same_frames(a, b)
    labels = episode_labels(a.windows)
    result = {
        "command": "context compare",
        "a": _identity(a),
        "b": _identity(b),
        "episodes": int(labels.max()) + 1,
        "windows": len(a.windows),
        "frames": int(np.prod(a.context.shape[:2])),
        "of": "image context",
        **compare_arrays(
            a.context, b.context, labels, seed=seed, resamples=resamples, progress=progress
        ),
    }
    if a.action is not None and b.action is not None and a.action.shape == b.action.shape:
        result["action"] = compare_arrays(
            a.action, b.action, labels, seed=seed, resamples=resamples, progress=progress
        )
    result["conclusion"] = conclude(result)
    return result


def compare_arrays(
    a: np.ndarray,
    b: np.ndarray,
    labels: np.ndarray,
    *,
    seed: int = 0,
    resamples: int = 1000,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Compares vectors [windows, frames, tokens, D] (memory-mapped or not) pair by pair.

    Args:
        a: the first model's.
        b: the second model's, same shape.
        labels: int [windows], the episode of each window.
        seed: of shuffling and bootstrap.
        resamples: of the bootstrap.
        progress: shows how far it is.
    """
    rng = np.random.default_rng([seed, 1])
    alone = len(np.unique(labels)) < 2
    order = np.stack([shuffled_order(labels, rng) for _ in range(a.shape[1])], axis=1)
    spreads = {"": _spread(a), "_b": _spread(b)}
    bins = _Bins.around(a, b)
    pairs = {name: _Pairs(spreads[""], spreads["_b"]) for name in ("metrics", "shuffled_pairs")}
    for own in spreads:
        for kind in ("neighbour", "shuffled"):
            pairs[kind + own] = _Pairs(spreads[own], spreads[own])
    frames = np.arange(a.shape[1])
    for row in progress(range(len(a)), "comparing"):
        episode = labels[row]
        seen = {"": bins.frames(a[row]), "_b": bins.frames(b[row])}
        pairs["metrics"].add(episode, seen[""], seen["_b"])
        for own, source in (("", a), ("_b", b)):
            mine = seen[own]
            pairs[f"neighbour{own}"].add(episode, mine[:-1], mine[1:])
            # One episode: the farthest that frames can be apart is half a window.
            other = (
                mine.vectors[(frames + len(frames) // 2) % len(frames)]
                if alone
                else np.asarray(source[order[row], frames], np.float32)
            )
            # Shuffling moves frames, so the histograms stay what they are.
            shuffled = replace(mine, vectors=other)
            pairs[f"shuffled{own}"].add(episode, mine, shuffled)
        # The last one shuffled is the second model's.
        pairs["shuffled_pairs"].add(episode, seen[""], shuffled)
    grams = _Grams.of(a, b, labels, order)
    found = {
        name: {**pair.metrics(name, seed, resamples), "cka_debiased": grams.cka(name)}
        for name, pair in pairs.items()
    }
    metrics = {name: found["metrics"][name] for name in METRICS}
    exchanged = {"cka_debiased": grams.cka("shuffled_episodes")}
    references = {
        "references": {name: found[name] for name in ("neighbour", "shuffled", "shuffled_pairs")},
        "references_b": {name: found[f"{name}_b"] for name in ("neighbour", "shuffled")},
    }
    plain = {
        **{
            key: {
                name: {metric: _plain(values[metric]) for metric in METRICS}
                for name, values in group.items()
            }
            for key, group in references.items()
        },
    }
    plain["references"]["shuffled_episodes"] = {
        name: _plain(value) for name, value in exchanged.items()
    }
    return {
        "metrics": {name: _plain(value) for name, value in metrics.items()},
        **plain,
        "thresholds": thresholds(metrics, found["shuffled"], found["shuffled_b"]),
        "tells_apart": _tells_apart(metrics, found["shuffled_pairs"], exchanged),
        "shuffled_within": "one episode" if alone else "between episodes",
        "cka_frames": grams.frames,
        "histogram": bins.histogram_json(pairs["metrics"]),
    }


def shuffled_order(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A permutation of the windows in which, where it can be, each meets another episode's.

    Windows of an episode are spread over many others: moving them together would keep the
    clusters that episodes form, and with them most of what CKA sees.
    """
    labels = np.asarray(labels)
    order = rng.permutation(len(labels))
    for _ in range(100):
        clash = np.flatnonzero(labels[order] == labels)
        if len(clash) == 0:
            break
        for place in clash:
            other = rng.integers(len(labels))
            order[[place, other]] = order[[other, place]]
    return order


def thresholds(
    metrics: dict[str, Interval], shuffled: dict[str, Interval], shuffled_b: dict[str, Interval]
) -> list[dict[str, Any]]:
    """The lab's pass or fail lines, and whether unrelated frames pass them too."""
    lines = []
    for name, sign, limit in THRESHOLDS:
        passes = COMPARISONS[sign]
        passed = bool(passes(metrics[name].value, limit))
        unrelated = bool(
            passes(shuffled[name].value, limit) or passes(shuffled_b[name].value, limit)
        )
        verdict = "pass" if passed else "fail"
        lines.append(
            {
                "metric": name,
                "rule": f"{sign} {limit:g}",
                "value": metrics[name].value,
                "passed": passed,
                "shuffled_passes": unrelated,
                "discriminating": not unrelated,
                "verdict": f"{verdict}, not discriminating" if unrelated else verdict,
            }
        )
    return lines


def _tells_apart(
    metrics: dict[str, Interval],
    shuffled_pairs: dict[str, Interval],
    exchanged: dict[str, Interval],
) -> dict[str, bool | None]:
    """Whether A and B are closer on the same frame than on unrelated ones; None: unknown.

    CKA must also beat exchanging whole episodes: frames of an episode resemble each other in any
    model, and that alone makes two models arrange them alike.
    """
    result: dict[str, bool | None] = {}
    for name in METRICS:
        mine, other = metrics[name], shuffled_pairs[name]
        if name in UNPAIRED or not np.isfinite([mine.low, other.low]).all():
            result[name] = None
        elif name in ("euclidean", "distance_over_std"):
            result[name] = bool(mine.high < other.low)
        else:
            other = max(other.high, exchanged[name].high) if name in exchanged else other.high
            result[name] = bool(mine.low > other)
    return result


def conclude(result: dict[str, Any]) -> str:
    """One sentence on how alike the models are, no stronger than the numbers."""
    cka = result["metrics"]["cka_debiased"]
    centred = result["metrics"]["cosine_centred"]
    text = (
        f"On {result['frames']} frames of {result['episodes']} episodes the image contexts have "
        f"debiased CKA {_said(cka)} and centred cosine {_said(centred)}"
    )
    if cka["value"] is None or not np.isfinite(cka["value"]):
        text += "; there are too few frames or too little variation to say how alike they are"
    elif result["metrics"]["euclidean"]["value"] == 0:
        text += ": they are equal"
    elif not np.isfinite(cka["low"]):
        text += "; one episode gives no interval, so how far this holds is not known"
    elif result["tells_apart"]["cka_debiased"] is False:
        text += (
            ": no more alike than with frames or whole episodes exchanged, as far as these data "
            "show"
        )
    elif cka["low"] > 0.9:
        aligned = centred["low"] > 0.9
        text += ": they arrange the frames alike"
        text += "" if aligned else ", though not along the same dimensions"
    elif cka["high"] < 0.5:
        text += ": they arrange the frames differently"
    else:
        text += ": they agree in part, or the data do not settle it"
    weak = [line["metric"] for line in result["thresholds"] if not line["discriminating"]]
    if weak:
        text += f"; not discriminating on these frames: {', '.join(weak)}"
    return text + "."


def _said(value: dict[str, float]) -> str:
    if value["value"] is None:
        return "unknown"
    if not np.isfinite(value["low"]):
        return f"{value['value']:.3f}"
    return f"{value['value']:.3f} ({value['low']:.3f} to {value['high']:.3f})"


def _plain(value: Interval) -> dict[str, float]:
    return {"value": value.value, "low": value.low, "high": value.high}


def _identity(extraction: Extraction) -> dict[str, Any]:
    return {
        key: extraction.summary[key]
        for key in ("checkpoint", "checkpoint_sha256", "dtype", "prompt", "shape")
    }


def _same_frames(a: Extraction, b: Extraction) -> None:
    if a.context.shape[2] != b.context.shape[2]:
        raise AnalysisError(
            f"{a.name} has {a.context.shape[2]} image tokens per frame and {b.name} has "
            f"{b.context.shape[2]}, so their vectors cannot be paired"
        )
    if a.context.shape[3] != b.context.shape[3]:
        raise AnalysisError(
            f"{a.name} has context vectors of {a.context.shape[3]} dimensions and {b.name} of "
            f"{b.context.shape[3]}, so they cannot be compared element by element"
        )
    frames = [[(w.sha256, w.rows) for w in extraction.windows] for extraction in (a, b)]
    if frames[0] != frames[1]:
        raise AnalysisError(
            f"{a.directory} and {b.directory} were not extracted from the same frames; extract "
            "both with the same --data and --windows"
        )


@dataclass(frozen=True, eq=False)
class _Spread:
    """Mean and variance of every token and dimension over all frames: [tokens, D]."""

    mean: np.ndarray
    variance: np.ndarray


def _spread(values: np.ndarray) -> _Spread:
    total = np.zeros(values.shape[2:])
    square = np.zeros(values.shape[2:])
    shift = np.asarray(values[0, 0], np.float64)
    for row in range(len(values)):
        window = np.asarray(values[row], np.float64) - shift
        total += window.sum(axis=0)
        square += (window**2).sum(axis=0)
    count = values.shape[0] * values.shape[1]
    mean = total / count
    return _Spread(shift + mean, np.maximum(square / count - mean**2, 0.0))


@dataclass(frozen=True, eq=False)
class _Frames:
    """Frames of one window: vectors [N, tokens, D], pooled counts and quantile bins of each."""

    vectors: np.ndarray
    histogram: np.ndarray
    index: np.ndarray

    def __getitem__(self, chosen: slice) -> _Frames:
        return _Frames(self.vectors[chosen], self.histogram[chosen], self.index[chosen])


@dataclass(frozen=True, eq=False)
class _Bins:
    """Histogram bins shared by both models: pooled [bins + 1], per dimension [D, bins - 1]."""

    pooled: np.ndarray
    quantiles: np.ndarray

    @classmethod
    def around(cls, a: np.ndarray, b: np.ndarray) -> _Bins:
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

    def frames(self, window: np.ndarray) -> _Frames:
        """Bins a window [N, tokens, D]."""
        vectors = np.asarray(window, np.float32)
        histogram = np.stack([np.histogram(frame, self.pooled)[0] for frame in vectors])
        index = similarity.bin_index(vectors.reshape(-1, vectors.shape[-1]), self.quantiles)
        return _Frames(vectors, histogram, index.reshape(vectors.shape))

    def histogram_json(self, pair: _Pairs) -> dict[str, list]:
        counts = sum(pair.histograms.values())
        return {
            "edges": np.round(self.pooled, 6).tolist(),
            "a": counts[0].tolist(),
            "b": counts[1].tolist(),
        }


class _Pairs:
    """Sums over pairs of frames, kept per episode so that episodes can be resampled."""

    def __init__(self, spread_a: _Spread, spread_b: _Spread) -> None:
        self.spread_a, self.spread_b = spread_a, spread_b
        variance = (spread_a.variance.mean() + spread_b.variance.mean()) / 2
        self.std = float(np.sqrt(variance))
        self.sums: dict[int, np.ndarray] = {}
        self.histograms: dict[int, np.ndarray] = {}
        self.quantiles: dict[int, np.ndarray] = {}

    def add(self, episode: int, left: _Frames, right: _Frames) -> None:
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
        for store, new in (
            (self.sums, sums),
            (self.histograms, histogram),
            (self.quantiles, quantiles),
        ):
            store[episode] = store[episode] + new if episode in store else new

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

        pooled = np.stack([self.histograms[episode] for episode in episodes])
        bins = np.stack([self.quantiles[episode] for episode in episodes])
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
    """A divergence of counts [episodes, 2, ..., bins], averaged over what lies between."""

    def statistic(total: np.ndarray) -> np.ndarray:
        return np.array([measure(pair[0], pair[1]).mean() for pair in total])

    found = jackknife_sums(counts, statistic)
    # A divergence is never negative, though its interval's arithmetic may be.
    return Interval(found.value, max(found.low, 0.0), found.high)


class _Grams:
    """Gram matrices of both models over the same frames, all tokens of a frame taken together."""

    def __init__(
        self,
        a: np.ndarray,
        b: np.ndarray,
        labels: np.ndarray,
        length: int,
        shuffled: np.ndarray,
        exchanged: np.ndarray,
    ) -> None:
        self.a, self.b, self.labels, self.length = a, b, labels, length
        self.shuffled, self.exchanged = shuffled, exchanged
        self.frames = len(a)

    @classmethod
    def of(cls, a: np.ndarray, b: np.ndarray, labels: np.ndarray, order: np.ndarray) -> _Grams:
        """Computes them from at most ``CKA_FRAMES`` frames, whole windows, evenly chosen."""
        length = a.shape[1]
        most = max(1, CKA_FRAMES // length)
        rows = np.unique(np.linspace(0, len(a) - 1, min(most, len(a))).astype(int))
        kept = np.repeat(labels[rows], length)
        if len(rows) < len(a):
            rng = np.random.default_rng(0)
            order = np.stack([shuffled_order(labels[rows], rng) for _ in range(length)], axis=1)
        frames = np.arange(length)
        if len(np.unique(kept)) < 2:
            order = np.repeat(np.arange(len(rows))[:, None], length, axis=1)
            frames = (frames + length // 2) % length
        shuffled = (order * length + frames).ravel()
        exchanged = (_exchanged(labels[rows])[:, None] * length + np.arange(length)).ravel()
        return cls(_gram(a, rows), _gram(b, rows), kept, length, shuffled, exchanged)

    def cka(self, name: str) -> Interval:
        """Debiased CKA of one kind of pair, with an interval over episodes."""
        everything = np.arange(self.frames)
        gram = self.b if name.endswith("_b") else self.a
        paired = ("metrics", "shuffled_pairs", "shuffled_episodes")
        other = self.b if name in paired else gram
        left = right = everything
        if name.startswith("neighbour"):
            left = everything[everything % self.length < self.length - 1]
            right = left + 1
        elif name == "shuffled_episodes":
            right = self.exchanged
        elif name.startswith("shuffled"):
            right = self.shuffled
        if len(left) < 4:
            return Interval(float("nan"), float("nan"), float("nan"))

        def statistic(keep: np.ndarray) -> float:
            x, y = left[keep], right[keep]
            return gram_debiased_cka(gram[np.ix_(x, x)], other[np.ix_(y, y)])

        return jackknife(statistic, self.labels[left])


def _exchanged(labels: np.ndarray) -> np.ndarray:
    """For each window one of the next episode, so that whole episodes change places."""
    by_episode = np.argsort(labels, kind="stable")
    order = np.empty(len(labels), dtype=np.int64)
    order[by_episode] = np.roll(by_episode, -np.bincount(labels).max())
    return order


def _gram(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Centred Gram matrix [frames, frames] of the frames of ``rows``, token by token."""
    frames = len(rows) * values.shape[1]
    gram = np.zeros((frames, frames))
    for start in range(0, values.shape[2], 8):
        part = np.asarray(values[rows, :, start : start + 8], np.float64).reshape(frames, -1)
        part -= part.mean(axis=0)
        gram += part @ part.T
    return gram
