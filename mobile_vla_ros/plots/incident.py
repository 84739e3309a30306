"""Figure of an incident: what was commanded, what would have been, and what happened when."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from mobile_vla_ros.plots.style import COLOURS, house_style


def draw_incident_traces(
    axes: Sequence[str],
    time: float,
    stamps: np.ndarray,
    recorded: np.ndarray,
    replayed: np.ndarray | None,
    commands: np.ndarray,
    events: Sequence[tuple[float, str]],
) -> Figure:
    """One panel per axis over the seconds around the trigger.

    Args:
        axes: names of the columns, such as ``linear.x``.
        time: when it was triggered, s.
        stamps: [N] capture times, s.
        recorded: [N, dof] first chunk steps of the policy that drove, m/s and rad/s.
        replayed: the same of another checkpoint, or None.
        commands: [M, 4] time, linear.x, linear.y, angular.z as published.
        events: (time, text).
    """
    columns = {"linear.x": 1, "linear.y": 2, "angular.z": 3}
    with house_style():
        figure, panels = plt.subplots(
            len(axes), 1, figsize=(7, 1.0 + 1.9 * len(axes)), sharex=True, squeeze=False
        )
        for index, (panel, axis) in enumerate(zip(panels[:, 0], axes, strict=True)):
            if axis in columns and len(commands):
                panel.step(
                    commands[:, 0] - time,
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
            for number, (when, _) in enumerate(events, start=1):
                panel.axvline(when - time, color="grey", linewidth=0.8)
                if index == 0:
                    panel.annotate(
                        str(number),
                        (when - time, 1.02),
                        xycoords=("data", "axes fraction"),
                        ha="center",
                        fontsize=7,
                    )
            unit = "rad/s" if axis.startswith("angular") else "m/s"
            panel.set_ylabel(f"{axis} ({unit})")
        panels[-1, 0].set_xlabel("time from the trigger (s)")
        handles, labels = panels[0, 0].get_legend_handles_labels()
        notes = [f"{number}: {text}" for number, (_, text) in enumerate(events, start=1)]
        handles += [plt.Line2D([], [], linestyle="none") for _ in notes]
        figure.legend(handles, labels + notes, loc="outside lower center", ncols=3)
    return figure
