"""What the LSTM holds: outputs and cell states of two heads, their activity, their drift.

Units of separately trained heads do not correspond, so they are compared by measures that do not
see a rotation: debiased CKA and Procrustes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mobile_vla_ros.analysis.frame_grams import shuffled_order
from mobile_vla_ros.analysis.recordings import AnalysisError, Progress, silent
from mobile_vla_ros.analysis.windows import Window, episode_labels
from mobile_vla_ros.episodes import open_episode
from mobile_vla_ros.stats.bootstrap import Interval, bootstrap_mean, jackknife
from mobile_vla_ros.stats.cka import debiased_cka
from mobile_vla_ros.stats.procrustes import procrustes_difference

# More samples than this change the third decimal only, and cost a matrix product each.
MOST_SAMPLES = 4096
EXPECTED_DIFFERENCE = 0.3
SATURATED = 0.95
SILENT = 0.01


@dataclass(frozen=True, eq=False)
class Latents:
    """LSTM states of one policy over windows.

    Attributes:
        name: the checkpoint.
        sha256: its hash.
        output: float32 [windows, frames, H], the top layer's output.
        hidden: float32 [windows, frames, layers, H].
        cell: float32 [windows, frames, layers, H].
    """

    name: str
    sha256: str
    output: np.ndarray
    hidden: np.ndarray
    cell: np.ndarray


def gather(
    policy,
    windows: Sequence[Window],
    *,
    instruction: str | None = None,
    progress: Progress = silent,
) -> Latents:
    """Runs windows through backbone and LSTM and keeps the states of every step.

    Raises:
        AnalysisError: the checkpoint has no action head, or a window has no instruction.
    """
    if policy.config.head is None:
        raise AnalysisError(
            f"{policy.provenance.source} has no action head, so it has no LSTM states; compare "
            "its image contexts with `context compare`"
        )
    hidden, cell = [], []
    for window in progress(windows, "running the LSTM"):
        told = instruction or window.instruction
        if not told:
            raise AnalysisError(f"{window.path} has no instruction; give one with --instruction")
        with open_episode(window.path) as episode:
            pixels = policy.preprocess(episode.images(window.rows))
        features = policy.encode_frames(pixels, told)
        states = policy.cells(features[None])
        hidden.append(states[0][0].float().cpu().numpy())
        cell.append(states[1][0].float().cpu().numpy())
    stacked = np.stack(hidden)
    return Latents(
        name=str(policy.provenance.source),
        sha256=policy.provenance.sha256,
        output=stacked[:, :, -1],
        hidden=stacked,
        cell=np.stack(cell),
    )


def compare_latents(
    a: Latents, b: Latents, windows: Sequence[Window], *, seed: int = 0, resamples: int = 1000
) -> dict[str, Any]:
    """Compares two heads' states on the same windows.

    Returns:
        A JSON-ready dictionary: ``metrics`` (CKA and Procrustes difference of the outputs and of
        every layer's cell state), ``references`` on neighbouring and on shuffled frames,
        ``thresholds``, ``activations`` by layer and ``drift`` over the window.
    """
    labels = episode_labels(windows)
    sets: dict[str, tuple[np.ndarray, np.ndarray]] = {"output": (a.output, b.output)}
    for layer in range(min(a.cell.shape[2], b.cell.shape[2])):
        sets[f"cell_{layer}"] = (a.cell[:, :, layer], b.cell[:, :, layer])
    metrics: dict[str, Interval] = {}
    neighbour: dict[str, Interval] = {}
    shuffled: dict[str, Interval] = {}
    shuffled_pairs: dict[str, Interval] = {}
    rng = np.random.default_rng([seed, 21])
    frames = a.output.shape[1]
    order = np.stack([shuffled_order(labels, rng) for _ in range(frames)], axis=1)
    steps = np.arange(frames)
    for name, (x, y) in sets.items():
        for suffix, measure in (("cka", debiased_cka), ("procrustes", procrustes_difference)):
            key = f"{name}_{suffix}"
            metrics[key] = _measure(x, y, labels, measure)
            neighbour[key] = _measure(x[:, :-1], x[:, 1:], labels, measure)
            shuffled[key] = _measure(x, x[order, steps], labels, measure)
            shuffled_pairs[key] = _measure(x, y[order, steps], labels, measure)
    result = {
        "command": "latent compare",
        "a": {"checkpoint": a.name, "checkpoint_sha256": a.sha256},
        "b": {"checkpoint": b.name, "checkpoint_sha256": b.sha256},
        "episodes": int(labels.max()) + 1,
        "windows": len(windows),
        "frames": int(a.output.shape[0] * frames),
        "files": {window.episode: window.sha256 for window in windows},
        "metrics": _plain(metrics),
        "references": {
            "neighbour": _plain(neighbour),
            "shuffled": _plain(shuffled),
            "shuffled_pairs": _plain(shuffled_pairs),
        },
        "thresholds": [
            _difference_line("output_procrustes", metrics, neighbour, lambda value: value),
            _difference_line("output_cka", metrics, neighbour, lambda value: 1 - value),
        ],
        "activations": {"a": _activations(a), "b": _activations(b)},
        "drift": {
            "a": _drift(a, labels, seed, resamples),
            "b": _drift(b, labels, seed, resamples),
        },
    }
    result["conclusion"] = _conclude(metrics["output_cka"], shuffled_pairs["output_cka"])
    return result


def _measure(
    x: np.ndarray,
    y: np.ndarray,
    labels: np.ndarray,
    measure: Callable[[np.ndarray, np.ndarray], float],
) -> Interval:
    """A measure over all frames [windows, frames, H], with a jackknife over episodes."""
    per_sample = np.repeat(labels, x.shape[1])
    x, y = x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1])
    if len(x) < 4:
        return Interval(float("nan"), float("nan"), float("nan"))
    rows = np.unique(np.linspace(0, len(x) - 1, min(MOST_SAMPLES, len(x))).astype(int))
    x, y, per_sample = x[rows], y[rows], per_sample[rows]
    return jackknife(lambda keep: measure(x[keep], y[keep]), per_sample, groups=10)


def _difference_line(name: str, metrics, neighbour, difference) -> dict[str, Any]:
    value = difference(metrics[name].value)
    own = difference(neighbour[name].value)
    passed = bool(value > EXPECTED_DIFFERENCE)
    # A difference that one head shows between neighbouring frames tells nothing about two heads.
    same = bool(own > EXPECTED_DIFFERENCE)
    verdict = "pass" if passed else "fail"
    return {
        "metric": name if name.endswith("procrustes") else f"1 - {name}",
        "rule": f"> {EXPECTED_DIFFERENCE:g}",
        "value": value,
        "passed": passed,
        "neighbour_passes": same,
        "discriminating": not same,
        "verdict": f"{verdict}, not discriminating" if same else verdict,
    }


def _activations(latents: Latents) -> list[dict[str, float]]:
    layers = []
    for layer in range(latents.hidden.shape[2]):
        hidden = latents.hidden[:, :, layer].reshape(-1, latents.hidden.shape[-1])
        cell = latents.cell[:, :, layer].reshape(hidden.shape)
        spread = hidden.std(axis=0)
        variances = np.linalg.svd(hidden - hidden.mean(axis=0), compute_uv=False) ** 2
        total = float((variances**2).sum())
        layers.append(
            {
                "layer": layer,
                "mean_abs_hidden": float(np.abs(hidden).mean()),
                "mean_abs_cell": float(np.abs(cell).mean()),
                "share_saturated": float((np.abs(hidden) > SATURATED).mean()),
                "share_constant_units": float((spread < SILENT).mean()),
                # How many directions carry the variance (participation ratio).
                "effective_dimensions": float(variances.sum() ** 2 / total) if total else 0.0,
            }
        )
    return layers


def _drift(
    latents: Latents, labels: np.ndarray, seed: int, resamples: int
) -> list[dict[str, float]]:
    """Change of the top layer's state from step to step, over the size of the state."""
    states = latents.output.astype(np.float64)
    size = np.sqrt((states**2).mean())
    size = size if size > 0 else 1.0
    change = np.sqrt(((states[:, 1:] - states[:, :-1]) ** 2).mean(axis=2)) / size
    start = np.sqrt(((states[:, 1:] - states[:, :1]) ** 2).mean(axis=2)) / size
    episodes = np.arange(labels.max() + 1)
    rows = []
    for step in range(change.shape[1]):
        sums = np.array([change[labels == e, step].sum() for e in episodes])
        counts = np.array([(labels == e).sum() for e in episodes])
        rng = np.random.default_rng([seed, 22, step])
        found = bootstrap_mean(sums, counts, rng, resamples=resamples)
        rows.append(
            {
                "step": step + 1,
                "change": found.value,
                "low": found.low,
                "high": found.high,
                "from_start": float(start[:, step].mean()),
            }
        )
    return rows


def _conclude(cka: Interval, shuffled: Interval) -> str:
    if not np.isfinite(cka.value):
        return "There are too few frames to compare the LSTM states."
    text = f"The LSTM outputs have debiased CKA {cka.value:.3f}"
    if not np.isfinite(cka.low):
        return text + " on one episode; how far this holds is not known."
    text += f" (95 % interval {cka.low:.3f} to {cka.high:.3f}): "
    if cka.low > 1 - 1e-6:
        return text + "the heads hold the same."
    if not cka.low > shuffled.high:
        return text + "no more alike than on unrelated frames, as far as these data show."
    if cka.high < 1 - EXPECTED_DIFFERENCE:
        return text + f"they differ by more than {EXPECTED_DIFFERENCE:g}."
    if cka.low > 1 - EXPECTED_DIFFERENCE:
        return text + f"they differ by less than {EXPECTED_DIFFERENCE:g}."
    return text + f"whether they differ by more than {EXPECTED_DIFFERENCE:g} is not settled."


def _plain(values: dict[str, Interval]) -> dict[str, dict[str, float]]:
    return {
        name: {"value": item.value, "low": item.low, "high": item.high}
        for name, item in values.items()
    }
