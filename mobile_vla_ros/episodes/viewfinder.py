"""What the camera shows: may an episode begin with it, and is it still the same camera?"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, replace

from mobile_vla_ros.episodes.recording import RecordingError
from mobile_vla_ros.episodes.stamp_clocks import FUTURE_STAMP, STALE_STAMP

# So many frames in a row that cannot be read are no accident.
UNREADABLE = 3
# Images of two frame_ids within this time are of two cameras, s.
TURNS = 2.0
# A clock that goes back by more than this has been set, s; less is frames that overtook others.
CLOCK_STEP = 1.0
_NUMBERS = re.compile(r"\d+")


@dataclass(frozen=True)
class Sight:
    """One frame without its pixels.

    Attributes:
        stamp: capture time, s.
        received: when it arrived, s of the same clock.
        size: bytes as it came.
        form: (width, height, encoding) of raw pixels; None for a compressed picture.
        frame_id: what the camera calls itself.
    """

    stamp: float
    received: float
    size: int
    form: tuple[int, int, str] | None = None
    frame_id: str = ""


class Viewfinder:
    """Looks at every frame that comes, whether an episode is recorded or not.

    Args:
        topic: where the frames come from, for sentences.

    Attributes:
        newest: the last frame that can be recorded.
        publishers: how many nodes publish frames on the topic now.
    """

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.newest: Sight | None = None
        self.publishers = 1
        self._trouble = ""
        self._refused = 0
        self._ids: deque[tuple[str, float]] = deque(maxlen=32)
        # Two frames in a row have borne it: it is a name, and no number of the frame.
        self._named = False
        self._other: Sight | None = None
        self._filmed: Sight | None = None
        self._filmed_name: str | None = None
        self._set_back = 0.0

    def see(self, sight: Sight) -> None:
        """A frame that can be recorded has come."""
        before, self.newest = self.newest, sight
        self._refused = 0
        if before is None:
            self._ids.append((sight.frame_id, sight.received))
            return
        if before.frame_id == sight.frame_id:
            self._named = True
        elif any(
            sight.frame_id == name and sight.received - when <= TURNS for name, when in self._ids
        ):
            self._other = before
        else:
            self._named = False
        self._ids.append((sight.frame_id, sight.received))
        self._set_back = max(before.received - sight.received, 0.0)

    def refuse(self, sentence: str) -> bool:
        """A frame that cannot be recorded has come; returns whether that is news."""
        # The same with other numbers is no news.
        news = _NUMBERS.sub("", sentence) != _NUMBERS.sub("", self._trouble)
        self._trouble = sentence
        self._refused += 1
        return news

    def shift(self, by: float) -> None:
        """What was seen counts as so many seconds later: the clock has been set."""
        if by:
            self.newest, self._other = _later(self.newest, by), _later(self._other, by)
            self._ids = deque(((name, when + by) for name, when in self._ids), self._ids.maxlen)

    def begin(self, now: float) -> Sight:
        """An episode is to begin with what is seen; returns the newest frame.

        Raises:
            RecordingError: nothing, nothing recent, nothing readable, two cameras, or another
                clock is seen.
        """
        if self._refused >= UNREADABLE or (self._refused and self.newest is None):
            raise RecordingError(self._trouble)
        if self.newest is None:
            raise RecordingError(f"no image has arrived on {self.topic}")
        if two := self._two_cameras(now):
            raise RecordingError(two)
        age = now - self.newest.received
        if age > STALE_STAMP:
            raise RecordingError(
                f"the last image on {self.topic} came {age:.1f} s ago: is the camera running?"
            )
        behind = self.newest.received - self.newest.stamp
        if not -FUTURE_STAMP <= behind <= STALE_STAMP:
            raise RecordingError(
                f"the camera's stamps are {behind:.2f} s behind this machine's clock, so"
                " commands cannot be matched to frames: synchronise the clocks, or set"
                " clock_offset or stamp_source:=receipt"
            )
        self._filmed, self._set_back = self.newest, 0.0
        self._filmed_name = self.newest.frame_id if self._named else None
        return self.newest

    def changed(self) -> str:
        """How the newest frame differs from those the episode began with; '' if it does not."""
        begun, newest = self._filmed, self.newest
        if begun is None or newest is None:
            return ""
        if newest.form != begun.form:
            return f"the camera changed from {begun.form} to {newest.form} in mid-episode"
        if self._filmed_name not in (None, newest.frame_id):
            return (
                f"the camera's frame_id changed from '{self._filmed_name}' to"
                f" '{newest.frame_id}' in mid-episode: do two cameras publish {self.topic}?"
            )
        if self.publishers > 1:
            return f"{self._many()} in mid-episode"
        if self._set_back > CLOCK_STEP:
            return f"the clock was set back by {self._set_back:.1f} s in mid-episode"
        return ""

    def _two_cameras(self, now: float) -> str:
        if self.publishers > 1:
            return f"{self._many()}: record one camera, and give the other a topic of its own"
        other, newest = self._other, self.newest
        if other is None or newest is None or now - other.received > TURNS:
            return ""
        return (
            f"images of the frame_ids '{other.frame_id}' and '{newest.frame_id}' come in turns on"
            f" {self.topic}: record one camera, and give the other a topic of its own"
        )

    def _many(self) -> str:
        return f"{self.publishers} nodes publish {self.topic}"


def _later(sight: Sight | None, by: float) -> Sight | None:
    if sight is None:
        return None
    return replace(sight, stamp=sight.stamp + by, received=sight.received + by)
