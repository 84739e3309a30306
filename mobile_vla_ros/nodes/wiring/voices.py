"""Whether more than one publisher speaks on a topic, and not only is there."""

from __future__ import annotations

from collections import deque

# Two steps back within this time, s, are two publishers in turns; one is a publisher that was
# started anew.
TURNS = 2.0
# So many cameras in turns on one topic are still seen to be several.
MOST_FRAMES = 16


class Voices:
    """Listens to the numbers that publishers give their messages.

    Each publisher counts its own up, so they go down when another one speaks, or the same one
    anew. The graph alone cannot tell: it lists one that says nothing, and for some seconds one
    that was killed.
    """

    def __init__(self) -> None:
        self._last: int | None = None
        self._known = False
        self._back: deque[float] = deque(maxlen=2)

    def hear(self, number: int | None, now: float) -> None:
        """A message has come, with its publisher's number for it (None: there is none)."""
        self._known = number is not None
        if number is not None and self._last is not None and number <= self._last:
            self._back.append(now)
        self._last = number

    def count(self, listed: int, now: float) -> int:
        """How many speak, as far as it can be known.

        Args:
            listed: how many the graph shows.
            now: on the clock of ``hear``, s.
        """
        if not self._known:
            return listed
        many = len(self._back) == 2 and now - self._back[0] <= TURNS
        return max(listed, 2) if many else min(listed, 1)


class Turns:
    """Whether two cameras speak in turns on the topic: by their numbers, or by their frames."""

    def __init__(self) -> None:
        self._voices = Voices()
        self._heard = False
        self._frames: deque[str] = deque(maxlen=MOST_FRAMES)
        self._back: deque[float] = deque(maxlen=2)

    def hear(self, number: int | None, frame_id: str, now: float) -> bool:
        """A message has come; whether it shows two cameras."""
        self._voices.hear(number, now)
        self._heard = True
        if not self._frames or frame_id != self._frames[-1]:
            # A camera that numbers its frames never comes back to an earlier name.
            if frame_id in self._frames:
                self._back.append(now)
                self._frames.remove(frame_id)
            self._frames.append(frame_id)
        return self.two(1, now)

    def two(self, listed: int, now: float) -> bool:
        """Whether two speak (`listed`: publishers that the graph shows)."""
        in_turns = len(self._back) == 2 and now - self._back[-1] <= TURNS
        # Publishers that are listed and have said nothing yet speak with nobody in turns.
        return self._heard and (in_turns or self._voices.count(listed, now) > 1)
