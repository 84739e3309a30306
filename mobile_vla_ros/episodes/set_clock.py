"""Notices when a clock is set, by another that nobody can set."""

from __future__ import annotations

# A clock that is merely trimmed differs by far less between two looks, s.
SMALLEST_STEP = 0.3
# A simulated clock that gains so much more, s, and so many times the time that passes, was set.
LARGEST_LEAP, FASTEST = 5.0, 50.0


class SetClock:
    """A clock that goes on evenly, whatever is done to the one that it is read from.

    Attributes:
        offset: what is to be added to the clock's times to get even ones, s.
    """

    def __init__(self) -> None:
        self.offset = 0.0
        self._last: tuple[float, float] | None = None

    def look(self, clock: float, steady: float, simulated: bool = False) -> float:
        """Reads the clock; to be called often.

        Args:
            clock: that may be set, s.
            steady: that cannot be set and goes on while the machine sleeps, s.
            simulated: whether the clock may run faster than time, or stand; only its going back,
                or a leap, is a step then.

        Returns:
            By how much it has been set since the last look, s; 0 for a clock that has just gone
            on. ``offset`` has taken it in.
        """
        last, self._last = self._last, (clock, steady)
        if last is None:
            return 0.0
        passed = steady - last[1]
        # Before its first word a simulated clock stands at 0.
        if simulated and (not last[0] or 0 <= clock - last[0] <= LARGEST_LEAP + FASTEST * passed):
            return 0.0
        step = (clock - last[0]) - passed
        if abs(step) < SMALLEST_STEP:
            return 0.0
        self.offset -= step
        return step
