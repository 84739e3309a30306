"""Is it informative? Linear probes, trained and tested on different episodes.

A probe that reads a label off features proves little alone: features of one episode resemble each
other. So the same probe is trained with labels exchanged between episodes, and only what it reads
beyond that counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mobile_vla_ros.analysis.context import Extraction
from mobile_vla_ros.analysis.recordings import Progress, side_of_name, silent
from mobile_vla_ros.analysis.windows import Window, episode_labels
from mobile_vla_ros.stats.bootstrap import bootstrap_sums
from mobile_vla_ros.stats.regression import r2, regression_sums

FOLDS = 5
FEWEST_EPISODES = 4
# Strength of the ridge penalty over the mean squared length of a feature vector.
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
MOST_FRAMES = 2048


@dataclass(frozen=True, eq=False)
class Target:
    """What is probed for: one value per frame (NaN: unknown).

    Attributes:
        name: what it is.
        unit: its unit.
        values: float64 [windows, frames].
        kind: 'value' (scored by R2) or 'side' (scored by balanced accuracy).
    """

    name: str
    unit: str
    values: np.ndarray
    kind: str = "value"


def targets(windows: Sequence[Window]) -> list[Target]:
    """Velocity on each recorded axis, side, and distance travelled."""
    found = []
    axes = windows[0].axes
    velocities = np.array([window.velocities for window in windows], dtype=np.float64)
    for place, axis in enumerate(axes):
        unit = "rad/s" if axis.startswith("angular") else "m/s"
        found.append(Target(f"velocity {axis}", unit, velocities[:, :, place]))
    sign = {"left": 1.0, "right": -1.0, None: np.nan}
    frames = velocities.shape[1]
    sides = np.array([[sign[window.side]] * frames for window in windows])
    found.append(Target("side", "", sides, "side"))
    distance = np.array([window.distance for window in windows])
    found.append(Target("distance travelled", "m", distance))
    return found


def probe(
    extraction: Extraction,
    *,
    neutral: Extraction | None = None,
    seed: int = 0,
    resamples: int = 1000,
    shuffles: int = 20,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Probes image context and action-token features for velocity, side and distance.

    Args:
        extraction: context and action features of many episodes.
        neutral: the same frames with a prompt that names no side; the action token is probed for
            the side in it, because its own prompt tells. None: the side is not probed there,
            unless the extraction's own prompt names no side.
        seed: of folds, shuffles and bootstrap.
        resamples: of the bootstrap.
        shuffles: how many times labels are exchanged between episodes for the control.
        progress: shows how far it is.

    Returns:
        A JSON-ready dictionary with one entry per feature and target in ``probes``.
    """
    labels = episode_labels(extraction.windows)
    wanted = targets(extraction.windows)
    sources = [("image context", extraction.context)]
    if extraction.action is not None:
        sources.append(("action token", extraction.action))
    jobs = [(source, values, target) for source, values in sources for target in wanted]
    results = []
    for source, values, target in progress(jobs, "probing"):
        entry: dict[str, Any] = {
            "features": source,
            "target": target.name,
            "unit": target.unit,
            "score": "balanced accuracy" if target.kind == "side" else "R2",
        }
        if source == "action token" and target.kind == "side":
            if neutral is not None and neutral.action is not None:
                values = neutral.action
                entry["prompt"] = neutral.summary["prompt"]
            elif _tells_side(extraction):
                entry.update(
                    measured=False,
                    reason="the prompt itself names the side; extract with a neutral instruction",
                )
                results.append(entry)
                continue
        elif source == "action token":
            entry["prompt_names_side"] = _tells_side(extraction)
        entry.update(_score(values, target, labels, seed, resamples, shuffles))
        results.append(entry)
    result = {
        "command": "context probe",
        "checkpoint": extraction.summary["checkpoint"],
        "checkpoint_sha256": extraction.summary["checkpoint_sha256"],
        "episodes": int(labels.max()) + 1,
        "frames": int(np.prod(extraction.context.shape[:2])),
        "probes": results,
        "control": f"labels exchanged between episodes, {shuffles} times",
        "folds": "by episode",
    }
    result["conclusion"] = conclude(result)
    return result


def conclude(result: dict[str, Any]) -> str:
    """One sentence: what the features tell beyond the control, and what was not shown."""
    read, unread, unmeasured = [], [], []
    for entry in result["probes"]:
        name = f"{entry['target']} from the {entry['features']}"
        if not entry.get("measured"):
            unmeasured.append(name)
        elif entry["informative"]:
            told = ", whose prompt names the side" if entry.get("prompt_names_side") else ""
            read.append(f"{name} ({entry['score']} {entry['value']:.2f}{told})")
        else:
            unread.append(name)
    parts = []
    if read:
        parts.append(
            f"in {result['episodes']} episodes a linear probe reads, beyond chance and on "
            f"episodes it has not seen, {', '.join(read)}"
        )
    if unread:
        subject = "it" if read else "a linear probe"
        parts.append(f"{subject} was not shown to read {', '.join(unread)}")
    if unmeasured:
        parts.append(f"not measured: {', '.join(unmeasured)}")
    text = "; ".join(parts) + "."
    return text[0].upper() + text[1:]


def _tells_side(extraction: Extraction) -> bool:
    prompts = [extraction.summary["prompt"]] + [w.instruction for w in extraction.windows]
    used = prompts[:1] if not extraction.summary["prompt"].startswith("each episode") else prompts
    return any(side_of_name(prompt) for prompt in used)


def _score(
    values: np.ndarray,
    target: Target,
    labels: np.ndarray,
    seed: int,
    resamples: int,
    shuffles: int,
) -> dict[str, Any]:
    frames = values.shape[1]
    known = np.isfinite(target.values).all(axis=1)
    rows = np.flatnonzero(known)
    most = max(1, MOST_FRAMES // frames)
    if len(rows) > most:
        rows = rows[np.unique(np.linspace(0, len(rows) - 1, most).astype(int))]
    _, episodes = np.unique(labels[rows], return_inverse=True)
    count = int(episodes.max()) + 1 if len(rows) else 0
    if count < FEWEST_EPISODES:
        return {
            "measured": False,
            "reason": f"{count} episodes with a label; at least {FEWEST_EPISODES} are needed",
        }
    truth = target.values[rows]
    if np.ptp(truth) < 1e-9:
        return {"measured": False, "reason": "the label is the same in every frame"}
    if target.kind == "side":
        per_episode = np.array([truth[episodes == e][0, 0] for e in range(count)])
        if min((per_episode > 0).sum(), (per_episode < 0).sum()) < 2:
            return {"measured": False, "reason": "fewer than two episodes of one side"}
    groups = np.repeat(episodes, frames)
    rng = np.random.default_rng([seed, 31])
    # One split serves the labels and their exchanged copies, so each fold is solved once.
    folds = _folds(truth, episodes, count, target.kind, rng)
    ridge = _Ridge(_kernel(values, rows), folds[groups])
    metric = _accuracy if target.kind == "side" else r2

    def sums(labelled: np.ndarray) -> np.ndarray:
        guess = ridge.predict(labelled.ravel())
        return _sums(guess, labelled.ravel(), groups, count, target.kind)

    found = bootstrap_sums(
        sums(truth), metric, np.random.default_rng([seed, 32]), resamples=resamples
    )
    control = [
        float(metric(sums(_exchange(truth, episodes, count, rng)).sum(axis=0)))
        for _ in range(shuffles)
    ]
    control_values = np.nan_to_num(np.array(control), nan=-np.inf)
    p = float((1 + (control_values >= found.value).sum()) / (1 + shuffles))
    chance = 0.5 if target.kind == "side" else 0.0
    informative = bool(
        p <= 0.05 and np.isfinite(found.low) and found.low > max(chance, np.median(control_values))
    )
    return {
        "measured": True,
        "episodes": count,
        "frames": len(truth.ravel()),
        "value": found.value,
        "low": found.low,
        "high": found.high,
        "control_median": float(np.median(control_values)),
        "control_high": float(np.quantile(control_values, 0.95)),
        "p": p,
        "informative": informative,
    }


def _kernel(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Linear kernel [frames, frames] of all tokens of a frame together, every element in order."""
    frames = len(rows) * values.shape[1]
    kernel = np.zeros((frames, frames))
    for start in range(0, values.shape[2], 8):
        part = np.asarray(values[rows, :, start : start + 8], np.float64).reshape(frames, -1)
        part -= part.mean(axis=0)
        kernel += part @ part.T
    return kernel


def _folds(
    truth: np.ndarray, episodes: np.ndarray, count: int, kind: str, rng: np.random.Generator
) -> np.ndarray:
    """Fold of each episode; sides are spread evenly."""
    order = rng.permutation(count)
    if kind == "side":
        side = np.array([truth[episodes == e][0, 0] for e in range(count)])
        order = order[np.argsort(side[order], kind="stable")]
    folds = np.empty(count, dtype=np.int64)
    folds[order] = np.arange(count) % min(FOLDS, count)
    return folds


def _exchange(
    truth: np.ndarray, episodes: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Gives each episode the labels of another one, in order, cut or repeated to its length."""
    order = rng.permutation(count)
    exchanged = np.empty_like(truth)
    for episode in range(count):
        theirs = truth[episodes == order[episode]].ravel()
        mine = exchanged[episodes == episode].shape
        exchanged[episodes == episode] = np.resize(theirs, mine)
    return exchanged


class _Ridge:
    """Kernel ridge with an intercept; a frame is predicted by a probe that saw none of its fold.

    The penalty is the one with the least error on two inner folds of the training episodes.
    """

    def __init__(self, kernel: np.ndarray, fold_of: np.ndarray) -> None:
        self.kernel, self.fold_of = kernel, fold_of
        self._solved: dict[bytes, _Solved] = {}

    def predict(self, truth: np.ndarray) -> np.ndarray:
        """Predictions [frames] for labels [frames]."""
        predicted = np.full(len(truth), np.nan)
        for fold in np.unique(self.fold_of):
            test, train = self.fold_of == fold, self.fold_of != fold
            if test.any() and train.any():
                penalty = self._penalty(truth, train)
                predicted[test] = self._guess(truth, train, test, [penalty])[0]
        return predicted

    def _penalty(self, truth: np.ndarray, train: np.ndarray) -> float:
        inner = np.unique(self.fold_of[train])
        if len(inner) < 2:
            return PENALTIES[2]
        errors = np.zeros(len(PENALTIES))
        for fold in inner[:2]:
            held = train & (self.fold_of == fold)
            guesses = self._guess(truth, train & ~held, held, PENALTIES)
            errors += ((guesses - truth[held]) ** 2).sum(axis=1)
        return PENALTIES[int(errors.argmin())]

    def _guess(
        self, truth: np.ndarray, train: np.ndarray, test: np.ndarray, penalties: Sequence[float]
    ) -> np.ndarray:
        key = np.packbits(np.concatenate([train, test])).tobytes()
        if key not in self._solved:
            self._solved[key] = _Solved.of(self.kernel, train, test)
        solved = self._solved[key]
        offset = truth[train].mean()
        projected = solved.vectors.T @ (truth[train] - offset)
        values = solved.values
        scale = values.mean() if values.mean() > 0 else 1.0
        # The penalty counts against the mean eigenvalue times the number of frames.
        weights = [scale * len(values) * penalty for penalty in penalties]
        return np.stack(
            [offset + solved.across @ (projected / (values + weight)) for weight in weights]
        )


@dataclass(frozen=True, eq=False)
class _Solved:
    """Eigenvalues and vectors of the centred training kernel, and the test rows in them."""

    values: np.ndarray
    vectors: np.ndarray
    across: np.ndarray

    @classmethod
    def of(cls, kernel: np.ndarray, train: np.ndarray, test: np.ndarray) -> _Solved:
        k = kernel[np.ix_(train, train)]
        column = k.mean(axis=0)
        centred = k - column[None, :] - column[:, None] + k.mean()
        cross = kernel[np.ix_(test, train)]
        cross = cross - cross.mean(axis=1, keepdims=True) - column[None, :] + k.mean()
        values, vectors = np.linalg.eigh(centred)
        return cls(np.maximum(values, 0.0), vectors, cross @ vectors)


def _sums(
    predicted: np.ndarray, truth: np.ndarray, groups: np.ndarray, count: int, kind: str
) -> np.ndarray:
    rows: list[Sequence[float] | np.ndarray] = []
    for episode in range(count):
        mine = groups == episode
        if kind == "side":
            right = (predicted[mine] > 0) == (truth[mine] > 0)
            left = truth[mine] > 0
            rows.append([(right & left).sum(), left.sum(), (right & ~left).sum(), (~left).sum()])
        else:
            valid = np.isfinite(predicted[mine])
            rows.append(regression_sums(predicted[mine], truth[mine], valid))
    return np.array(rows, dtype=np.float64)


def _accuracy(sums: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return (sums[..., 0] / sums[..., 1] + sums[..., 2] / sums[..., 3]) / 2
