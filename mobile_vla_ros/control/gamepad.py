"""A gamepad's buttons and axes as a wish: the same mapping as the operator's page has.

Hold LB or RB (the deadman) and pull the left stick; the right trigger makes it faster. B stops.
Back and Start together, held for a second, release the stop.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

DEAD_ZONE = 0.15
# Of the full speed, with the trigger let go.
SLOWEST = 0.3
RELEASE_SECONDS = 1.0


@dataclass(frozen=True)
class Pad:
    """Where everything is.

    Attributes:
        x: left stick, -1 (left) to 1 (right).
        y: left stick, -1 (back) to 1 (forward).
        trigger: right trigger, 0 to 1.
        held: LB or RB.
        stop: B.
        release: Back and Start.
    """

    x: float = 0.0
    y: float = 0.0
    trigger: float = 0.0
    held: bool = False
    stop: bool = False
    release: bool = False


class Gamepad:
    """What the pad asks for.

    Args:
        timeout: a pad that has not been heard for so long is not held, s; inf for one whose loss
            is told (``lost``).
    """

    def __init__(self, timeout: float = math.inf) -> None:
        self._timeout = timeout
        self._pad = Pad()
        self._heard = -math.inf
        self._releasing = math.inf

    def hear(self, pad: Pad, now: float) -> tuple[bool, bool]:
        """The pad's new position (``now``: steady clock, s).

        Returns:
            Whether STOP has just been pressed, and whether it has just been released.
        """
        stopped = pad.stop and not self._pad.stop
        if not pad.release:
            self._releasing = math.inf
        elif self._releasing == math.inf:
            self._releasing = now
        self._pad, self._heard = pad, now
        return stopped, self.tick(now)

    def tick(self, now: float) -> bool:
        """Whether Back and Start have just been held long enough."""
        if self._pad.release and now - self._releasing >= RELEASE_SECONDS:
            self._releasing = math.nan  # once, until they are let go
            return True
        return False

    def lost(self) -> None:
        """The pad is gone: nobody holds it."""
        self._pad, self._heard = Pad(), -math.inf

    def stick(self, now: float) -> tuple[float, float] | None:
        """(x, y) of the stick, each -1 to 1; None while the deadman is not held."""
        pad = self._pad
        if not pad.held or now - self._heard > self._timeout:
            return None
        if not all(map(math.isfinite, (pad.x, pad.y, pad.trigger))):
            return None
        speed = SLOWEST + (1.0 - SLOWEST) * min(1.0, max(0.0, pad.trigger))
        return _bent(pad.x) * speed, _bent(pad.y) * speed


def _bent(value: float) -> float:
    """Without the dead zone in the middle, and still reaching the end."""
    size = min(1.0, abs(value))
    if size <= DEAD_ZONE:
        return 0.0
    return math.copysign((size - DEAD_ZONE) / (1.0 - DEAD_ZONE), value)
