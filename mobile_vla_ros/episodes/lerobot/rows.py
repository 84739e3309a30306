"""Which rows of a recording become frames of a data set that has an exact, whole rate."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mobile_vla_ros.episodes.reader import open_episode
from mobile_vla_ros.episodes.schema import EpisodeError

FEWEST_FRAMES = 2
_GAP = 2.5  # median steps; an exported episode never steps over a gap


def choose_rows(stamps: np.ndarray, fps: int) -> list[np.ndarray]:
    """Rows to export, one array per piece between gaps.

    Where the recorded rate is a whole multiple of ``fps`` within 3 percent, every n-th row is
    taken, so that a clock that runs a little slow repeats no frame; else the row nearest to each
    tick.

    Args:
        stamps: float64 [T], rising, seconds.
        fps: whole frames per second, at most what was recorded.
    """
    if len(stamps) < FEWEST_FRAMES:
        return []
    steps = np.diff(stamps)
    spacing = float(np.median(steps))
    ratio = 1 / (spacing * fps)
    stride = max(1, round(ratio))
    ends = [0, *(np.flatnonzero(steps > _GAP * spacing) + 1).tolist(), len(stamps)]
    pieces = []
    for start, end in itertools.pairwise(ends):
        if abs(ratio / stride - 1) < 0.03:
            rows = np.arange(start, end, stride)
        else:
            part = stamps[start:end] - stamps[start]
            ticks = np.arange(0, part[-1] + spacing / 2, 1 / fps)
            after = np.clip(np.searchsorted(part, ticks), 1, max(1, len(part) - 1))
            before = after - 1
            if len(part) == 1:
                nearest = np.zeros(1, int)
            else:
                closer = np.abs(ticks - part[before]) <= np.abs(part[after] - ticks)
                nearest = np.where(closer, before, after)
            rows = start + np.unique(nearest)
        pieces.append(rows)
    return pieces


def choose_rate(paths: Sequence[str | Path], wanted: int | None) -> int:
    """Whole frames per second for all of the episodes: ``wanted``, or the slowest one's.

    Raises:
        EpisodeError: no episode is long enough, the stamps of one do not rise, or ``wanted`` is
            more than was recorded.
    """
    rates = []
    for path in paths:
        with open_episode(path) as episode:
            if len(episode) >= FEWEST_FRAMES:
                steps = np.diff(episode.image_stamps)
                if not (steps > 0).all():
                    raise EpisodeError(f"{path}: the image stamps do not rise; check it first")
                rates.append((1 / float(np.median(steps)), str(path)))
    if not rates:
        raise EpisodeError(f"no episode has {FEWEST_FRAMES} frames or more")
    slowest, name = min(rates)
    most = int(slowest * 1.03)
    if most < 1:
        raise EpisodeError(f"{name} has {slowest:.2f} frames/s; a data set needs 1 at least")
    if wanted is not None and not 1 <= wanted <= most:
        raise EpisodeError(
            f"{name} has {slowest:.2f} frames/s; --fps {wanted} would repeat frames "
            f"(at most {most})"
        )
    return wanted or most
