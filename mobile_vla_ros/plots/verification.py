"""Figures of predicted against recorded velocities, drawn from the result of ``verify``."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mobile_vla_ros.plots.style import COLOURS, house_style

COLUMN = 3.5
RECORDED, PREDICTED = COLOURS["black"], COLOURS["vermilion"]


def figures(result: dict[str, Any]) -> dict[str, Figure]:
    """Every figure of one result, by name; each as wide as a paper's column."""
    made = {
        "traces": traces(result),
        "per_step": per_step(result),
        "scatter": scatter(result),
        "direction": direction(result),
    }
    if result.get("latency"):
        made["latency"] = latency(result)
    return made


def overview(result: dict[str, Any]) -> Figure:
    """Traces, error against step, scatter and directions on one page."""
    axes = list(result["rmse"])
    with house_style():
        figure = plt.figure(figsize=(2 * COLUMN + 0.4, 7.6))
        parts: Any = figure.subfigures(3, 1, height_ratios=[1.25, 1, 1.1])
        upper, middle, lower = parts
        _draw_traces(upper, result, shown=2)
        left, right = middle.subplots(1, 2)
        _draw_per_step(left, result)
        if result.get("latency"):
            _draw_latency(right, result)
        else:
            _draw_split(right, result)
        places = lower.subplots(1, len(axes) + 1)
        for place, axis in zip(places, axes, strict=False):
            _draw_scatter(place, result, axis)
        _draw_direction(places[-1], result)
        return figure


def traces(result: dict[str, Any]) -> Figure:
    """Predicted and recorded velocity over time, one column per episode."""
    with house_style():
        shown = min(2, len(result["traces"]))
        rows = len(result["rmse"])
        figure = plt.figure(figsize=(max(COLUMN, 2.5 * shown), 1.35 * rows + 0.7))
        _draw_traces(figure, result, shown)
        return figure


def per_step(result: dict[str, Any]) -> Figure:
    """Error against chunk step, beside the baselines."""
    with house_style():
        figure, place = plt.subplots(figsize=(COLUMN, 2.5))
        _draw_per_step(place, result)
        return figure


def scatter(result: dict[str, Any]) -> Figure:
    """Predicted against recorded, one panel per axis."""
    with house_style():
        axes = list(result["rmse"])
        figure, places = plt.subplots(
            1, len(axes), figsize=(max(COLUMN, 2.3 * len(axes)), 2.5), squeeze=False
        )
        for place, axis in zip(places[0], axes, strict=True):
            _draw_scatter(place, result, axis)
        return figure


def direction(result: dict[str, Any]) -> Figure:
    """Confusion matrix of directions."""
    with house_style():
        figure, place = plt.subplots(figsize=(COLUMN, 2.9))
        _draw_direction(place, result)
        return figure


def latency(result: dict[str, Any]) -> Figure:
    """Open-loop error of the path's end against latency."""
    with house_style():
        figure, place = plt.subplots(figsize=(COLUMN, 2.4))
        _draw_latency(place, result)
        return figure


def _draw_traces(figure: Any, result: dict[str, Any], shown: int) -> None:
    chosen = result["traces"][:shown]
    axes = list(result["rmse"])
    places = figure.subplots(len(axes), len(chosen), squeeze=False, sharex="col", sharey="row")
    for column, trace in enumerate(chosen):
        time = np.array(trace["time"])
        recorded, predicted = np.array(trace["recorded"]), np.array(trace["predicted"])
        for row, axis in enumerate(axes):
            place = places[row, column]
            place.step(
                time, recorded[:, row], where="post", color=RECORDED, lw=1.3, label="recorded"
            )
            place.plot(
                time, predicted[:, row], color=PREDICTED, lw=1.1, marker=".", ms=4,
                label="predicted",
            )  # fmt: skip
            if column == 0:
                place.set_ylabel(f"{axis}\n({result['units'][axis]})")
            if row == 0:
                place.set_title(trace["scenario"] or trace["episode"], fontsize=9)
            if row == len(axes) - 1:
                place.set_xlabel("time (s)")
    handles, labels = places[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False)


def _draw_per_step(place: Axes, result: dict[str, Any]) -> None:
    steps = result["per_step"]
    time = [step["time"] for step in steps]
    place.plot(
        time,
        [step["rmse_normalised"] for step in steps],
        color=PREDICTED,
        marker="o",
        ms=3,
        label="policy",
    )
    low = _numbers([step["low"] for step in steps])
    high = _numbers([step["high"] for step in steps])
    if np.isfinite(low).all():
        place.fill_between(time, low, high, color=PREDICTED, alpha=0.2, lw=0)
    for name, label, colour, dash in (
        ("repeat_last", "repeat last command", COLOURS["blue"], "--"),
        ("mean", "mean command", COLOURS["green"], ":"),
    ):
        place.plot(
            time, _numbers(result["baselines"][name]["per_step"]), dash, color=colour, label=label
        )
    if result.get("threshold") is not None:
        place.axhline(
            result["threshold"],
            color=COLOURS["black"],
            lw=0.8,
            label=f"threshold {result['threshold']:g}",
        )
    place.set_ylim(bottom=0, top=place.get_ylim()[1] * 1.35)
    place.set_xlabel("chunk step (s after the frame)")
    place.set_ylabel("RMSE (normalised)")
    place.legend(frameon=False, fontsize=7, loc="upper left", ncols=2)


def _draw_scatter(place: Axes, result: dict[str, Any], axis: str) -> None:
    points = result["scatter"][axis]
    recorded, predicted = np.array(points["recorded"]), np.array(points["predicted"])
    low = float(min(recorded.min(), predicted.min()))
    high = float(max(recorded.max(), predicted.max()))
    margin = 0.05 * (high - low or 1)
    place.plot([low, high], [low, high], color=COLOURS["black"], lw=0.8)
    place.plot(recorded, predicted, ".", color=COLOURS["blue"], ms=4, alpha=0.35, mew=0)
    place.set_xlim(low - margin, high + margin)
    place.set_ylim(low - margin, high + margin)
    place.set_aspect("equal")
    place.locator_params(nbins=4)
    unit = result["units"][axis]
    place.set_title(f"{axis} ({unit})", fontsize=9)
    place.set_xlabel("recorded")
    place.set_ylabel("predicted")


def _draw_direction(place: Axes, result: dict[str, Any]) -> None:
    labels = result["direction"]["labels"]
    matrix = np.array(result["direction"]["matrix"], dtype=float)
    total = matrix.sum(axis=1, keepdims=True)
    share = np.divide(matrix, total, out=np.zeros_like(matrix), where=total > 0)
    place.imshow(share, cmap="Blues", vmin=0, vmax=1)
    place.grid(False)
    for row in range(len(labels)):
        for column in range(len(labels)):
            dark = share[row, column] > 0.6
            place.text(
                column,
                row,
                f"{int(matrix[row, column])}",
                ha="center",
                va="center",
                fontsize=8,
                color="white" if dark else "black",
            )
    place.set_xticks(range(len(labels)), labels, rotation=30)
    place.set_yticks(range(len(labels)), labels)
    place.set_xlabel("predicted direction")
    place.set_ylabel("recorded direction")
    place.set_title("number of frames", fontsize=9)


def _draw_latency(place: Axes, result: dict[str, Any]) -> None:
    rows = result["latency"]
    time = np.array([row["latency"] for row in rows]) * 1000
    value = _numbers([row["path_end_error"]["value"] for row in rows])
    low = _numbers([row["path_end_error"]["low"] for row in rows])
    high = _numbers([row["path_end_error"]["high"] for row in rows])
    if np.isfinite(low).all():
        place.fill_between(time, low, high, color=COLOURS["blue"], alpha=0.2, lw=0)
    place.plot(time, value, color=COLOURS["blue"], marker="o", ms=4)
    place.set_ylim(bottom=0)
    place.set_xlabel("latency (ms)")
    place.set_ylabel("path end error (m)")
    place.set_title("open loop, commands only", fontsize=9)


def _draw_split(place: Axes, result: dict[str, Any]) -> None:
    groups = list(result["by_scenario"].items())[:10]
    rows = np.arange(len(groups))
    value = _numbers([group["rmse_normalised_step0"] for _, group in groups])
    low = _numbers([group["low"] for _, group in groups])
    high = _numbers([group["high"] for _, group in groups])
    place.plot(value, rows, "o", color=PREDICTED, ms=4)
    place.hlines(rows, low, high, color=PREDICTED, lw=1.2)
    place.set_yticks(rows, [f"{name} ({group['episodes']})" for name, group in groups])
    place.set_ylim(len(groups) - 0.4, -0.6)
    place.set_xlim(left=0)
    place.set_xlabel("RMSE (normalised), first step")
    place.set_title("by scenario (episodes)", fontsize=9)


def _numbers(values: list) -> np.ndarray:
    """Floats; what JSON had to write as null becomes NaN again."""
    return np.array([np.nan if value is None else value for value in values], dtype=float)
