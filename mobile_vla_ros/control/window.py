"""The frame window: which of the past frames the policy looks at."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator
from typing import Generic, TypeVar

from mobile_vla_ros.sampling import STAMP_ROUNDING, window_rows

Value = TypeVar("Value")


class FrameWindow(Generic[Value]):
    """Keeps one value per frame by capture stamp and picks those the policy was trained to see.

    A policy trained with frames ``frame_period`` apart is shown frames ``frame_period`` apart,
    whatever the camera's own rate. The window may be shorter than ``size``: as at the start of an
    episode, it grows as frames come.

    What ``add`` makes of a stamp:
        newer, within ``max_gap``: kept.
        newer, after a gap longer than ``max_gap``: what was before is forgotten first.
        repeated: the same frame once more; its value replaces the stored one.
        backward: the clock jumped; everything is forgotten first.
    """

    def __init__(self, size: int, frame_period: float, max_gap: float | None = None) -> None:
        """Starts empty.

        Args:
            size: the most frames ``select`` returns, at least 1.
            frame_period: spacing the policy was trained with, seconds.
            max_gap: longest distance between two neighbouring frames, seconds; None means two
                frame periods, ``math.inf`` any.

        Raises:
            ValueError: a size below 1, or a period or gap that is not positive.
        """
        if size < 1:
            raise ValueError(f"a window of {size} frames cannot be")
        if not (frame_period > 0 and math.isfinite(frame_period)):
            raise ValueError(f"a frame period of {frame_period} s cannot be")
        gap = 2 * frame_period if max_gap is None else max_gap
        if not gap > 0:
            raise ValueError(f"a longest gap of {gap} s cannot be")
        self.size = size
        self.frame_period = frame_period
        self.max_gap = gap
        self._reach = (size - 1) * frame_period + frame_period / 2 + STAMP_ROUNDING
        self._stamps: list[float] = []
        self._values: list[Value] = []

    def __len__(self) -> int:
        """How many frames are kept, picked or not."""
        return len(self._stamps)

    def __iter__(self) -> Iterator[tuple[float, Value]]:
        """All kept (stamp, value), oldest first."""
        return iter(zip(self._stamps, self._values, strict=True))

    @property
    def newest(self) -> float | None:
        """Capture stamp of the newest frame, None when empty."""
        return self._stamps[-1] if self._stamps else None

    def add(self, stamp: float, value: Value) -> None:
        """Adds a frame's value.

        Args:
            stamp: capture time, seconds.
            value: anything; it is stored, not copied.

        Raises:
            ValueError: a stamp that is not finite.
        """
        if not math.isfinite(stamp):
            raise ValueError(f"a frame stamped {stamp} cannot be")
        if self._stamps:
            step = stamp - self._stamps[-1]
            if step == 0:
                self._values[-1] = value
                return
            if step < 0 or step > self.max_gap + STAMP_ROUNDING:
                self.clear()
        self._stamps.append(stamp)
        self._values.append(value)
        # Nothing older can be picked any more: memory stays bounded at any camera rate.
        old = bisect_left(self._stamps, stamp - self._reach)
        del self._stamps[:old], self._values[:old]

    def select(self) -> list[tuple[float, Value]]:
        """Picks the frames for the policy.

        ``sampling.window_rows`` says which.

        Returns:
            (stamp, value) pairs, oldest first, ``size`` at most; empty when no frame is kept.
        """
        if not self._stamps:
            return []
        picked = window_rows(self._stamps, len(self._stamps) - 1, self.frame_period, self.size)
        return [(self._stamps[index], self._values[index]) for index in picked]

    def clear(self) -> None:
        """Forgets every frame."""
        self._stamps.clear()
        self._values.clear()
