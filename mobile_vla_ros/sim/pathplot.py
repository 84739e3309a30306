"""Runs drawn from above: boxes, bottle, where the robot went and how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Polygon, Wedge

from mobile_vla_ros.plots.style import COLOURS, house_style, save_figure
from mobile_vla_ros.sim.closed_loop import Run
from mobile_vla_ros.sim.layout import BOTTLE_RADIUS, ROBOT_RADIUS, Layout, sample_layout
from mobile_vla_ros.sim.outcome import GOAL_DISTANCE
from mobile_vla_ros.stats.intervals import wilson_interval

_MOST_FIELDS = 12


def draw_field(axes: Axes, layout: Layout) -> None:
    """Draws what stands in a field onto ``axes``; metres, x ahead to the right, y left up."""
    for box in layout.boxes:
        axes.add_patch(Polygon(box.corners(), facecolor="#c69c6d", edgecolor="#6b4f2e", lw=0.8))
    axes.add_patch(
        Circle(layout.bottle, GOAL_DISTANCE, facecolor="none", edgecolor="0.6", ls=":", lw=0.8)
    )
    axes.add_patch(Circle(layout.bottle, BOTTLE_RADIUS * 1.4, color=COLOURS["green"], zorder=4))


def draw_paths(runs: Sequence[Run], path: str | Path) -> Path:
    """Draws runs from above and saves the figure.

    One panel per scenario shows all its runs, laid over each other with their boxes pale; up to
    twelve runs get a panel each, the failures first.

    Args:
        runs: at least one.
        path: where to; the suffix decides the format.
    """
    names = list(dict.fromkeys(run.scenario for run in runs))
    singles = sorted(runs, key=lambda run: run.outcome.success)[:_MOST_FIELDS]
    with house_style():
        columns = max(2, min(4, len(singles)))
        over_rows = -(-len(names) // columns)
        rows = over_rows + -(-len(singles) // columns)
        figure = Figure(figsize=(3.2 * columns, 2.1 * rows + 0.3), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False)
        for index, name in enumerate(names):
            _overlay(grid[index // columns, index % columns], name, runs)
        for index, run in enumerate(singles):
            place = over_rows * columns + index
            _single(grid[place // columns, place % columns], run)
        for axes in grid.flat:
            if not axes.has_data():
                axes.set_visible(False)
        return save_figure(figure, path)


def _overlay(axes: Axes, name: str, runs: Sequence[Run]) -> None:
    chosen = [run for run in runs if run.scenario == name]
    for run in chosen:
        layout = sample_layout(run.scenario, run.seed)
        for box in layout.boxes:
            axes.add_patch(
                Polygon(box.corners(), facecolor="#c69c6d", edgecolor="none", alpha=0.15)
            )
        axes.plot(*layout.bottle, ".", color=COLOURS["green"], ms=4)
        good = run.outcome.success
        axes.plot(
            run.path[:, 0],
            run.path[:, 1],
            color=COLOURS["blue"] if good else COLOURS["vermilion"],
            lw=0.8,
            alpha=0.7,
            zorder=2 if good else 3,
        )
    successes = sum(run.outcome.success for run in chosen)
    low, high = wilson_interval(successes, len(chosen))
    axes.set_title(f"{name}: {successes} of {len(chosen)} ({100 * low:.0f} to {100 * high:.0f} %)")
    bottles = [(*sample_layout(run.scenario, run.seed).bottle, 0.0) for run in chosen]
    _frame(axes, np.concatenate([*(run.path for run in chosen), bottles]))


def _single(axes: Axes, run: Run) -> None:
    layout = sample_layout(run.scenario, run.seed)
    draw_field(axes, layout)
    good = run.outcome.success
    colour = COLOURS["blue"] if good else COLOURS["vermilion"]
    axes.plot(run.path[:, 0], run.path[:, 1], color=colour, lw=1.2)
    x, y, yaw = run.path[-1]
    axes.add_patch(Circle((x, y), ROBOT_RADIUS, facecolor="none", edgecolor=colour, lw=1.0))
    degrees = float(np.degrees(yaw))
    axes.add_patch(Wedge((x, y), ROBOT_RADIUS, degrees - 20, degrees + 20, color=colour))
    axes.set_title(f"{run.scenario}, seed {run.seed}: {run.outcome.reason}", fontsize=8)
    _frame(axes, np.vstack([run.path[:, :2], [layout.bottle]]))


def _frame(axes: Axes, points: np.ndarray) -> None:
    axes.set_aspect("equal")
    axes.set_xlim(points[:, 0].min() - 0.4, points[:, 0].max() + GOAL_DISTANCE + 0.1)
    reach = max(np.abs(points[:, 1]).max() + 0.3, 0.9)
    axes.set_ylim(-reach, reach)
    axes.set_xlabel("x (m)")
    axes.set_ylabel("y (m)")
