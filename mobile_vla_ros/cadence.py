"""A camera's usual interval, and how many frames are missing between its stamps."""

from __future__ import annotations

from collections import deque
from statistics import median

# A gap is one from here on, in usual intervals: room for jitter of half a frame.
GAP = 1.5
# An interval from here on, in usual ones, is no longer the short one behind a late frame.
ORDINARY = 0.67


class CameraClock:
    """Learns a camera's interval from its stamps.

    A frame that is merely late is followed by intervals that are too short; one that is missing is
    not. So a long gap is judged together with the short intervals after it; whoever cannot wait
    for them calls `close_gap` at once. One stamp that is far off, ahead or behind, is no measure
    for the next.

    Args:
        memory: how many intervals the usual one is the median of.
        habit: fewer intervals than this are no habit yet.
    """

    def __init__(self, memory: int = 31, habit: int = 5) -> None:
        self._habit = habit
        self._intervals: deque[float] = deque(maxlen=memory)
        self._last: float | None = None
        self._left: float | None = None  # the stamp from which the clock has gone back
        self._skipped = 0
        self._open = (0.0, 0)  # seconds and intervals since a long gap began

    @property
    def interval(self) -> float:
        """Median of the last intervals, s; 0 before two frames have come."""
        return median(self._intervals) if self._intervals else 0.0

    def add(self, stamp: float) -> int:
        """Takes the next stamp, s; returns how many frames are found missing with it."""
        last, self._last = self._last, stamp
        left, self._left = self._left, None
        skipped, self._skipped = self._skipped, 0
        if last is None:
            return 0
        if stamp <= last:
            # Either the clock has been set back, or one of the two stamps is wrong: the next one
            # tells. A gap up to a stamp that did not hold was none.
            self._left, self._open = last, (0.0, 0)
            return 0
        steps = 1 + skipped
        if left is not None and stamp > left:
            last, steps = left, steps + 1  # it was that one stamp
        usual = self.interval
        gap = stamp - last
        self._intervals.append(gap / steps)
        if len(self._intervals) <= self._habit:
            return 0
        seconds, intervals = self._open
        if not intervals:
            if gap > (GAP + steps - 1) * usual:
                self._open = (gap, steps)
            return 0
        self._open = (seconds + gap, intervals + steps)
        return self.close_gap() if gap >= ORDINARY * usual else 0

    def shift(self, by: float) -> None:
        """The stamps that come are of a clock that has been set by so many seconds."""
        self._last = None if self._last is None else self._last + by
        self._left = None if self._left is None else self._left + by

    def skip(self) -> None:
        """A frame has come whose stamp says nothing: until the next there are two intervals."""
        self._skipped += 1

    def close_gap(self) -> int:
        """Judges a long gap that is still open, with what has followed so far."""
        (seconds, intervals), self._open = self._open, (0.0, 0)
        return max(0, round(seconds / self.interval) - intervals) if intervals else 0
