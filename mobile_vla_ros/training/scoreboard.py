"""Measured against target: what each experiment has found, line by line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobile_vla_ros.training.experiments import MEASURES, Experiment, read_result

METRICS = {
    "val_loss": "validation loss",
    "last_val_loss": "validation loss, last epoch",
    "train_loss": "training loss, last epoch",
    "rmse_normalised_step0": "RMSE (normalised)",
    "rmse": "RMSE",
    "success_rate": "success rate",
    "wilson": "success rate, 95 %",
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
        of: the row whose checkpoint it is about; empty for a row's own.
        measured: the number, rounded.
        target: in words; empty where there is none.
        verdict: `met`, `missed`, or nothing where there is no bound or no measurement.
    """

    metric: str
    of: str
    measured: str
    target: str
    verdict: str


def scores(row: Experiment, result: Mapping[str, Any] | None) -> list[Score]:
    """All that a row measures, metric by metric, checkpoints side by side.

    Args:
        row: the row.
        result: what it has measured; None when it never ran.
    """
    found = _by_checkpoint(row, result or {})
    lines = []
    for name in _metrics(row):
        target = row.targets.get(name, {})
        for of, values in found.items():
            cells = list(_cells(name, values.get(name))) or [(METRICS[name], "")]
            words = [f"{word} {value:g}" for word, value in target.items()] or [""]
            for at in range(max(len(cells), len(words))):
                metric, measured = cells[at] if at < len(cells) else ("", "")
                lines.append(
                    Score(
                        metric,
                        of if metric else "",
                        measured,
                        words[at] if at < len(words) else "",
                        _answer(target, values.get(name)) if at == 0 else "",
                    )
                )
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


def _by_checkpoint(row: Experiment, result: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    if row.kind == "train":
        return {"": result}
    found = result.get("by_checkpoint", {})
    if row.of == ("best",):
        return found or {"": {}}
    return {name: found.get(name, {}) for name in row.of}


def _measured(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: values[name] for name in METRICS if values.get(name) is not None}


def _cells(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """A metric's words and number; one of each axis where there are several."""
    if isinstance(value, Mapping):
        for axis, part in value.items():
            unit = "rad/s" if axis.startswith("angular") else "m/s"
            yield f"{METRICS[name]} {axis} ({unit})", f"{part:.3g}"
    elif isinstance(value, (list, tuple)):
        yield METRICS[name], " to ".join(f"{part:.2g}" for part in value)
    elif value is not None:
        yield METRICS[name], f"{value:.3g}"
