"""What repeats: when it is due next, without making up for what a busy machine has missed."""

from __future__ import annotations


class Metronome:
    """Something that is due every `period` seconds.

    Args:
        period: s.
        now: steady clock, s; the first time is then.
    """

    def __init__(self, period: float, now: float) -> None:
        self._period = period
        self._next = now

    def due(self, now: float) -> bool:
        """Whether it is due; if so, the next time is a period later, or now at the earliest."""
        if now < self._next:
            return False
        self._next = max(self._next + self._period, now)
        return True

    def restart(self, now: float) -> None:
        """It has just been done: due a period from now."""
        self._next = now + self._period
