"""What an observer's log says: how it drove, and whether anything moved on what was too old."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

VALIDITY = 0.8
"""s from its capture for which a chunk may drive."""
GUARD = 0.25
"""s after which the guard makes zero of what is stale."""
PERIOD = 0.05
"""s between two commands."""
# A chunk drives from the moment it is there; the message that tells of it goes out just after.
TOLD_AFTER = 0.02


@dataclass(frozen=True)
class Event:
    """Something that was done to the link or to a program.

    Attributes:
        name: what.
        begin, end: when it began, and when all was well again; s of the machine's clock.
        until: when the next one began.
    """

    name: str
    begin: float
    end: float
    until: float


class Drive:
    """An observer's log, ready to be asked.

    Args:
        log: what `observer.observe` has written.
    """

    def __init__(self, log: dict[str, Any]) -> None:
        self._states = [*log["states"], (log["end"], "")]
        told = sorted(log["chunks"])
        self._sent = np.array([at for at, _ in told])
        self._stamps = np.array([stamp for _, stamp in told])
        # The newest frame that had been answered by then.
        self._newest = np.maximum.accumulate(self._stamps) if told else self._stamps
        self._moves = np.array(log["moves"] or [(0.0, 0)], float)
        self._wishes = np.array(log["wishes"] or [(0.0, 0)], float)
        self.outcome = log.get("outcome", "")

    def age(self, at: float) -> float:
        """Seconds since the capture of the newest frame that had an answer at a time."""
        known = int(np.searchsorted(self._sent, at + TOLD_AFTER))
        return at - self._newest[known - 1] if known else np.inf

    def late(self, begin: float, end: float) -> int:
        """Commands that moved the base, or were meant to, beyond the limits of their frame."""
        limits = (
            (self._moves, VALIDITY + GUARD + PERIOD),
            (self._wishes, VALIDITY + PERIOD),
        )
        found = [
            at
            for kind, limit in limits
            for at, moving in kind
            if moving and begin <= at < end and self.age(at) > limit
        ]
        return len(found)

    def chunk_ages(self, begin: float = -np.inf, end: float = np.inf) -> np.ndarray:
        """Seconds from each frame's capture to its chunk."""
        inside = (self._sent >= begin) & (self._sent < end)
        return (self._sent - self._stamps)[inside]

    def summary(self) -> dict[str, Any]:
        """One drive through a field."""
        end = self._states[-1][0]
        first = next((at for at, state in self._states if state == "driving"), end)
        spans = [
            (max(after - max(at, first), 0.0), state)
            for (at, state), (after, _) in itertools.pairwise(self._states)
        ]
        idle = ("arrived", "waiting_for_i")
        total = sum(span for span, state in spans if not state.startswith(idle))
        driving = sum(span for span, state in spans if state == "driving")
        ages = self.chunk_ages()
        return {
            "outcome": self.outcome,
            "driving_share": driving / total if total else 0.0,
            "age_p50": float(np.percentile(ages, 50)) if ages.size else None,
            "age_p99": float(np.percentile(ages, 99)) if ages.size else None,
            "chunks": int(ages.size),
            "commands": len(self._moves),
            "late_moves": self.late(-np.inf, np.inf),
            "states": [state for _, state in self._states[:-1]],
        }

    def around(self, event: Event) -> dict[str, Any]:
        """What an event did to the drive.

        Returns:
            ``moving``: whether the base moved just before; ``late``: see `late`; ``zero``: s from
            the end of the last chunk's validity to the first zero (negative: before it), None
            when nothing stood; ``again``: s from the end of the event to the first command that
            moves, None when it never stood or never moved again; ``states``: what was said.
        """
        at, moving = self._moves[:, 0], self._moves[:, 1] > 0
        before = moving[(at >= event.begin - 0.5) & (at < event.begin)]
        inside = (at >= event.begin) & (at < event.until)
        times, moved = at[inside], moving[inside]
        stands = np.flatnonzero(~moved)
        zero = again = None
        if stands.size:
            stood = times[stands[0]]
            zero = float(self.age(stood) - VALIDITY)
            on = times[moved & (times > max(stood, event.end))]
            again = float(on[0] - event.end) if on.size else None
        return {
            "name": event.name,
            "seconds": event.end - event.begin,
            "moving": bool(before.any()),
            "late": self.late(event.begin, event.until),
            "zero": zero,
            "again": again,
            "states": [s for t, s in self._states if event.begin <= t < event.until and s],
        }
