"""The incident ring: keeps the last seconds, and hands out those around a trigger."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import numpy as np

from mobile_vla_ros.episodes.capsule import NOTHING_SEEN, Incident
from mobile_vla_ros.states import INSTRUCTION_EVENT

# A clock that goes back by more than this has been set; less is rows that overtook each other.
CLOCK_STEP = 1.0
# However the clock goes, no more rows than these are kept of each kind: of those that are small,
# and of those that are large (frames are bounded by their bytes as well).
MOST_SMALL = 50_000
MOST_LARGE = 5_000
_NOTHING = np.empty((0, 0, 3), np.uint8)


class IncidentRing:
    """Keeps the last seconds and hands out a capsule some seconds after each trigger.

    Nothing here touches a disk or a clock. Rows older than ``before`` are forgotten as new ones
    come, so memory does not grow. A trigger during a capture joins it as an event. When the clock
    is set back, what lies in its future now is dropped: its order to what follows is unknown.

    Args:
        before: seconds kept before a trigger.
        after: seconds collected after it.
        most_bytes: frames are dropped, oldest first, beyond this many bytes.
    """

    def __init__(
        self, before: float = 10.0, after: float = 5.0, most_bytes: int = 256 * 2**20
    ) -> None:
        self.before = before
        self.after = after
        self.most_bytes = most_bytes
        self.axes: tuple[str, ...] = ()
        self.action_period = 0.0
        self.attributes: dict[str, Any] = {}
        self.instruction_before: str | None = None
        """In force before the oldest event that is kept; None: not known."""
        self._frames: deque[tuple[float, float, bytes, np.ndarray]] = deque()
        self._bytes = 0
        self._chunks: deque[tuple[float, float, np.ndarray]] = deque(maxlen=MOST_LARGE)
        self._commands: deque[tuple[float, ...]] = deque(maxlen=MOST_SMALL)
        self._odometry: deque[tuple[float, ...]] = deque(maxlen=MOST_SMALL)
        self._events: deque[tuple[float, str]] = deque(maxlen=MOST_SMALL)
        self._features: deque[tuple[float, float, np.ndarray]] = deque(maxlen=MOST_LARGE)
        self._trigger: tuple[float, str] | None = None
        self._now = -math.inf

    def add_frame(
        self, stamp: float, now: float, jpeg: bytes, seen: np.ndarray = _NOTHING
    ) -> None:
        """An encoded frame, captured at ``stamp``, received ``now``.

        Args:
            stamp: s.
            now: s.
            jpeg: JPEG or PNG of the frame.
            seen: uint8 [S, S, 3], the frame as a policy's preprocessing resizes it, where ``jpeg``
                has lost something.
        """
        self._notice_step(now)
        self._frames.append((now, stamp, jpeg, seen))
        self._bytes += len(jpeg) + seen.nbytes
        self._forget(now)

    def add_chunk(self, stamp: float, now: float, velocities: np.ndarray) -> None:
        """An action chunk [steps, dof] in m/s and rad/s."""
        self._notice_step(now)
        self._chunks.append((now, stamp, np.array(velocities, np.float32)))
        self._forget(now)

    def add_command(self, now: float, vx: float, vy: float, wz: float) -> None:
        """A published velocity, m/s and rad/s."""
        self._notice_step(now)
        self._commands.append((now, vx, vy, wz))
        self._forget(now)

    def add_odometry(
        self, now: float, x: float, y: float, yaw: float, vx: float, vy: float, wz: float
    ) -> None:
        """A pose (m, rad) and velocity (m/s, rad/s)."""
        self._notice_step(now)
        self._odometry.append((now, x, y, yaw, vx, vy, wz))
        self._forget(now)

    def add_feature(self, stamp: float, now: float, feature: np.ndarray) -> None:
        """The policy's feature [D] of the frame captured at ``stamp``."""
        self._notice_step(now)
        self._features.append((now, stamp, np.array(feature, np.float32).ravel()))
        self._forget(now)

    def add_event(self, now: float, text: str) -> None:
        """A change of state, a takeover, a remark."""
        self._notice_step(now)
        self._events.append((now, text))
        self._forget(now)

    def hear_instruction(self, instruction: str) -> None:
        """The one in force, where no event has told it yet: then it was so all the time."""
        told = any(text.startswith(INSTRUCTION_EVENT) for _, text in self._events)
        if self.instruction_before is None and not told:
            self.instruction_before = instruction

    def trigger(self, reason: str, now: float) -> bool:
        """Starts a capture; returns False when one is under way (this joins it)."""
        self.add_event(now, reason)
        if self._trigger is not None:
            return False
        self._trigger = (now, reason)
        return True

    def poll(self, now: float, *, finish: bool = False) -> Incident | None:
        """The capsule, once ``after`` seconds have passed since its trigger (or ``finish``)."""
        self._notice_step(now)
        if self._trigger is None:
            return None
        time, reason = self._trigger
        if not finish and now - time < self.after:
            return None
        self._trigger = None
        steps = {chunk.shape for _, _, chunk in self._chunks}
        # A policy exchanged in mid-capture may have another chunk shape; the newest counts.
        shape = self._chunks[-1][2].shape if steps else (0, len(self.axes))
        chunks = [row for row in self._chunks if row[2].shape == shape]
        width = self._features[-1][2].size if self._features else 0
        features = [row for row in self._features if row[2].size == width]
        return Incident(
            reason=reason,
            time=time,
            jpegs=tuple(row[2] for row in self._frames),
            frame_stamps=_column(self._frames, 1),
            frame_received=_column(self._frames, 0),
            chunks=np.array([row[2] for row in chunks], np.float32).reshape(len(chunks), *shape),
            chunk_stamps=_column(chunks, 1),
            chunk_received=_column(chunks, 0),
            axes=self.axes,
            action_period=self.action_period,
            commands=np.array(self._commands, np.float64).reshape(-1, 4),
            odometry=np.array(self._odometry, np.float64).reshape(-1, 7),
            events=tuple(self._events),
            feature_stamps=_column(features, 1),
            features=np.array([row[2] for row in features], np.float32).reshape(
                len(features), width
            ),
            attributes=self._attributes(),
            seen=self._seen(),
        )

    def _seen(self) -> np.ndarray:
        shapes = {row[3].shape for row in self._frames}
        if len(shapes) != 1 or 0 in (shape := shapes.pop()):
            return NOTHING_SEEN
        return np.stack([row[3] for row in self._frames]).reshape(-1, *shape)

    def _attributes(self) -> dict[str, Any]:
        known = self.instruction_before
        return {
            **self.attributes,
            **({} if known is None else {"instruction_before": known}),
        }

    def _notice_step(self, now: float) -> None:
        back, self._now = self._now - now, now
        if back < CLOCK_STEP:
            return
        rows = (self._frames, self._chunks, self._commands, self._odometry, self._features)
        for kind in (*rows, self._events):
            while kind and kind[-1][0] > now:
                kind.pop()
        self._bytes = sum(len(row[2]) + row[3].nbytes for row in self._frames)
        self._events.append((now, f"the clock was set back by {back:.1f} s"))
        if self._trigger is not None and self._trigger[0] > now:
            self._trigger = (now, self._trigger[1])

    def _forget(self, now: float) -> None:
        # During a capture nothing before the trigger's window may go, so that all of it is there.
        newest = now if self._trigger is None else self._trigger[0]
        oldest = newest - self.before
        while self._frames and (
            self._frames[0][0] < oldest
            or self._bytes > self.most_bytes
            or len(self._frames) > MOST_LARGE
        ):
            _, _, jpeg, seen = self._frames.popleft()
            self._bytes -= len(jpeg) + seen.nbytes
        for rows in (self._chunks, self._commands, self._odometry, self._features):
            while rows and rows[0][0] < oldest:
                rows.popleft()
        while self._events and self._events[0][0] < oldest:
            text = self._events.popleft()[1]
            if text.startswith(INSTRUCTION_EVENT):
                self.instruction_before = text.removeprefix(INSTRUCTION_EVENT)


def _column(rows: Any, index: int) -> np.ndarray:
    return np.array([row[index] for row in rows], np.float64)
