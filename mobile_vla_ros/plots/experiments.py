"""Figure of the experiment table: each row's error over seeds, and how rows differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mobile_vla_ros.errors import InputError
from mobile_vla_ros.plots.style import COLOURS, house_style

WIDTH = 7.0  # inches
METRIC = "episode_rmse"


def experiments_figure(tables: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Rows beside their differences, one line of panels for each table.

    Args:
        tables: title -> what ``experiment table --json`` writes. Rows without a held-out error
            are left out.

    Raises:
        InputError: no row has one.
    """
    parts = [
        (title, rows, table["differences"])
        for title, table in tables.items()
        if (rows := [row for row in table["rows"] if METRIC in row["metrics"]])
    ]
    if not parts:
        raise InputError("nothing to draw: no row has run with --seeds and held-out episodes.")
    lines = [max(len(rows), len(apart)) for _, rows, apart in parts]
    with house_style():
        figure, places = plt.subplots(
            len(parts),
            2,
            figsize=(WIDTH, 0.22 * sum(lines) + 0.62 * len(parts)),
            height_ratios=[count + 1 for count in lines],
            squeeze=False,
            sharex="col",
        )
        for (title, rows, apart), (left, right) in zip(parts, places, strict=True):
            _rows(left, rows)
            _differences(right, apart)
            left.set_title(title, loc="left", fontsize=9)
        values = [row["metrics"][METRIC] for _, rows, _ in parts for row in rows]
        largest = max(value["high"] or value["mean"] for value in values)
        places[-1][0].set_xlim(0, 1.05 * largest)
        places[-1][0].set_xlabel("RMSE on held-out episodes (normalised)")
        places[-1][1].set_xlabel("first less second (below 0: first better)")
        return figure


def _rows(place: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    names = [f"{row['id']} ({row['seeds']})" for row in rows]
    _intervals(place, names, [row["metrics"][METRIC] for row in rows], [COLOURS["blue"]])


def _differences(place: Axes, apart: Sequence[Mapping[str, Any]]) -> None:
    names = [f"{found['first']} - {found['second']}" for found in apart]
    clear = [found["low"] is not None and found["low"] * found["high"] > 0 for found in apart]
    colours = [COLOURS["vermilion"] if told else "0.6" for told in clear]
    place.axvline(0, color="black", lw=0.8)
    _intervals(place, names, apart, colours)


def _intervals(
    place: Axes, names: Sequence[str], values: Sequence[Mapping[str, Any]], colours: Sequence[str]
) -> None:
    for line, value in enumerate(values):
        colour = colours[line % len(colours)]
        if value["low"] is not None:
            place.hlines(line, value["low"], value["high"], color=colour, lw=1.5)
        place.plot(value["mean"], line, "o", color=colour, ms=4)
    place.set_yticks(range(len(names)), names)
    place.set_ylim(len(names) - 0.5, -0.5)
