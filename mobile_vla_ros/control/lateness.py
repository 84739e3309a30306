"""How old a command is when it arrives, although the clocks of two machines may differ.

A link can hold packets back and deliver them all at once, or delay every one by a second. Arrival
alone cannot tell; the sender's stamps can, with care for the clocks:

- Has one delay been plausible (between ``-TOLERANCE`` and ``PROMPT``), the clocks agree, and the
  difference between clock and stamp is the age.
- As long as none has, but every one could be a slow link's (up to ``SLOWEST``), it is taken for a
  slow link's: the age is the whole difference. A sender whose clock is that much behind is not
  believed; the sentence in the guard's state says so.
- Otherwise the clocks differ, and the age is the growth over the least difference seen.

The least difference is forgotten slowly, as clocks drift, and at once by ``forget``.
"""

from __future__ import annotations

import math

TOLERANCE = 0.05
PROMPT = 0.2
SLOWEST = 2.5
# Seconds by which two clocks may drift apart per second: more than any quartz does.
DRIFT = 5e-4


class Lateness:
    """Judges one stream of stamped commands."""

    def __init__(self) -> None:
        self._least = math.inf
        self._least_at = 0.0
        self._agree = False

    @property
    def agree(self) -> bool:
        """Whether the two clocks have been seen to agree."""
        return self._agree

    def forget(self) -> None:
        """Another sender, or a person has said to go on: the clocks are learnt anew."""
        self._least = math.inf
        self._agree = False

    def age(self, stamp: float, clock: float, now: float) -> float:
        """Seconds since a command was sent.

        Args:
            stamp: when it was sent, by the sender's clock, seconds.
            clock: this machine's clock of the same kind at its arrival, seconds.
            now: steady clock at its arrival, seconds.

        Returns:
            At least 0; infinite for a stamp that is no number.
        """
        difference = clock - stamp
        if not math.isfinite(difference):
            return math.inf
        if -TOLERANCE <= difference <= PROMPT:
            self._agree = True
        drifted = self._least + DRIFT * (now - self._least_at)
        if difference <= drifted:
            self._least, self._least_at = difference, now
            drifted = difference
        if self._agree or 0.0 <= drifted <= SLOWEST:
            # A stamp from the future is worth no more than one from the past.
            return difference if difference >= 0 else max(0.0, -difference - TOLERANCE)
        return difference - drifted
