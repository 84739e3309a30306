"""The losses of a run as a figure."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from mobile_vla_ros.episodes import find_episodes, open_episode
from mobile_vla_ros.plots.style import COLOURS, house_style


def read_losses(path: str | Path) -> dict[str, list[tuple[int, float]]]:
    """Reads Lightning's `metrics.csv`: series name to (step, value) pairs."""
    series: dict[str, list[tuple[int, float]]] = {}
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            for name in ("train_loss_epoch", "val_loss"):
                if row.get(name):
                    series.setdefault(name, []).append((int(row["step"]), float(row[name])))
    return series


def loss_figure(path: str | Path) -> Any:
    """Training and validation loss over steps, from `metrics.csv`."""
    import matplotlib.pyplot as plt

    series = read_losses(path)
    with house_style():
        figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
        names = {"train_loss_epoch": "training", "val_loss": "validation"}
        for colour, (name, label) in zip(COLOURS.values(), names.items(), strict=False):
            if series.get(name):
                steps, values = zip(*series[name], strict=True)
                axes.plot(steps, values, marker="o", markersize=3, label=label, color=colour)
        axes.set_yscale("log")
        axes.set_xlabel("step")
        axes.set_ylabel("Huber loss (normalised velocity)")
        if series:
            axes.legend()
    return figure


def copies_figure(folder: str | Path, factor: int) -> Any:
    """The middle frame of a recording and of its copies, with the command of that moment."""
    import matplotlib.pyplot as plt

    paths = find_episodes(folder)[:factor]
    with house_style():
        columns = min(3, len(paths))
        rows = -(-len(paths) // columns)
        figure, grid = plt.subplots(
            rows, columns, figsize=(3 * columns, 2.2 * rows), squeeze=False, layout="constrained"
        )
        for axes in grid.flat:
            axes.axis("off")
        for axes, path in zip(grid.flat, paths, strict=False):
            with open_episode(path) as episode:
                middle = len(episode) // 2
                axes.imshow(episode.image(middle))
                turn = float(episode.velocities(("angular.z",))[middle, 0])
                axes.set_title(f"{episode.scenario}, {turn:+.2f} rad/s", fontsize=8)
    return figure
