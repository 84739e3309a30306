"""Which of many known recordings a file may hold, told by stamps and commands alone.

Comparing a file with each of thousands of recordings takes a second; this takes milliseconds, and
leaves out none that the comparison would find.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mobile_vla_ros.axes import AXES
from mobile_vla_ros.episodes.identity import Identity

FEWEST = 3  # kept frames that must lie inside the other file
SHARE = 0.75  # of those, how many have to agree
COMMAND = 2e-3  # m/s, rad/s; commands that differ by less are alike
MIRRORED = np.array([1, -1, 1, -1, 1, -1], np.float64)  # signs of the six axes in a mirror
_ROUNDING = 1e-9


class Shortlist:
    """The kept frames of known recordings, searched all at once."""

    def __init__(self, known: Sequence[Identity]) -> None:
        told = [index for index, identity in enumerate(known) if identity.known_by_content]
        counts = [len(known[index].times) for index in told]
        self._numbers = np.array(told, dtype=np.int64)
        self._owner = np.repeat(np.arange(len(told)), counts)
        self._times = np.concatenate([known[i].times for i in told]) if told else np.empty(0)
        self._commands = (
            np.concatenate([known[i].commands for i in told]) if told else np.empty((0, len(AXES)))
        )
        self._starts = np.array([known[i].start for i in told])
        self._ends = np.array([known[i].start + known[i].times[-1] for i in told])
        # Of the fewest kept frames inside the file, as many have to agree.
        self._agreeing = np.ceil(SHARE * np.minimum(counts, FEWEST)).astype(np.int64)

    def candidates(self, stamps: np.ndarray, commands: np.ndarray, slack: float) -> list[int]:
        """Places in the list of recordings, rising, that the file may hold.

        Args:
            stamps: float64 [T], s, rising.
            commands: float64 [T, 6], NaN where the file has no such column.
            slack: s by which a row may be away from a kept frame that it is compared with.
        """
        if not len(self._numbers):
            return []
        may = (self._starts <= stamps[-1] + slack) & (self._ends >= stamps[0] - slack)
        for signs in (np.ones(len(AXES)), MIRRORED):
            frames, rows = alike(self._commands * signs, commands)
            may |= self._in_step(frames, stamps[rows] - self._times[frames], slack)
        return [int(number) for number in self._numbers[may]]

    def _in_step(self, frames: np.ndarray, begins: np.ndarray, slack: float) -> np.ndarray:
        """bool [N]: enough kept frames of a recording are where they are, had it begun at once."""
        owner = self._owner[frames]
        order = np.lexsort((begins, owner))
        owner, begins = owner[order], begins[order]
        found = np.zeros(len(self._numbers), dtype=bool)
        for needed in range(1, FEWEST + 1):
            last = needed - 1
            first = slice(None, len(owner) - last)
            near = begins[last:] - begins[first] <= 2 * (slack + _ROUNDING)
            one = (owner[last:] == owner[first]) & (self._agreeing[owner[first]] == needed)
            found[owner[first][near & one]] = True
        return found


def alike(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of alike commands; an axis that one of the two does not know decides nothing.

    Args:
        first: float64 [N, axes].
        second: float64 [T, axes].

    Returns:
        int64 [P] and int64 [P]: rows of the one and of the other.
    """
    tolerance = COMMAND + _ROUNDING
    axis = _most_telling(second)
    order = np.argsort(second[:, axis])  # NaN comes last
    known = int(np.isfinite(second[:, axis]).sum())
    column, value = second[order[:known], axis], first[:, axis]
    silent = np.isnan(value)
    low = np.where(silent, 0, np.searchsorted(column, value - tolerance))
    high = np.where(silent, known, np.searchsorted(column, value + tolerance, side="right"))
    counts = np.maximum(high - low, 0)
    rows = np.repeat(np.arange(len(first)), counts)
    places = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    columns = order[places + np.repeat(low, counts)]
    unknown = order[known:]
    rows = np.concatenate([rows, np.repeat(np.arange(len(first)), len(unknown))])
    columns = np.concatenate([columns, np.tile(unknown, len(first))])
    apart = np.nan_to_num(np.abs(first[rows] - second[columns]), nan=0.0)
    same = (apart <= tolerance).all(axis=1)
    return rows[same], columns[same]


def _most_telling(commands: np.ndarray) -> int:
    """The axis with the most values: it leaves the fewest pairs."""
    return int(np.argmax([len(np.unique(c[np.isfinite(c)])) for c in commands.T]))
