"""Figures of a trial report: success rates, paths from above, lost time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from mobile_vla_ros.plots.style import COLOURS, CYCLE, house_style


@dataclass(frozen=True)
class RateBar:
    """A success rate to be drawn: label, rate in [0, 1], its interval, and the counts.

    Bars of one ``group`` (a checkpoint) have one colour.
    """

    label: str
    rate: float
    low: float
    high: float
    successes: int
    trials: int
    group: str = ""


def draw_rates(bars: Sequence[RateBar], target: float | None = None) -> Figure:
    """Success rates with their intervals, one row each; ``target`` draws a dashed line."""
    with house_style():
        figure, axes = plt.subplots(figsize=(6.5, 1.0 + 0.42 * len(bars)))
        rows = np.arange(len(bars))[::-1]
        colours = _colours_of(bar.group or bar.label for bar in bars)
        for row, bar in zip(rows, bars, strict=True):
            colour = colours[bar.group or bar.label]
            axes.plot([bar.low, bar.high], [row, row], color=colour, linewidth=2)
            axes.plot(bar.rate, row, "o", color=colour, markersize=7)
            axes.annotate(
                f"{bar.successes}/{bar.trials}",
                (1.03, row),
                xycoords=("axes fraction", "data"),
                va="center",
            )
        if target is not None:
            axes.axvline(target, color=COLOURS["black"], linestyle="--", linewidth=1)
        axes.set_yticks(rows, [bar.label for bar in bars])
        axes.set_ylim(-0.6, len(bars) - 0.4)
        axes.set_xlim(-0.02, 1.02)
        axes.set_xlabel("success rate, with Wilson 95 % interval")
        axes.grid(axis="y", visible=False)
    return figure


def draw_paths(
    paths: Mapping[str, Sequence[tuple[np.ndarray, str, bool]]],
    columns: int = 3,
    order: Sequence[str] = (),
) -> Figure:
    """Paths seen from above, one panel per scenario.

    Args:
        paths: scenario -> (path [N, 4] as (t, x, y, yaw), checkpoint, success) per trial; x is
            forward at the start (up in the figure), y is left (left in the figure), in metres.
        columns: panels in a row at the most.
        order: the checkpoints in the order of the other figures, for the same colours.
    """
    found = {name for trials in paths.values() for _, name, _ in trials}
    names = [name for name in order if name in found] + sorted(found - set(order))
    colours = _colours_of([*order, *names])
    with house_style():
        across = max(1, min(columns, len(paths)))
        down = max(1, -(-len(paths) // across))
        figure, panels = plt.subplots(
            down, across, figsize=(2.6 * across + 0.6, 2.9 * down + 0.5), squeeze=False
        )
        for panel in panels.flat[len(paths) :]:
            panel.set_visible(False)
        for panel, (scenario, trials) in zip(panels.flat, sorted(paths.items()), strict=False):
            for path, name, success in trials:
                panel.plot(
                    -path[:, 2],
                    path[:, 1],
                    color=colours[name],
                    linewidth=1.2,
                    linestyle="-" if success else ":",
                    alpha=0.85,
                )
                panel.plot(
                    -path[-1, 2],
                    path[-1, 1],
                    "o" if success else "x",
                    color=colours[name],
                    markersize=5,
                )
            panel.set_title(scenario)
            panel.set_aspect("equal", adjustable="datalim")
            panel.set_xlabel("right of the start (m)")
            panel.set_ylabel("ahead of the start (m)")
        handles = [plt.Line2D([], [], color=colours[name], label=name) for name in names]
        handles += [
            plt.Line2D([], [], color="grey", marker="o", label="success"),
            plt.Line2D([], [], color="grey", marker="x", linestyle=":", label="failure"),
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)))
    return figure


def draw_lost_time(lost: Mapping[str, Mapping[str, float]]) -> Figure:
    """Seconds without motion per checkpoint, stacked by who caused them."""
    kinds = list(next(iter(lost.values()), {}))
    with house_style():
        figure, axes = plt.subplots(figsize=(6.5, 1.2 + 0.42 * len(lost)))
        rows = np.arange(len(lost))[::-1]
        left = np.zeros(len(lost))
        for kind, colour in zip(kinds, _colours(len(kinds)), strict=True):
            values = np.array([times[kind] for times in lost.values()])
            axes.barh(rows, values, left=left, color=colour, label=kind, height=0.6)
            left += values
        axes.set_yticks(rows, list(lost))
        axes.set_xlabel("time without motion, all trials (s)")
        axes.grid(axis="y", visible=False)
        figure.legend(loc="outside lower center", ncols=len(kinds) or 1)
    return figure


def _colours_of(names: Iterable[str]) -> dict[str, str]:
    """One colour per name, in the order of their first appearance."""
    known = list(dict.fromkeys(names))
    return dict(zip(known, _colours(len(known)), strict=True))


def _colours(count: int) -> list[str]:
    return [CYCLE[index % len(CYCLE)] for index in range(count)]
