"""Measured against target: what each experiment has found, line by line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobile_vla_ros.training.experiments import LAST, MEASURES, Experiment, read_result

METRICS = {
    "val_loss": "validation loss",
    "last_val_loss": "validation loss, last epoch",
    "train_loss": "training loss, last epoch",
    "rmse_normalised_step0": "RMSE (normalised)",
    "episode_rmse": "RMSE, mean of episodes",
    "rmse": "RMSE",
    "success_rate": "success rate",
    "wilson": "  95 % interval",
    "driving_time": "driving time (s)",
    "path_length": "path (m)",
    "preprocess_ms": "preprocessing (ms)",
    "vision_ms": "vision (ms)",
    "text_ms": "text (ms)",
    "head_ms": "head (ms)",
    "latency_ms": "latency, total (ms)",
}


@dataclass(frozen=True)
class Score:
    """One line of the table; what was never measured is an empty string.

    Attributes:
        metric: what is measured, in words.
        measured: the numbers, one per column.
        target: in words; empty where there is none.
        verdict: `met`, `missed`, or nothing where there is no bound or no measurement.
    """

    metric: str
    measured: tuple[str, ...]
    target: str = ""
    verdict: str = ""


def columns(row: Experiment, result: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Whose checkpoints stand side by side, by id; one empty name for a row's own."""
    if row.kind == "train":
        return ("",)
    if row.of == ("best",):
        return tuple((result or {}).get("by_checkpoint", {})) or ("best",)
    return tuple(dict.fromkeys(name.removesuffix(LAST) for name in row.of))


def scores(row: Experiment, result: Mapping[str, Any] | None) -> list[Score]:
    """All that a row measures, metric by metric.

    Args:
        row: the row.
        result: what it has measured; None when it never ran.
    """
    found = result or {}
    names = columns(row, result)
    lines = []
    for suffix in ("", LAST) if any(name.endswith(LAST) for name in row.of) else ("",):
        if row.kind == "train":
            values = [found]
        else:
            values = [found.get("by_checkpoint", {}).get(name + suffix, {}) for name in names]
        for name in _metrics(row):
            numbers = [value.get(name) for value in values]
            target = row.targets.get(name, {})
            answer = _answer(target, numbers[0]) if len(names) == 1 else ""
            words = [f"{word} {value:g}" for word, value in target.items()] or [""]
            for label, measured in _cells(name, numbers):
                label += ", last epoch" if suffix and not label.startswith(" ") else ""
                lines.append(Score(label, measured, words.pop(0) if words else "", answer))
                answer = ""
            lines += [Score("", ("",) * len(names), word) for word in words]
    return lines


def table_rows(rows: Sequence[Experiment], runs: str | Path, small: bool) -> list[dict[str, Any]]:
    """The table as plain values, one dictionary per row.

    `measured` holds only what was measured, with the units of `METRICS`; `by_checkpoint` holds
    the same for each checkpoint of a row that measures those of others.
    """
    result = []
    for row in rows:
        found = read_result(runs, row, small) or {}
        result.append(
            {
                "id": row.id,
                "title": row.title,
                "data": row.data,
                "targets": dict(row.targets),
                "question": row.question,
                "measured": _measured(found),
                "by_checkpoint": {
                    name: _measured(values)
                    for name, values in found.get("by_checkpoint", {}).items()
                },
                "verdict": verdict(row, found),
            }
        )
    return result


def verdict(row: Experiment, measured: Mapping[str, Any]) -> str:
    """`met`, `missed`, or nothing where there is no bound or no measurement."""
    answers = {_answer(target, measured.get(name)) for name, target in row.targets.items()}
    return "missed" if "missed" in answers else "met" if "met" in answers else ""


def target_words(targets: Mapping[str, Mapping[str, float]]) -> str:
    """The targets in words."""
    return "; ".join(
        f"{METRICS.get(name, name)} {word} {value:g}"
        for name, target in targets.items()
        for word, value in target.items()
    )


def _answer(target: Mapping[str, float], value: float | None) -> str:
    bounds = {"below", "above"} & set(target)
    if value is None or not bounds:
        return ""
    good = value < target.get("below", value + 1) and value > target.get("above", value - 1)
    return "met" if good else "missed"


def _metrics(row: Experiment) -> list[str]:
    kinds = ("val_loss", *row.measure) if row.kind == "train" else row.measure
    wanted = [name for kind in dict.fromkeys(kinds) for name in MEASURES[kind]]
    return [name for name in METRICS if name in wanted]


def _measured(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: values[name] for name in METRICS if values.get(name) is not None}


def _cells(name: str, numbers: Sequence[Any]) -> list[tuple[str, tuple[str, ...]]]:
    """A metric's words and a cell per column; a line of each axis where there are several."""
    if name != "rmse":
        return [(METRICS[name], tuple(map(_number, numbers)))]
    axes = dict.fromkeys(axis for number in numbers for axis in number or {})
    return [
        (
            f"{METRICS[name]} {axis} ({'rad/s' if axis.startswith('angular') else 'm/s'})",
            tuple(_number((number or {}).get(axis)) for number in numbers),
        )
        for axis in axes
    ] or [(f"{METRICS[name]} (m/s, rad/s)", ("",) * len(numbers))]


def _number(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, (list, tuple)):
        return "-".join(f"{part:.2f}" for part in value)
    return f"{value:.3g}"
