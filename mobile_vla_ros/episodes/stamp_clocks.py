"""Whose clock a stamp is of: by how long messages seem to have been on their way."""

from __future__ import annotations

from collections import deque
from statistics import median

# A stamp further ahead of its arrival than this, or further behind it, s, is from another clock.
FUTURE_STAMP = 0.1
STALE_STAMP = 1.0


class SenderClock:
    """When a command was given: when it was sent, if the sender's clock can be trusted.

    On a busy machine a message may be read long after it was sent, and the time of sending is
    the true one. Between machines whose clocks differ it is worthless. The fastest message tells:
    it takes a millisecond or so, unless the clocks disagree.
    """

    TRUSTED_DELAY = 0.02

    def __init__(self) -> None:
        self._delays: deque[float] = deque(maxlen=100)

    def time(self, sent: float, received: float) -> float:
        """``sent`` if the sender's clock agrees with ours, else ``received``; both in s."""
        self._delays.append(received - sent)
        trusted = abs(min(self._delays)) <= self.TRUSTED_DELAY
        return sent if trusted and sent <= received + self.TRUSTED_DELAY else received


class StampClock:
    """When something was measured: by its own stamp, if that is of this machine's clock.

    The usual delay of the last messages tells whether it is; one stamp that is far off, among
    others that are not, is replaced by the time of arrival too.
    """

    def __init__(self) -> None:
        self._delays: deque[float] = deque(maxlen=31)

    @property
    def agrees(self) -> bool:
        """Whether stamps are taken; True before any has come."""
        return not self._delays or _is_ours(median(self._delays))

    def time(self, stamp: float, received: float) -> float:
        """``stamp`` if it is to be believed, else ``received``; both in s."""
        self._delays.append(received - stamp)
        return stamp if self.agrees and _is_ours(received - stamp) else received


def _is_ours(delay: float) -> bool:
    return -FUTURE_STAMP <= delay <= STALE_STAMP
