"""Which frames form a window and which commands follow a frame, by their stamps.

An episode recorded at 10 Hz and one with a row per action period give the same samples. Driving,
training, verification and extraction all ask here.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np

STAMP_ROUNDING = 2e-6
"""Sums of stamps near 1.7e9 s are good to about a microsecond in float64: a frame exactly half a
period away from its place must not come and go with the rounding. Seconds."""


def window_rows(
    stamps: Sequence[float] | np.ndarray, newest: int, frame_period: float, window_size: int
) -> list[int]:
    """Rows of the window that ends at ``newest``, oldest first.

    Place k lies k frame periods before the newest frame. Each place takes the frame nearest to it
    that is at most half a period away and older than the frame of the place before (of two
    equally near the newer); the first place without one ends the window.

    Args:
        stamps: [T], capture times, ascending, in seconds.
        newest: the last row of the window.
        frame_period: spacing of the window, in seconds.
        window_size: at most this many rows.

    Returns:
        One to ``window_size`` rows.
    """
    end = stamps[newest]
    rows = [newest]
    for place in range(1, window_size):
        wanted = end - place * frame_period
        after = bisect_left(stamps, wanted, 0, rows[-1])
        best = None
        for row in (after, after - 1):
            if not 0 <= row < rows[-1]:
                continue
            distance = abs(stamps[row] - wanted)
            if distance > frame_period / 2 + STAMP_ROUNDING:
                continue
            if best is None or distance < abs(stamps[best] - wanted) - STAMP_ROUNDING:
                best = row
        if best is None:
            break
        rows.append(best)
    return rows[::-1]


def full_windows(stamps: np.ndarray, frame_period: float, window_size: int) -> list[list[int]]:
    """All full windows of an episode as lists of rows, in order of their newest row.

    A window counts as full when its frames span the whole time, to half a row's spacing. In
    driving a window may also be full a little early, with its oldest frame within half a period.
    """
    spacing = _spacing(stamps, frame_period)
    slack = min(spacing, frame_period) / 2 + STAMP_ROUNDING
    span = (window_size - 1) * frame_period
    times = stamps.tolist()
    windows = (
        window_rows(times, newest, frame_period, window_size) for newest in range(len(times))
    )
    return [
        rows
        for rows in windows
        if len(rows) == window_size and abs(times[rows[-1]] - times[rows[0]] - span) <= slack
    ]


def chains(stamps: np.ndarray, frame_period: float, every_row: bool = False) -> list[np.ndarray]:
    """Runs of rows one period apart, each measured from the row before.

    Training cuts its windows out of these. Unlike a window's places, which are counted from its
    newest frame, a chain follows a recorder whose own period is a little off, however long it is.

    Args:
        stamps: float64 [T], capture times, ascending, in seconds.
        frame_period: spacing of the rows; a row half a period or more off its place, as after a
            gap, starts a new chain.
        every_row: True starts a chain at every row, False only where no chain has come by.

    Returns:
        int64 [n] rows each, ascending.
    """
    following = np.full(len(stamps), -1, dtype=np.int64)
    spacing = _spacing(stamps, frame_period)
    for row, stamp in enumerate(stamps):
        target = stamp + frame_period
        if target > stamps[-1] + 0.5 * spacing:  # the recording ended before it
            continue
        right = int(np.searchsorted(stamps, target))
        near = [index for index in (right - 1, right) if row < index < len(stamps)]
        if near:
            best = min(near, key=lambda index: abs(stamps[index] - target))
            if abs(stamps[best] - target) < 0.5 * frame_period:
                following[row] = best
    found = []
    covered = -1
    for start in range(len(stamps)):
        if start <= covered and not every_row:
            continue
        chain = [start]
        while following[chain[-1]] >= 0:
            chain.append(int(following[chain[-1]]))
        found.append(np.asarray(chain, dtype=np.int64))
        covered = max(covered, chain[-1])
    return found


def command_rows(
    stamps: np.ndarray, times: np.ndarray | float, action_period: float, steps: int
) -> np.ndarray:
    """Rows whose commands are in force 0, 1, ... action periods after each of ``times``.

    A row's command is in force from its stamp until the next row's, the last one for one row's
    time; a stamp up to a quarter of the row spacing late still counts as on time.

    Args:
        stamps: float64 [T], one at least, ascending, in seconds.
        times: float64 [...], in seconds.
        action_period: seconds between two steps.
        steps: how many.

    Returns:
        int64 [..., steps]; -1 where no command is known: outside the recording, or inside a gap
        of it.
    """
    spacing = _spacing(stamps, action_period)
    slack = 0.25 * spacing
    wanted = np.asarray(times)[..., None] + np.arange(steps) * action_period
    rows = np.searchsorted(stamps, wanted + slack, side="right") - 1
    age = wanted - stamps[np.maximum(rows, 0)]
    longest = np.where(rows == len(stamps) - 1, spacing, max(spacing, action_period))
    return np.where((rows >= 0) & (age < longest - slack), rows, -1).astype(np.int64)


def _spacing(stamps: np.ndarray, otherwise: float) -> float:
    return float(np.median(np.diff(stamps))) if len(stamps) > 1 else otherwise
