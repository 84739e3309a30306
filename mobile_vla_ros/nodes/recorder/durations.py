"""How long something took: the usual, the rare and the longest time."""

from __future__ import annotations

import numpy as np

from mobile_vla_ros.stats.percentiles import percentiles


class Durations:
    """The last 32,768 durations (18 minutes at 30 frames/s) in constant memory."""

    def __init__(self, size: int = 32768) -> None:
        self._values = np.zeros(size)
        self._count = 0
        self._longest = 0.0

    def add(self, seconds: float) -> None:
        self._values[self._count % len(self._values)] = seconds
        self._count += 1
        self._longest = max(self._longest, seconds)

    def summary(self) -> dict[str, float]:
        """p50, p99 of the last ones and the longest of all, in ms."""
        if not self._count:
            return {"p50": 0.0, "p99": 0.0, "max": 0.0}
        found = percentiles(self._values[: self._count], (50, 99))
        found["max"] = self._longest
        return {name: round(seconds * 1e3, 3) for name, seconds in found.items()}
