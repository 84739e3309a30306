"""Commands and odometry by time: what was in force when a frame was captured."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

# Commands and odometry are kept this long: a frame may arrive this late and still find the
# command that was in force when it was captured.
HISTORY = 10.0
# However the stamps are, no more values than this are kept: 2 kHz for that long.
MOST_VALUES = 20_000


class HeldValues:
    """Values by time, read by zero-order hold: the newest one that is not later than asked.

    Args:
        history: values older than the newest by this many seconds are forgotten.
        most: no more values than this are kept, whatever their times; None: any number.
    """

    def __init__(self, history: float = HISTORY, most: int | None = MOST_VALUES) -> None:
        self._history = history
        self._most = most
        self._times: list[float] = []
        self._values: list[Any] = []

    def add(self, time: float, value: Any) -> None:
        place = bisect_right(self._times, time)
        self._times.insert(place, time)
        self._values.insert(place, value)
        # Cut only now and then: deleting from the front of a list moves the rest.
        if len(self._times) > 64:
            old = bisect_right(self._times, self._times[-1] - self._history) - 1
            if self._most is not None:
                old = max(old, len(self._times) - self._most)
            if old > 64:
                del self._times[:old], self._values[:old]

    def shift(self, by: float) -> None:
        """Adds so many seconds to every time."""
        self._times = [time + by for time in self._times]

    def __len__(self) -> int:
        return len(self._times)

    def at(self, time: float) -> tuple[float, Any] | None:
        """(its time, value) in force at ``time``, or None when all are later."""
        place = bisect_right(self._times, time)
        return (self._times[place - 1], self._values[place - 1]) if place else None
