"""Two models on the same frames: how alike their vectors are, and whether the measure can tell.

Every measure is also taken for one model against itself, on neighbouring frames (what almost
equal input gives) and on frames shuffled between episodes (what unrelated input gives). A
threshold that shuffled frames pass too says nothing, and is said to.
"""

from __future__ import annotations

import operator
from dataclasses import replace
from typing import Any

import numpy as np

from mobile_vla_ros.analysis.context import Extraction
from mobile_vla_ros.analysis.frame_grams import Grams, shuffled_order
from mobile_vla_ros.analysis.frame_pairs import Bins, Pairs, spread_of
from mobile_vla_ros.analysis.metrics import METRICS, UNPAIRED
from mobile_vla_ros.analysis.recordings import AnalysisError, Progress, silent
from mobile_vla_ros.analysis.windows import episode_labels
from mobile_vla_ros.stats.bootstrap import Interval

# The lab's lines: metric, comparison, value. KL has none.
THRESHOLDS = (("cosine", ">", 0.8), ("euclidean", "<", 0.5), ("correlation", ">", 0.7))
COMPARISONS = {">": operator.gt, "<": operator.lt}


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
    spreads = {"": spread_of(a), "_b": spread_of(b)}
    bins = Bins.around(a, b)
    pairs = {name: Pairs(spreads[""], spreads["_b"]) for name in ("metrics", "shuffled_pairs")}
    for own in spreads:
        for kind in ("neighbour", "shuffled"):
            pairs[kind + own] = Pairs(spreads[own], spreads[own])
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
    grams = Grams.of(a, b, labels, order)
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
            high = max(other.high, exchanged[name].high) if name in exchanged else other.high
            result[name] = bool(mine.low > high)
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
