"""What the camera shows: may an episode begin with it, and is it still the same camera?"""

from __future__ import annotations

from dataclasses import dataclass

from mobile_vla_ros.episodes.recording import RecordingError

# Older than this at the start of an episode: the camera is not there, or on another clock.
STALE_FRAME = 1.0
# A stamp this far ahead of its arrival is from another clock as well.
FUTURE_FRAME = 0.1


@dataclass(frozen=True)
class Sight:
    """One frame without its pixels.

    Attributes:
        stamp: capture time, s.
        received: when it arrived, s of the same clock.
        size: bytes as it came.
        form: (width, height, encoding) of raw pixels; None for a compressed picture.
    """

    stamp: float
    received: float
    size: int
    form: tuple[int, int, str] | None = None


class Viewfinder:
    """Looks at every frame that comes, whether an episode is recorded or not.

    Args:
        topic: where the frames come from, for sentences.
    """

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.newest: Sight | None = None
        self._trouble = ""
        self._filmed: tuple[int, int, str] | None = None

    def see(self, sight: Sight) -> None:
        """A frame that can be recorded has come."""
        self.newest = sight
        self._trouble = ""

    def refuse(self, sentence: str) -> bool:
        """A frame that cannot be recorded has come; returns whether that is news."""
        news = not self._trouble
        self._trouble = sentence
        return news

    def begin(self, now: float) -> Sight:
        """An episode is to begin with what is seen; returns the newest frame.

        Raises:
            RecordingError: nothing, nothing recent, nothing readable, or another clock is seen.
        """
        if self.newest is None:
            raise RecordingError(self._trouble or f"no image has arrived on {self.topic}")
        if self._trouble:
            raise RecordingError(self._trouble)
        age = now - self.newest.received
        if age > STALE_FRAME:
            raise RecordingError(
                f"the last image on {self.topic} came {age:.1f} s ago: is the camera running?"
            )
        behind = self.newest.received - self.newest.stamp
        if not -FUTURE_FRAME <= behind <= STALE_FRAME:
            raise RecordingError(
                f"the camera's stamps are {behind:.2f} s behind this machine's clock, so"
                " commands cannot be matched to frames: synchronise the clocks, or set"
                " clock_offset or stamp_source:=receipt"
            )
        self._filmed = self.newest.form
        return self.newest

    def changed(self) -> str:
        """How the newest frame differs from those the episode began with; '' if it does not."""
        if self.newest is None or self.newest.form == self._filmed:
            return ""
        return f"the camera changed from {self._filmed} to {self.newest.form} in mid-episode"
