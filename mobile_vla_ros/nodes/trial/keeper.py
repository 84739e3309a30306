"""Keeps the incident ring from what is heard on topics; a thread encodes and writes."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from mobile_vla_ros.control.chunk import ActionChunk
from mobile_vla_ros.control.guard import ESTOP
from mobile_vla_ros.episodes.incident import Incident, IncidentError, IncidentRing, write_incident
from mobile_vla_ros.nodes.wiring.images import ImageError, rgb_image
from mobile_vla_ros.pictures import encode_jpeg
from mobile_vla_ros.policy.config import PolicyConfig
from mobile_vla_ros.policy.frames import resize_exactly
from mobile_vla_ros.rig import ATTRIBUTE, Rig, with_frame_size
from mobile_vla_ros.states import (
    ARRIVED,
    DRIVING,
    MARK_EVENT,
    STOP_SERVICE,
    STOPPED,
    TAKEN_OVER,
)

JPEG_QUALITY = 85
UNDER_WAY = (DRIVING, ARRIVED)
# Somebody wanted these.
ORDERED_STOPS = (STOPPED + STOP_SERVICE, STOPPED + TAKEN_OVER)


class IncidentKeeper:
    """One ring, one thread that encodes raw frames and writes files.

    Raw frames are encoded to JPEG by that thread, and kept as a policy sees them too; a
    compressed frame is kept as it came. Frames that come faster than the thread works are
    dropped, never queued without end.

    Args:
        directory: where capsules go; made when the first one is written.
        said: called (from the thread) with a sentence about each capsule, and whether it is bad.
        before, after: seconds around a trigger.
        rig: of the camera that is heard, as far as somebody said it; kept in every capsule.
        wall: wall-clock time, for file names.
    """

    def __init__(
        self,
        directory: Path,
        said: Callable[[str, bool], None],
        before: float,
        after: float,
        rig: Rig | None = None,
        wall: Callable[[], datetime] = datetime.now,
    ) -> None:
        self._directory = directory
        self._said = said
        self._rig = rig or Rig()
        self._wall = wall
        # Whoever hears something adds to it, the thread adds frames: one at a time.
        self._ring = IncidentRing(before, after)
        self._lock = threading.Lock()
        self._state = ""
        self._taken = False
        self._frames: queue.Queue[tuple[float, float, Any]] = queue.Queue(maxsize=2)
        self._capsules: queue.SimpleQueue[Incident] = queue.SimpleQueue()
        self._ending = threading.Event()
        self._work = threading.Event()
        self._thread = threading.Thread(target=self._run, name="incidents", daemon=True)
        self._thread.start()

    def describe(self, attributes: Mapping[str, Any]) -> None:
        """What the capsules from now on say of the trial they come from."""
        with self._lock:
            self._ring.attributes = dict(attributes)

    def hear_frame(self, stamp: float, now: float, message: Any) -> None:
        """A sensor_msgs Image or CompressedImage; returns at once."""
        if hasattr(message, "format"):
            with self._lock:
                self._ring.add_frame(stamp, now, bytes(message.data))
            return
        try:
            self._frames.put_nowait((stamp, now, message))
        except queue.Full:
            return
        self._work.set()

    def hear_chunk(self, chunk: ActionChunk, now: float) -> None:
        """The policy's own output."""
        with self._lock:
            self._ring.axes = chunk.axes
            self._ring.action_period = chunk.action_period
            self._ring.add_chunk(chunk.stamp, now, chunk.velocities)

    def hear_policy(self, instruction: str) -> None:
        """What the policy follows, as its diagnostics say; counts until an event tells it."""
        with self._lock:
            self._ring.hear_instruction(instruction)

    def hear_feature(self, stamp: float, now: float, feature: np.ndarray) -> None:
        """The policy's feature of one frame."""
        with self._lock:
            self._ring.add_feature(stamp, now, feature)

    def hear_command(self, now: float, vx: float, vy: float, wz: float) -> None:
        """A velocity sent to the base, m/s and rad/s."""
        with self._lock:
            self._ring.add_command(now, vx, vy, wz)

    def hear_odometry(self, now: float, values: Sequence[float]) -> None:
        """x, y (m), yaw (rad), vx, vy (m/s), wz (rad/s)."""
        with self._lock:
            self._ring.add_odometry(now, *values)

    def hear_state(self, state: str, now: float) -> None:
        """The policy's state; a stop on the way that nobody ordered is worth keeping."""
        before, self._state = self._state, state
        if state == before:
            return
        with self._lock:
            self._ring.add_event(now, state)
            stopped = state.startswith(STOPPED) and state not in ORDERED_STOPS
            if stopped and before in UNDER_WAY:
                self._ring.trigger(state, now)

    def hear_event(self, text: str, now: float) -> None:
        """A remark of the policy's program; ``mark`` is somebody's wish to keep this."""
        with self._lock:
            if text == MARK_EVENT:
                self._ring.trigger(text, now)
            else:
                self._ring.add_event(now, text)

    def hear_guard(self, state: str, now: float) -> None:
        """The guard's state; an emergency stop is worth keeping."""
        with self._lock:
            if state == ESTOP:
                self._ring.trigger("e-stop", now)
            else:
                self._ring.add_event(now, f"guard: {state}")

    def hear_takeover(self, taken: bool, now: float) -> None:
        """Whether a person drives; the beginning of it is worth keeping."""
        before, self._taken = self._taken, taken
        if taken and not before:
            with self._lock:
                self._ring.trigger("takeover", now)

    def poll(self, now: float, *, finish: bool = False) -> None:
        """Hands a complete capsule to the thread."""
        with self._lock:
            incident = self._ring.poll(now, finish=finish)
        if incident is not None:
            self._capsules.put(incident)
            self._work.set()

    def close(self, now: float) -> None:
        """Writes what is being collected, and ends the thread."""
        self.poll(now, finish=True)
        self._ending.set()
        self._work.set()
        self._thread.join(10.0)

    def _run(self) -> None:
        while True:
            self._work.wait()
            self._work.clear()
            while not self._frames.empty():
                self._encode(*self._frames.get())
            while not self._capsules.empty():
                self._write(self._capsules.get())
            if self._ending.is_set():
                return

    def _encode(self, stamp: float, now: float, message: Any) -> None:
        try:
            pixels = rgb_image(message)
            jpeg = encode_jpeg(pixels, JPEG_QUALITY)
        except ImageError:
            return  # the inference node says so
        # The JPEG is for people: shown to the same policy, it is answered a little otherwise.
        seen = resize_exactly(pixels, PolicyConfig.image_size)
        with self._lock:
            self._ring.add_frame(stamp, now, jpeg, seen)

    def _with_rig(self, incident: Incident) -> Incident:
        attributes = {**incident.attributes, ATTRIBUTE: self._rig.to_json()}
        # Without a picture that can be read, nobody knows how large they are.
        with contextlib.suppress(IncidentError, IndexError):
            attributes = with_frame_size(attributes, incident.image(0).shape)
        return replace(incident, attributes=attributes)

    def _write(self, incident: Incident) -> None:
        name = f"incident_{self._wall():%Y%m%d_%H%M%S}"
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            path = self._directory / f"{name}.h5"
            count = 2
            while path.exists():
                path = self._directory / f"{name}_{count}.h5"
                count += 1
            write_incident(path, self._with_rig(incident))
        except IncidentError as error:
            self._said(str(error), True)
        except OSError as error:
            self._said(f"cannot keep incidents in {self._directory}: {error.strerror}", True)
        else:
            self._said(f"incident '{incident.reason}' kept as {path}", False)
