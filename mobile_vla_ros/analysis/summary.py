"""The table of a report: one row per measure, one cell per run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mobile_vla_ros.analysis.results import Run


def summary_rows(runs: Sequence[Run]) -> list[list[str | None]]:
    """One row per measure that at least one run has, one cell per run."""
    rows = []
    for title, command, read in ROWS:
        cells: list[str | None] = []
        for run in runs:
            result = run.results.get(command)
            try:
                cells.append(None if result is None else read(result))
            except (KeyError, TypeError, IndexError):
                # Results of other versions may lack a key; the cell stays empty.
                cells.append(None)
        if any(cell is not None for cell in cells):
            rows.append([title, *cells])
    return rows


def interval(value: float, low: float | None, high: float | None, digits: int = 3) -> str:
    """A value with its 95 % interval in brackets, where it has one."""
    if low is None or high is None:
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _per_axis(result: dict[str, Any], name: str, unit: bool = True) -> str:
    return ", ".join(
        f"{axis} {value:.3f}" + (f" {result['units'][axis]}" if unit else "")
        for axis, value in result[name].items()
        if value is not None
    )


def _against(result: dict[str, Any], name: str) -> str:
    base = result["baselines"][name]
    gain = base["policy_better_by"]
    return (
        f"{base['rmse_normalised_step0']:.3f}; policy better by "
        f"{interval(gain['value'], gain['low'], gain['high'])}"
    )


def _latency(result: dict[str, Any]) -> str:
    # The total stands last among the stages where it has no name of its own.
    stages = result["modes"]["stream"]["stages"]
    total = stages.get("total") or stages[list(stages)[-1]]
    return f"p50 {total['p50']:g}, p99 {total['p99']:g}"


def _rate(result: dict[str, Any]) -> str:
    low, high = result["wilson"]
    return f"{result['successes']} of {result['episodes']} [{low:.2f}, {high:.2f}]"


def _last(value: Any) -> str:
    number = value[-1] if isinstance(value, list) else value
    return f"{number:.4f}"


def known(value: dict[str, Any]) -> str:
    """The same of a metric that may be unknown."""
    if value["value"] is None or not np.isfinite(value["value"]):
        return "unknown"
    return interval(value["value"], value["low"], value["high"])


ROWS: list[tuple[str, str, Callable[[dict[str, Any]], str | None]]] = [
    ("training loss", "train", lambda r: _last(r["train_loss"])),
    ("validation loss", "train", lambda r: _last(r["val_loss"])),
    ("trainable parameters", "train", lambda r: f"{r['trainable_parameters']:,}"),
    ("episodes (frames) verified", "verify", lambda r: f"{r['episodes']} ({r['frames']})"),
    (
        "RMSE, normalised, first step, axes pooled",
        "verify",
        lambda r: interval(r["rmse_normalised_step0"], *r["intervals"]["rmse_normalised_step0"]),
    ),
    (
        "threshold",
        "verify",
        lambda r: (
            None
            if r["threshold"] is None
            else f"{r['threshold']:g}: {'pass' if r['passed'] else 'fail'}"
        ),
    ),
    ("RMSE per axis", "verify", lambda r: _per_axis(r, "rmse")),
    ("MAE per axis", "verify", lambda r: _per_axis(r, "mae")),
    ("R2 per axis", "verify", lambda r: _per_axis(r, "r2", unit=False) or "constant commands"),
    ("repeat last command, RMSE", "verify", lambda r: _against(r, "repeat_last")),
    ("mean command, RMSE", "verify", lambda r: _against(r, "mean")),
    (
        "direction agreement",
        "verify",
        lambda r: interval(
            r["direction"]["agreement"], r["direction"]["low"], r["direction"]["high"], 2
        ),
    ),
    ("instruction swap", "verify", lambda r: r["instruction_swap"].get("verdict")),
    (
        "left / right RMSE",
        "verify",
        lambda r: ", ".join(
            f"{side} {interval(v['rmse_normalised_step0'], v['low'], v['high'])}"
            for side, v in r["by_side"].items()
        ),
    ),
    (
        "unseen side RMSE",
        "verify",
        lambda r: ", ".join(
            f"{side} {interval(v['value'], v['low'], v['high'])}"
            for side, v in r["generalisation"]["rmse_normalised_step0"].items()
        ),
    ),
    (
        "context mean, std, norm",
        "context extract",
        lambda r: f"{r['mean']:.4f}, {r['std']:.4f}, {r['norm']:.1f}",
    ),
    ("context shape", "context extract", lambda r: " x ".join(map(str, r["shape"]))),
    ("latency of a streamed frame (ms)", "benchmark", _latency),
    ("success in simulation", "sim evaluate", _rate),
]
