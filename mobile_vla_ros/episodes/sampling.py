"""Which rows belong together in time: the frames of a window and the commands of a chunk.

Rows are found by their stamps, so an episode recorded at 10 Hz and one with a row per action
period give the same samples. Training, verification and extraction all ask here.
"""

from __future__ import annotations

import numpy as np

# Stamps near 1.7e9 s are good to about a microsecond in float64.
_ROUNDING = 2e-6


def window_rows(
    stamps: np.ndarray, newest: int, frame_period: float, window_size: int
) -> list[int]:
    """Rows of the window that ends at ``newest``, oldest first.

    Args:
        stamps: float64 [T], image capture times, ascending, in seconds.
        newest: the last row of the window.
        frame_period: spacing of the window, in seconds.
        window_size: at most this many rows.

    Returns:
        The rows nearest to ``newest``'s time minus 0, 1, 2, ... periods, each within half a
        period. A place with no row ends the window there, so that it may be shorter.
    """
    rows = [newest]
    for step in range(1, window_size):
        wanted = stamps[newest] - step * frame_period
        after = int(np.searchsorted(stamps[: rows[-1]], wanted))
        near = [row for row in (after, after - 1) if 0 <= row < rows[-1]]
        # Of two equally near rows the newer, as in driving.
        best = min(near, key=lambda row: round(abs(stamps[row] - wanted) / _ROUNDING), default=-1)
        if best < 0 or abs(stamps[best] - wanted) > frame_period / 2 + _ROUNDING:
            break
        rows.append(best)
    return rows[::-1]


def full_windows(stamps: np.ndarray, frame_period: float, window_size: int) -> list[list[int]]:
    """All full windows of an episode as lists of rows, in order of their newest row.

    A window counts as full when its frames span the whole time, to half a row's spacing. In
    driving a window may also be full a little early, with its oldest frame within half a period.
    """
    spacing = float(np.median(np.diff(stamps))) if len(stamps) > 1 else frame_period
    slack = min(spacing, frame_period) / 2 + _ROUNDING
    span = (window_size - 1) * frame_period
    windows = (
        window_rows(stamps, newest, frame_period, window_size) for newest in range(len(stamps))
    )
    return [
        rows
        for rows in windows
        if len(rows) == window_size and abs(stamps[rows[-1]] - stamps[rows[0]] - span) <= slack
    ]


def command_rows(stamps: np.ndarray, row: int, action_period: float, steps: int) -> np.ndarray:
    """Rows whose commands are in force 0, 1, ... action periods after row ``row``.

    A row's command is in force from its stamp until the next row's, the last one for one row's
    time; a stamp up to a quarter of the row spacing late still counts as on time.

    Returns:
        int64 [steps]; -1 where no command is known: past the end, or inside a gap of the
        recording.
    """
    spacing = float(np.median(np.diff(stamps))) if len(stamps) > 1 else action_period
    slack = 0.25 * spacing
    times = stamps[row] + np.arange(steps) * action_period
    rows = np.searchsorted(stamps, times + slack, side="right") - 1
    age = times - stamps[rows]
    longest = np.where(rows == len(stamps) - 1, spacing, max(spacing, action_period))
    return np.where(age < longest - slack, rows, -1).astype(np.int64)
