"""The watch over the camera and over the model.

Both watches only take notes of what they are told and answer what is wrong *now*; the pilot
draws the consequences.
"""

from __future__ import annotations

import math
from collections import deque

from mobile_vla_ros.states import (
    CAMERA_FROZEN,
    CAMERA_SILENT,
    CLOCK_JUMPED,
    FRAME_TOO_OLD,
    MODEL_FAILED,
    MODEL_HUNG,
    MODEL_TOO_SLOW,
    UNREADABLE,
)

# A stamp may pass through nanoseconds and float64 on its way: 2.4e-7 s at this century's dates.
_SAME_STAMP = 1e-6


class CameraWatch:
    """Judges each frame by its stamps and pixels, and their absence by the steady clock.

    A frame is *good* when its capture is neither older than ``max_frame_age`` nor further in the
    future than ``future_tolerance``, its stamp is newer than the one before, and the picture has
    changed within ``frozen_timeout``. Only good frames prove that the camera lives. A repeated
    stamp is the same frame delivered twice: neither good nor a fault.

    After any fault, ``resume_frames`` good frames in a row end it; after unreadable pictures as
    many must have been read, too.
    """

    def __init__(
        self,
        image_timeout: float,
        max_frame_age: float,
        future_tolerance: float,
        frozen_timeout: float,
        resume_frames: int,
    ) -> None:
        """Starts before the first frame; all times are in seconds."""
        self.image_timeout = image_timeout
        self.max_frame_age = max_frame_age
        self.future_tolerance = future_tolerance
        self.frozen_timeout = frozen_timeout
        self.resume_frames = resume_frames
        self._held: str | None = None
        self.forget()

    def forget(self) -> None:
        """Back to the time before the first frame; what holds frames up goes on doing so."""
        self.reason: str | None = None
        self.seen = False
        self.good_frames = 0
        self.stamp: float | None = None
        self.received: float | None = None
        self.age = math.nan
        self.losses = 0
        self._unreadable = 0
        self._readable = 0
        self._heard: float | None = None
        self._repeated = -math.inf
        self._clock: float | None = None
        self._fingerprint: int | None = None
        self._changed = 0.0

    def frame(self, stamp: float, fingerprint: int, now: float, clock: float) -> str | None:
        """Judges a frame.

        Returns:
            None for a good frame, the reason for a faulty one, ``""`` for a repeated one.
        """
        age = clock - stamp
        last = self.stamp
        if stamp == last:
            self._repeated = now
            return ""
        # Silence that ended between two ticks was silence all the same.
        silent = self.silence(now)
        if silent is not None:
            self._fault(silent)
        self._heard = now
        if self._held is not None:
            return self._fault(self._held)
        # A refused stamp is no measure for the next one: only plausible ones move `stamp`.
        if not age >= -self.future_tolerance:
            return self._fault(CLOCK_JUMPED)
        if not age <= self.max_frame_age:
            return self._fault(FRAME_TOO_OLD)
        self.stamp, self.received, self.age, self.seen = stamp, now, age, True
        if last is not None and stamp < last:
            self._fingerprint, self._changed = fingerprint, now
            return self._fault(CLOCK_JUMPED)
        if fingerprint != self._fingerprint:
            self._fingerprint, self._changed = fingerprint, now
        elif 0 < self.frozen_timeout <= now - self._changed:
            return self._fault(CAMERA_FROZEN)
        self.good_frames += 1
        waiting = self.reason == UNREADABLE and self._readable < self.resume_frames
        if self.reason is not None and self.good_frames >= self.resume_frames and not waiting:
            self.reason = None
        return None

    def hold(self, reason: str | None) -> None:
        """No frame is believed until ``None`` is said: e.g. two cameras speak in turns."""
        if reason is not None and reason != self._held:
            self._fault(reason)
        self._held = reason

    def unreadable(self, now: float) -> None:
        """A frame has come whose picture cannot be read; a few in a row are a fault."""
        self._heard = now
        self._readable = 0
        self._unreadable += 1
        if self._unreadable >= self.resume_frames:
            self._fault(UNREADABLE)

    def readable(self) -> None:
        """A frame's picture was read."""
        self._unreadable = 0
        self._readable += 1

    def tick(self, now: float, clock: float) -> None:
        """Notes what has come to be wrong by itself: silence, or a clock that went back."""
        last, self._clock = self._clock, clock
        if self.seen and last is not None and not clock >= last - self.future_tolerance:
            self._fault(CLOCK_JUMPED)
        silent = self.silence(now)
        if silent is not None:
            self._fault(silent)

    def silence(self, now: float) -> str | None:
        """The reason when no new frame has come for ``image_timeout``, else None.

        A camera that sends one frame over and over is not silent, it is frozen.
        """
        if self._heard is None or now - self._heard < self.image_timeout:
            return None
        return CAMERA_FROZEN if now - self._repeated < self.image_timeout else CAMERA_SILENT

    def clock_jumped(self) -> None:
        """Somebody else has seen the clock jump."""
        self._fault(CLOCK_JUMPED)

    def _fault(self, reason: str) -> str:
        # Frames since the last loss, if any, must not be mixed with those after this one.
        if self.reason is None or self.good_frames:
            self.losses += 1
        self.seen = True
        self.reason = reason
        self.good_frames = 0
        return reason


class ModelWatch:
    """Keeps account of the model's worker: does it answer, and how often has it failed.

    The clock for an answer starts with the first frame handed over since the last answer, and
    again at an answer if a newer frame is already waiting. A worker that takes one frame after
    another and answers none gets no second clock.
    """

    FAULTS = 3
    """This many faults ..."""
    WITHIN = 10.0
    """... within this many seconds latch."""

    def __init__(self, worker_timeout: float, first_result_timeout: float) -> None:
        """Starts without a model; both times in seconds."""
        self.worker_timeout = worker_timeout
        self.first_result_timeout = first_result_timeout
        self.phase = "absent"
        self.reason: str | None = None
        self.latched = False
        self.answered = False
        self.waiting_since: float | None = None
        self._offered = -math.inf
        self._faults: deque[float] = deque(maxlen=self.FAULTS)

    def loading(self) -> None:
        """A worker has been started."""
        self.phase = "loading"
        self.waiting_since = None

    def ready(self) -> None:
        """It has loaded and warmed up the model."""
        self.phase = "ready"
        self.answered = False
        self.waiting_since = None
        self._offered = -math.inf

    def offered(self, stamp: float, now: float) -> None:
        """A frame lies ready for the worker, or the worker has taken it."""
        if self.phase != "ready":
            return
        self._offered = stamp
        if self.waiting_since is None:
            self.waiting_since = now

    def answer(self, stamp: float, now: float) -> None:
        """A result for the frame of this stamp has come, wanted or not."""
        if self.phase != "ready":
            return
        self.answered = True
        self.waiting_since = now if self._offered > stamp + _SAME_STAMP else None

    def hung(self, now: float) -> bool:
        """Whether the worker owes an answer for longer than it may take."""
        limit = self.worker_timeout if self.answered else self.first_result_timeout
        return self.waiting_since is not None and now - self.waiting_since >= limit

    def fault(self, reason: str, now: float) -> bool:
        """Notes a fault.

        Returns:
            False when it is only the echo of a fault already noted: a worker that was ended
            because it hung does not fail on top of that.
        """
        ends = reason in (MODEL_HUNG, MODEL_FAILED)
        if ends and self.phase == "down":
            return False
        self.reason = reason
        if ends:
            self.phase = "down"
            self.waiting_since = None
        if reason != MODEL_TOO_SLOW:
            self._faults.append(now)
            full = len(self._faults) == self.FAULTS
            if full and now - self._faults[0] <= self.WITHIN:
                self.latched = True
        return True

    def recovered(self) -> None:
        """A good chunk has come in time: the last fault is over, unless it latched."""
        if not self.latched:
            self.reason = None

    def release(self) -> None:
        """The operator has said to go on."""
        self.latched = False
        self._faults.clear()
