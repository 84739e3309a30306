"""Open fields drawn from above, alone, beside the camera's view, and with the paths of runs."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Polygon, Wedge

from mobile_vla_ros.plots.style import COLOURS, house_style, save_figure
from mobile_vla_ros.sim.closed_loop import Run
from mobile_vla_ros.sim.layout import ROBOT_RADIUS
from mobile_vla_ros.sim.open_field.field import OpenField
from mobile_vla_ros.sim.open_field.judge import GOAL_GAP, OpenOutcome
from mobile_vla_ros.sim.open_field.layout import OpenLayout
from mobile_vla_ros.sim.open_field.person import RADIUS
from mobile_vla_ros.sim.open_field.placement import sample_open_layout

PAINT = {
    "green": "#2e8b3d",
    "grey": "#808080",
    "orange": "#f28500",
    "blue": "#2a62c9",
    "red": "#c22626",
    "yellow": "#f2c918",
}
_MOST_RUNS = 16
_COLUMNS = 4


def draw_layout(axes: Axes, layout: OpenLayout) -> None:
    """Draws what stands in a field; metres, x ahead to the right, y left up."""
    x_min, x_max, y_min, y_max = layout.room
    room = [(x_min, y_min), (x_max, y_min), (x_max, y_max), (x_min, y_max)]
    axes.add_patch(Polygon(room, facecolor="none", edgecolor="0.5", lw=0.8))
    for index, box in enumerate(layout.boxes):
        axes.add_patch(Polygon(box.corners(), facecolor="#c69c6d", edgecolor="#6b4f2e", lw=0.8))
        if index == 0 and layout.order.side:
            axes.text(box.x, box.y, layout.order.side[0].upper(), ha="center", va="center", size=7)
    for stool in layout.stools:
        axes.add_patch(Circle((stool.x, stool.y), stool.radius, color="#4a3020"))
    for thing in layout.things:
        place = (thing.x, thing.y)
        axes.add_patch(Circle(place, thing.radius, color=PAINT[thing.colour], zorder=3))
        axes.annotate(thing.kind, place, (0, 7), textcoords="offset points", ha="center", size=6)
    if layout.target is not None:
        target = layout.target
        ring = Circle((target.x, target.y), target.radius + GOAL_GAP, facecolor="none")
        ring.set(edgecolor="0.3", ls=":", lw=1.0)
        axes.add_patch(ring)
    if layout.walk is not None:
        ends = np.array([layout.walk.start, layout.walk.end])
        axes.plot(ends[:, 0], ends[:, 1], color="0.6", lw=1.0, ls="--", zorder=1)
        axes.add_patch(Circle(layout.walk.start, RADIUS, color="0.6", zorder=1))
    _robot(axes, layout.start, "0.2")
    axes.set_aspect("equal")
    axes.set_xlim(x_min - 0.1, x_max + 0.1)
    axes.set_ylim(y_min - 0.1, y_max + 0.1)


def draw_sheet(fields: Sequence[tuple[str, int]], path: str | Path) -> Path:
    """Draws fields from above, each beside what the robot sees at its start.

    Args:
        fields: (scenario, seed) of each.
        path: where to; the suffix decides the format.
    """
    with house_style():
        figure = Figure(figsize=(10.4, 2.5 * -(-len(fields) // 2)), layout="constrained")
        grid = figure.subplots(-(-len(fields) // 2), 4, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for index, (scenario, seed) in enumerate(fields):
            above, view = grid[index // 2, 2 * (index % 2) : 2 * (index % 2) + 2]
            with OpenField(scenario, seed) as field:
                view.imshow(field.render())
                draw_layout(above, field.layout)
                text = field.instruction
                view.set_title(textwrap.fill(_printable(text, field.goal), 46), fontsize=7)
            above.set_title(f"{scenario}, seed {seed}, {field.layout.style}", fontsize=7)
        return save_figure(figure, path)


def draw_open_paths(runs: Sequence[Run], path: str | Path) -> Path:
    """Draws up to sixteen runs from above, the failures first.

    Args:
        runs: in the open field, at least one.
        path: where to; the suffix decides the format.
    """
    chosen = sorted(runs, key=lambda run: run.outcome.success)[:_MOST_RUNS]
    columns = min(_COLUMNS, len(chosen))
    rows = -(-len(chosen) // columns)
    with house_style():
        figure = Figure(figsize=(3.2 * columns, 2.8 * rows), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for axes, run in zip(grid.flat, chosen, strict=False):
            layout = sample_open_layout(run.scenario, run.seed)
            outcome = run.outcome
            asked = outcome.asked if isinstance(outcome, OpenOutcome) else None
            if asked is not None and asked.changed and layout.second is not None:
                layout = layout.asked(layout.second)
            draw_layout(axes, layout)
            colour = COLOURS["blue"] if outcome.success else COLOURS["vermilion"]
            axes.plot(run.path[:, 0], run.path[:, 1], color=colour, lw=1.2, zorder=4)
            _robot(axes, tuple(float(value) for value in run.path[-1]), colour)
            target = "" if asked is None else f" to {asked.target}"
            axes.set_title(
                f"{run.scenario}, seed {run.seed}{target}:\n{outcome.reason}", fontsize=7
            )
        return save_figure(figure, path)


def _robot(axes: Axes, pose: tuple[float, ...], colour: str) -> None:
    x, y, yaw = pose
    axes.add_patch(Circle((x, y), ROBOT_RADIUS, facecolor="none", edgecolor=colour, lw=1.0))
    degrees = float(np.degrees(yaw))
    axes.add_patch(Wedge((x, y), ROBOT_RADIUS, degrees - 20, degrees + 20, color=colour, zorder=4))


def _printable(text: str, goal: str) -> str:
    """The instruction, or what it asks for where the figure's font has no such letters."""
    return text if text.isascii() else f"(Korean) {goal}"
