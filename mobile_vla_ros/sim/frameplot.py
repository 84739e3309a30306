"""A sheet of frames from simulated episodes, for a look at what was collected."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from mobile_vla_ros.axes import UNICYCLE_AXES
from mobile_vla_ros.episodes import open_episode
from mobile_vla_ros.plots.style import house_style, save_figure

_MOST_EPISODES = 6
_COLUMNS = 5


def draw_first_frames(paths: Sequence[Path], target: str | Path) -> Path:
    """Draws five frames, from the first to the last, of up to six episodes.

    Args:
        paths: finished episodes, at least one.
        target: where to; the suffix decides the format.
    """
    chosen = list(paths)[:_MOST_EPISODES]
    with house_style():
        figure = Figure(figsize=(2.6 * _COLUMNS, 1.75 * len(chosen)), layout="constrained")
        grid = figure.subplots(len(chosen), _COLUMNS, squeeze=False)
        for row, path in zip(grid, chosen, strict=True):
            with open_episode(path) as episode:
                for column, axes in enumerate(row):
                    index = round(column * (len(episode) - 1) / (_COLUMNS - 1))
                    vx, wz = episode.velocities(UNICYCLE_AXES)[index]
                    axes.imshow(episode.image(index))
                    axes.set_axis_off()
                    title = f"{index * episode.frame_period:.1f} s: {vx:.2f} m/s, {wz:+.2f} rad/s"
                    first = f"{episode.scenario}, " if column == 0 else ""
                    axes.set_title(first + title, fontsize=7)
        return save_figure(figure, target)
