"""The contact sheet of an episode: its frames with the commands on them, speeds and path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

from mobile_vla_ros.axes import PLANAR_AXES
from mobile_vla_ros.episodes.reader import Episode
from mobile_vla_ros.files import shown_name
from mobile_vla_ros.planar import integrate, seen_from

_COLUMNS = 6
_ASIAN_FONTS = ("Noto Sans CJK KR", "Noto Sans KR", "NanumGothic", "UnDotum")
_LAST_COMMON_LETTER = 0x2FFF  # beyond it lie the Asian scripts, which the usual font lacks
_LOOK_AHEAD = 1.0  # seconds of motion drawn on a frame


@dataclass(frozen=True)
class SheetRow:
    """One picture of the sheet: the frame, its time, and the command in force.

    Attributes:
        image: uint8 [H,W,3] RGB.
        time: seconds from the start.
        velocities: vx, vy in m/s (forward, left), wz in rad/s (counter-clockwise).
        label: what stands above it.
    """

    image: np.ndarray
    time: float
    velocities: tuple[float, float, float]
    label: str


def draw_episode(episode: Episode, out: str | Path, pictures: int = 18) -> Path:
    """Draws up to ``pictures`` frames spread evenly, the speeds and the path, as one image.

    The path is the recorded odometry where there is one, else the commands integrated.

    Raises:
        InputError: the image cannot be written there.
    """
    velocities = motion(episode)
    times = episode.image_stamps - episode.image_stamps[0]
    count = max(1, min(pictures, len(episode)))
    chosen = np.unique(np.linspace(0, len(episode) - 1, count).round().astype(int))
    rows = [
        SheetRow(
            episode.image(row),
            float(times[row]),
            (velocities[row, 0], velocities[row, 1], velocities[row, 2]),
            f"{row}: {times[row]:.1f} s" + _mark(episode.events[row]),
        )
        for row in chosen.tolist()
    ]
    path, source = driven_path(episode)
    cut = "" if episode.complete else ", incomplete"
    outcome = f", {episode.outcome}" if episode.outcome else ""
    title = (
        f"{shown_name(episode.path.name)} — {len(episode)} frames, {times[-1]:.1f} s"
        f"{outcome}{cut}\n"
        f"{episode.instruction or '(no instruction)'}"
    )
    return draw_sheet(rows, times, velocities, path, source, title, out)


def draw_sheet(
    rows: Sequence[SheetRow],
    times: np.ndarray,
    velocities: np.ndarray,
    path: np.ndarray,
    path_source: str,
    title: str,
    out: str | Path,
) -> Path:
    """Draws the sheet from plain values.

    Args:
        rows: the pictures.
        times: float [T], seconds from the start.
        velocities: float [T,3], vx, vy, wz commanded.
        path: float [N,3], x (forward), y (left), yaw in metres and radians, from the start pose.
        path_source: what the path is from, for its title.
        title: one or two lines.
        out: the image, .png.

    Raises:
        InputError: the image cannot be written there.
    """
    from mobile_vla_ros.plots.style import house_style, plt, save_figure

    with house_style():
        columns = min(_COLUMNS, max(3, len(rows)))
        lines = -(-len(rows) // columns)
        height, width = rows[0].image.shape[:2]
        cell = 1.9
        tall = lines * (cell * height / width + 0.28)
        figure = plt.figure(figsize=(cell * columns, tall + 2.9))
        _title(figure, title)
        parts: Any = figure.subfigures(2, 1, height_ratios=[tall, 2.5])
        upper, lower = parts
        axes = upper.subplots(lines, columns, squeeze=False)
        for axis in axes.ravel():
            axis.axis("off")
        for axis, row in zip(axes.ravel(), rows, strict=False):
            _picture(axis, row)
        speeds, route = lower.subplots(1, 2, width_ratios=[2, 1])
        _speeds(speeds, times, velocities)
        _route(route, path, path_source)
        return save_figure(figure, out)


def motion(episode: Episode) -> np.ndarray:
    """float32 [T,3]: vx, vy, wz commanded; 0 for an axis that the episode does not have."""
    columns = []
    for axis in PLANAR_AXES:
        known = axis in episode.action_axes
        columns.append(
            episode.velocities([axis])[:, 0] if known else np.zeros(len(episode), np.float32)
        )
    return np.stack(columns, axis=1)


def driven_path(episode: Episode) -> tuple[np.ndarray, str]:
    """float64 [T,3]: x, y, yaw from the start pose, and what it is from."""
    odom = episode.odom
    if odom is not None and np.isfinite(odom[:, :3]).all():
        start = odom[0, :3]
        places = seen_from(start, odom[:, :2])
        return np.column_stack([places, odom[:, 2] - start[2]]), "odometry"
    stamps = episode.image_stamps
    steps = np.diff(stamps, append=stamps[-1] + episode.frame_period if len(stamps) else 0.0)
    held = np.clip(steps, 0.0, 2 * episode.frame_period)
    return integrate(motion(episode), PLANAR_AXES, held), "commands"


def _mark(event: str) -> str:
    return {"episode_start": " (start)", "stop_action": " (stop)"}.get(event, "")


def _title(figure: Figure, title: str) -> None:
    """The title in a font that has its characters, or a word on why it is not there."""
    from matplotlib import font_manager

    known = {font.name for font in font_manager.fontManager.ttflist}
    asian = [name for name in _ASIAN_FONTS if name in known]
    if not asian and any(ord(letter) > _LAST_COMMON_LETTER for letter in title):
        name, _, _ = title.partition("\n")
        title = f"{name}\n(no font on this machine has the instruction's characters)"
    figure.suptitle(title, fontsize=9, fontfamily=[*asian, "DejaVu Sans"])


def _picture(axis: Axes, row: SheetRow) -> None:
    """The frame, and on it the motion that the command would make in the next second."""
    from mobile_vla_ros.plots.style import COLOURS

    height, width = row.image.shape[:2]
    shrink = max(1, width // 640)
    axis.imshow(row.image[::shrink, ::shrink], extent=(0, width, height, 0), aspect="equal")
    parts = 20
    ahead = integrate(np.tile(row.velocities, (parts, 1)), PLANAR_AXES, _LOOK_AHEAD / parts)
    scale = 0.62 * height  # pixels per metre
    across, up = width / 2 - scale * ahead[:, 1], 0.95 * height - scale * ahead[:, 0]
    vx, vy, wz = row.velocities
    if max(abs(vx), abs(vy)) > 1e-3:
        axis.plot(across, up, color="white", linewidth=4, solid_capstyle="round")
        axis.plot(across, up, color=COLOURS["vermilion"], linewidth=2, solid_capstyle="round")
        axis.plot(across[-1], up[-1], "o", color=COLOURS["vermilion"], markersize=4)
    elif abs(wz) > 1e-3:
        side = "\u21ba" if wz > 0 else "\u21bb"
        axis.text(
            width / 2, 0.88 * height, side, color=COLOURS["vermilion"], fontsize=16,
            ha="center", va="center", fontweight="bold",
        )  # fmt: skip
    else:
        axis.plot(width / 2, 0.92 * height, "s", color=COLOURS["vermilion"], markersize=5)
    words = (
        f"{vx:+.2f} {vy:+.2f} m/s  {wz:+.2f} rad/s" if vy else f"{vx:+.2f} m/s  {wz:+.2f} rad/s"
    )
    axis.text(
        0.03 * width, 0.04 * height, words, color="white", fontsize=5.5, va="top",
        bbox={"facecolor": "black", "alpha": 0.55, "pad": 1.2, "linewidth": 0},
    )  # fmt: skip
    axis.set_xlim(0, width)
    axis.set_ylim(height, 0)
    axis.set_title(row.label, fontsize=6.5, pad=2)


def _speeds(axis: Axes, times: np.ndarray, velocities: np.ndarray) -> None:
    names = ("forward (m/s)", "left (m/s)", "turning (rad/s)")
    end = times[-1] + (np.median(np.diff(times)) if len(times) > 1 else 1.0)
    for column, name in enumerate(names):
        if column == 1 and not velocities[:, 1].any():
            continue
        values = np.append(velocities[:, column], velocities[-1, column])
        axis.step(np.append(times, end), values, where="post", label=name, linewidth=1.4)
    axis.axhline(0, color="black", linewidth=0.6)
    axis.set_xlabel("time (s)")
    axis.set_title("commands")
    axis.legend(frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.22))


def _route(axis: Axes, path: np.ndarray, source: str) -> None:
    from mobile_vla_ros.plots.style import COLOURS

    axis.plot(-path[:, 1], path[:, 0], color=COLOURS["blue"], linewidth=1.6)
    axis.plot(-path[0, 1], path[0, 0], "o", color=COLOURS["green"], label="start")
    axis.plot(-path[-1, 1], path[-1, 0], "s", color=COLOURS["vermilion"], label="end")
    axis.set_aspect("equal", adjustable="datalim")
    axis.set_xlabel("to the right (m)")
    axis.set_ylabel("forward (m)")
    axis.set_title(f"path from {source}")
    axis.legend(frameon=False)
