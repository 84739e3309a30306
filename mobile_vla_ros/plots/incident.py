"""Figure of an incident: what was commanded, what would have been, and what happened when."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import shorten

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from mobile_vla_ros.planar import seen_from
from mobile_vla_ros.plots.style import COLOURS, house_style

# Longer without a row, s, and the line ends; further from one row to the next, m, and the robot
# was carried, or its field set up anew.
SILENCE = 1.0
LEAP = 0.5


def draw_incident_traces(
    axes: Sequence[str],
    time: float,
    stamps: np.ndarray,
    recorded: np.ndarray,
    replayed: np.ndarray | None,
    commands: np.ndarray,
    events: Sequence[tuple[float, str]],
    begins: np.ndarray | None = None,
) -> Figure:
    """One panel per axis over the seconds around the trigger.

    No line is drawn across a jump: over seconds without a chunk or a command, or to where the
    policy began anew.

    Args:
        axes: names of the columns, such as ``linear.x``.
        time: when it was triggered, s.
        stamps: [N] capture times, s.
        recorded: [N, dof] first chunk steps of the policy that drove, m/s and rad/s.
        replayed: the same of another checkpoint, or None.
        commands: [M, 4] time, linear.x, linear.y, angular.z as published.
        events: (time, text).
        begins: bool [N], the policy began anew with this frame or shortly before it.
    """
    columns = {"linear.x": 1, "linear.y": 2, "angular.z": 3}
    jumps = _jumps(stamps) if begins is None else _jumps(stamps) | begins
    ordered, recorded = _broken(stamps, recorded, jumps)
    if replayed is not None:
        replayed = _broken(stamps, replayed, jumps)[1]
    stamps = ordered
    told, commands = _broken(commands[:, 0], commands, _jumps(commands[:, 0]))
    with house_style():
        figure, panels = plt.subplots(
            len(axes), 1, figsize=(7, 1.0 + 1.9 * len(axes)), sharex=True, squeeze=False
        )
        for index, (panel, axis) in enumerate(zip(panels[:, 0], axes, strict=True)):
            if axis in columns and len(commands):
                panel.step(
                    told - time,
                    commands[:, columns[axis]],
                    where="post",
                    color=COLOURS["black"],
                    linewidth=1,
                    label="published command",
                )
            panel.plot(
                stamps - time,
                recorded[:, index],
                ".-",
                color=COLOURS["blue"],
                label="policy that drove",
            )
            if replayed is not None:
                panel.plot(
                    stamps - time,
                    replayed[:, index],
                    ".--",
                    color=COLOURS["vermilion"],
                    label="other checkpoint",
                )
            _mark_events(panel, events, time, numbers=index == 0)
            unit = "rad/s" if axis.startswith("angular") else "m/s"
            panel.set_ylabel(f"{axis} ({unit})")
        panels[-1, 0].set_xlabel("time from the trigger (s)")
        handles, labels = panels[0, 0].get_legend_handles_labels()
        panels[-1, 0].legend(handles, labels, loc="best", fontsize=7)
        _list_events(figure, events, time)
    return figure


def draw_capsule(
    title: str,
    time: float,
    frames: Sequence[tuple[float, np.ndarray]],
    axes: Sequence[str],
    chunk_stamps: np.ndarray,
    chunks: np.ndarray,
    action_period: float,
    commands: np.ndarray,
    odometry: np.ndarray,
    events: Sequence[tuple[float, str]],
) -> Figure:
    """What a capsule holds: pictures, every plan to its last step, commands, path, events.

    Args:
        title: stands on top.
        time: when it was triggered, s.
        frames: (capture time, uint8 [H, W, 3] RGB), oldest first; two rows of six are drawn.
        axes: names of the chunks' columns.
        chunk_stamps: float64 [C], capture time of the frame behind each chunk, s.
        chunks: float32 [C, steps, dof], m/s and rad/s.
        action_period: s per step.
        commands: [M, 4] time, linear.x, linear.y, angular.z as published.
        odometry: [K, 7] time, x, y, yaw, vx, vy, wz; may be empty.
        events: (time, text).
    """
    columns = {"linear.x": 1, "linear.y": 2, "angular.z": 3}
    places = np.linspace(0, max(len(frames) - 1, 0), 12).astype(int)
    shown = [frames[place] for place in np.unique(places)] if frames else []
    rows = -(-len(shown) // 6)
    count = len(axes)
    told, commands = _broken(commands[:, 0], commands, _jumps(commands[:, 0]))
    with house_style():
        figure = plt.figure(figsize=(10, 1.4 * rows + 1.9 * count + 1.8))
        figure.suptitle(title)
        grid = figure.add_gridspec(
            rows + count, 6, height_ratios=[1.3] * rows + [1.9] * count if rows + count else None
        )
        for index, (stamp, image) in enumerate(shown):
            panel = figure.add_subplot(grid[index // 6, index % 6])
            panel.imshow(image)
            panel.set_title(f"{stamp - time:+.1f} s", fontsize=8)
            panel.set_axis_off()
        first = None
        for index, axis in enumerate(axes):
            panel = figure.add_subplot(grid[rows + index, :4], sharex=first)
            first = first or panel
            _draw_plans(panel, chunk_stamps - time, chunks[:, :, index], action_period)
            if axis in columns and len(commands):
                panel.step(
                    told - time,
                    commands[:, columns[axis]],
                    where="post",
                    color=COLOURS["black"],
                    linewidth=1,
                    label="published command",
                )
            _mark_events(panel, events, time, numbers=index == 0)
            panel.axvline(0, color=COLOURS["vermilion"], linewidth=1.2)
            panel.set_ylabel(f"{axis} ({'rad/s' if axis.startswith('angular') else 'm/s'})")
        if first is not None:
            panel.set_xlabel("time from the trigger (s)")
            if len(chunks) or len(commands):
                first.legend(loc="upper left", fontsize=7)
        if len(odometry) > 1 and count:
            _draw_route(figure.add_subplot(grid[rows:, 4:]), odometry, time)
        _list_events(figure, events, time)
    return figure


def _jumps(times: np.ndarray) -> np.ndarray:
    """bool [N], where a time does not follow on the one before."""
    jumps = np.zeros(len(times), bool)
    steps = np.diff(times)
    jumps[1:] = (steps > SILENCE) | (steps < 0)
    return jumps


def _broken(
    times: np.ndarray, rows: np.ndarray, jumps: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Times and rows with a row of NaN before each jump, over which nothing is drawn."""
    places = np.flatnonzero(jumps)
    # A step is drawn to the time of the next row, so that row's time is the last one's own.
    gaps = times[np.maximum(places - 1, 0)]
    return np.insert(times, places, gaps), np.insert(
        rows.astype(np.float64), places, np.nan, axis=0
    )


def _draw_plans(panel: plt.Axes, stamps: np.ndarray, plans: np.ndarray, period: float) -> None:
    """Every plan of one axis, [C, steps], to its last step; its first step as a dot."""
    steps = np.arange(plans.shape[1]) * period
    for stamp, plan in zip(stamps, plans, strict=True):
        panel.plot(stamp + steps, plan, color=COLOURS["sky"], linewidth=0.6, alpha=0.5)
    if len(plans):
        panel.plot(
            stamps,
            plans[:, 0],
            ".",
            color=COLOURS["blue"],
            label="first step of each plan (thin: all its steps)",
        )


def _mark_events(
    panel: plt.Axes, events: Sequence[tuple[float, str]], time: float, *, numbers: bool
) -> None:
    """A line for each event, and above it its number."""
    for number, (when, _) in enumerate(events, start=1):
        panel.axvline(when - time, color="grey", linewidth=0.6)
        if numbers:
            # Neighbouring numbers take turns in height, so that they can be read.
            panel.annotate(
                str(number),
                (when - time, 1.02 + 0.08 * (number % 4)),
                xycoords=("data", "axes fraction"),
                ha="center",
                fontsize=7,
            )


def _list_events(figure: plt.Figure, events: Sequence[tuple[float, str]], time: float) -> None:
    """Below everything: what the numbers mean."""
    lines = [
        f"{number}: {when - time:+.1f} s {shorten(text, 48, placeholder=' …')}"
        for number, (when, text) in enumerate(events, start=1)
    ]
    if lines:
        handles = [plt.Line2D([], [], linestyle="none") for _ in lines]
        figure.legend(
            handles, lines, loc="outside lower center", ncols=3, handlelength=0, fontsize=7
        )


def _draw_route(panel: plt.Axes, odometry: np.ndarray, time: float) -> None:
    """The way in the frame of its first pose: ahead is up, left is left."""
    ahead, left = seen_from(odometry[0, 1:4], odometry[:, 1:3]).T
    jumps = _jumps(odometry[:, 0])
    jumps[1:] |= np.hypot(np.diff(ahead), np.diff(left)) > LEAP
    drawn = _broken(odometry[:, 0], np.column_stack((ahead, left)), jumps)[1]
    panel.plot(-drawn[:, 1], drawn[:, 0], color=COLOURS["blue"], linewidth=1.2)
    at = int(np.argmin(np.abs(odometry[:, 0] - time)))
    panel.plot(-left[at], ahead[at], "o", color=COLOURS["vermilion"], label="trigger")
    panel.set_aspect("equal", adjustable="datalim")
    panel.set_xlabel("right (m)")
    panel.set_ylabel("ahead (m)")
    panel.set_title("path (odometry)")
    panel.legend(loc="best")
