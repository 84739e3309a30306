"""One picture of a drive in the field: the path from above, the velocities, a few frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from mobile_vla_ros.planar import placed_at
from mobile_vla_ros.plots.style import COLOURS, house_style, save_figure
from mobile_vla_ros.sim.fields import layout_of
from mobile_vla_ros.sim.layout import ROBOT_RADIUS
from mobile_vla_ros.sim.open_field.layout import OpenLayout
from mobile_vla_ros.sim.open_field.picture import draw_layout
from mobile_vla_ros.sim.pathplot import draw_field


def place_in_field(odometry: np.ndarray, start: tuple[float, float, float]) -> np.ndarray:
    """Places where the robot was, in the field's frame.

    Args:
        odometry: [N, 2 or more]: x, y (m) since the start, in the robot's frame at the start.
        start: x, y (m) and yaw (rad) of the robot at the start, in the field's frame.

    Returns:
        [N, 2], x and y (m).
    """
    return placed_at(start, odometry[:, :2])


def draw_drive(
    path: str | Path,
    *,
    scenario: str,
    seed: int,
    title: str,
    odometry: np.ndarray,
    commands: np.ndarray,
    states: Sequence[tuple[float, str]],
    frames: Sequence[tuple[float, np.ndarray]],
    told: Sequence[tuple[float, str]] = (),
) -> Path:
    """Draws and saves a drive.

    Args:
        path: where to; the suffix decides the format.
        scenario, seed: of the field.
        title: the instruction and how it ended.
        odometry: [N, 6]: time (s), x, y (m), yaw (rad), vx (m/s), wz (rad/s), counted from where
            the robot stood at first.
        commands: [M, 4]: time (s), linear.x, linear.y (m/s), angular.z (rad/s).
        states: (time, text) of the driving node.
        frames: (time, uint8 [H, W, 3] RGB), a few of the camera's.
        told: (time, instruction), where it changed on the way.
    """
    with house_style():
        figure = Figure(figsize=(9.0, 6.2), layout="constrained")
        grid = figure.add_gridspec(3, 2 * len(frames), height_ratios=[1.1, 1.5, 1.5])
        for index, (when, pixels) in enumerate(frames):
            panel = figure.add_subplot(grid[0, 2 * index : 2 * index + 2])
            panel.imshow(pixels)
            panel.set_title(f"{when:.1f} s", fontsize=8)
            panel.axis("off")
        above = figure.add_subplot(grid[1:, : len(frames)])
        layout = layout_of(scenario, seed)
        if isinstance(layout, OpenLayout):
            asked = layout.second if len(told) > 1 else None
            draw_layout(above, layout if asked is None else layout.asked(asked))
        else:
            draw_field(above, layout)
        path_driven = place_in_field(odometry[:, 1:3], layout.start)
        for when, _ in told[1:]:
            place = path_driven[np.argmin(np.abs(odometry[:, 0] - when))]
            above.plot(*place, marker="D", ms=6, color=COLOURS["vermilion"], zorder=5)
            above.annotate("told anew", place, (6, -12), textcoords="offset points", size=7)
        above.plot(*path_driven.T, color=COLOURS["blue"], lw=1.5)
        for when, _ in frames:
            place = path_driven[np.argmin(np.abs(odometry[:, 0] - when))]
            above.add_patch(Circle(place, ROBOT_RADIUS, fill=False, ec=COLOURS["blue"], lw=0.8))
        above.set_aspect(
            "equal", adjustable="box" if isinstance(layout, OpenLayout) else "datalim"
        )
        above.set_xlabel("x (m)")
        above.set_ylabel("y (m)")
        above.set_title("path from above", fontsize=9)
        for row, (name, column, driven, unit) in enumerate(
            (("linear.x", 1, 4, "m/s"), ("angular.z", 3, 5, "rad/s"))
        ):
            panel = figure.add_subplot(grid[1 + row, len(frames) :])
            panel.step(
                commands[:, 0],
                commands[:, column],
                where="post",
                color=COLOURS["vermilion"],
                label="commanded",
            )
            panel.plot(odometry[:, 0], odometry[:, driven], color=COLOURS["blue"], label="driven")
            for when, _ in states:
                if when > 0:
                    panel.axvline(when, color="0.7", lw=0.8, ls="--")
            for when, _ in told[1:]:
                panel.axvline(when, color=COLOURS["vermilion"], lw=1.0, ls=":")
            panel.set_ylabel(f"{name} ({unit})")
            if row == 0:
                panel.legend(loc="lower center", ncols=2)
            else:
                panel.set_xlabel("time since the instruction (s)")
        figure.suptitle(title, fontsize=10)
        return save_figure(figure, path)
