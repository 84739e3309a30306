"""What has happened in one episode so far, and which frames become its rows."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from mobile_vla_ros.episodes.recorded_row import Counts

# Presses that may wait for a frame.
MOST_PRESSES = 256


class RatePicker:
    """Picks the frames nearest to a fixed grid in time, whatever the camera's rate."""

    def __init__(self, rate: float) -> None:
        self._period = 1.0 / rate
        self._due: float | None = None

    def takes(self, stamp: float, interval: float) -> bool:
        """Whether the frame at ``stamp`` is the one for the grid point that is due.

        Args:
            stamp: capture time, s.
            interval: usual time between camera frames, s: a frame up to half of it early is the
                nearest one, so jitter does not shift a row to the next frame.
        """
        if self._due is None:
            self._due = stamp + self._period
            return True
        slack = min(interval, self._period) / 2
        if stamp < self._due - slack:
            return False
        behind = math.floor((stamp - self._due + slack) / self._period)
        self._due += self._period * (behind + 1)
        return True


@dataclass
class Take:
    """What has happened in one episode so far.

    Attributes:
        picker: of the rows at a fixed rate.
        started: frames captured before are not part of it, s.
        presses: that wait for a frame, with their times.
        last_row, last_seen: stamps of the newest row and of the newest frame, s.
        seen: frames of it, whether they became rows or not.
        accepted: rows handed to the sink.
        heard: when the newest frame came, s.
        suspected: whether the last look heard nothing.
        silent, silences: whether the camera sends nothing now, and how often it has begun to.
        received, written, dropped, lost_in_gaps, lost_in_events: see `Counts`.
    """

    picker: RatePicker
    started: float = math.inf
    presses: deque[tuple[float, np.ndarray]] = field(
        default_factory=lambda: deque(maxlen=MOST_PRESSES)
    )
    last_row: float = -math.inf
    last_seen: float = -math.inf
    seen: int = 0
    accepted: int = 0
    received: int = 0
    written: int = 0
    dropped: int = 0
    lost_in_gaps: int = 0
    lost_in_events: int = 0
    heard: float = math.inf
    suspected: bool = False
    silent: bool = False
    silences: int = 0

    @property
    def counts(self) -> Counts:
        # The middleware's events and the gaps in the stamps see the same losses.
        lost = max(self.lost_in_gaps, self.lost_in_events)
        return Counts(self.received, self.written, self.dropped, lost)
