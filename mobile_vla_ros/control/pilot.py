"""The pilot: decides at every control tick what the base is told, and says why.

The node around it is thin: it hands in what happens and publishes what ``tick`` returns. Two
times are handed in everywhere: ``now``, a steady clock that measures silence, and ``clock``, the
clock of the image stamps, which serves for capture age alone.

API (every method may be called at any time; one thread, or one lock around all of it)::

    pilot = Pilot(PilotSettings(...), axes=("linear.x", "angular.z"))
    pilot.activate(now), pilot.deactivate(now)      lifecycle
    pilot.model_loading(now), pilot.model_ready(now)  a worker was started / has warmed up
    pilot.worker_fault(reason, now, detail="")      it died or raised ("model failed"), ...
    pilot.worker_down -> str | None                 reason to end and restart the worker now;
                                                    None again from model_loading on
    pilot.set_instruction(text, now)                "" clears; the same text again changes nothing
    pilot.enable(flag, now), pilot.stop(now), pilot.reset(now), pilot.taken_over(flag, now)
    pilot.update_limits(limits)
    pilot.frame(stamp, fingerprint, now, clock) -> bool    True: hand it to the worker, tagged
                                                           with pilot.generation
    pilot.sent(stamp, now)                          the worker has taken a frame (optional)
    pilot.skipped(stamp, now, unreadable)           the worker has no chunk for that frame
    pilot.unreadable(now)                           a frame came that nobody here can read
    pilot.two_cameras(flag, now)                    more than one speaks on the image topic
    pilot.link(reason, now, detail)                 a policy elsewhere is out of reach; None: back
    pilot.result(chunk, now, clock) -> bool         True: it belongs to the present order
    pilot.tick(now, clock) -> Command               velocities None means: publish nothing
    pilot.generation, .state, .instruction, .enabled, .problems, .detail

The worker must answer every frame it takes (by a result or a fault), in the order taken, and
empty its window when the generation of a frame differs from that of the frame before.

Which state is told (the first that fits), and what is sent meanwhile:

    unconfigured              no model has been asked for              nothing
    stopped: stop service     until enable(True)                       zeros
    stopped: taken over       until taken_over(False)                  zeros for 1 s, then nothing
    warming_up                the first model is loading               zeros (*)
    disabled                  not enabled, or not active               zeros for 1 s, then nothing
    waiting_for_camera        not one frame has come yet               zeros (*)
    waiting_for_instruction   there is none                            slows down, zeros for 1 s,
                                                                       then nothing
    arrived                   latched until a new instruction or reset slows down, zeros
    stopped: <model reason>   until a good chunk; latched: enable(True) zeros
    stopped: <camera reason>  until 3 good frames                      zeros
    stopped: model too slow, stopped: chunk used up, until a chunk in time   zeros
    stopped: server lost, stopped: server refused    likewise; what is still valid is driven
    warming_up / driving      no chunk under the present order yet     slows down, zeros
    driving                                                            the chunk, limited

    (*) for 1 s, then nothing, when disabled or without instruction.

Of a stop and a takeover the later one names the state. Wherever it says zeros, they are exact
from the first tick on; only `slows down` passes through the limiter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields

import numpy as np

from mobile_vla_ros.control.caution import blind_factor, disagreement_factor
from mobile_vla_ros.control.chunk import ActionChunk
from mobile_vla_ros.control.limiter import Limits, VelocityLimiter
from mobile_vla_ros.control.schedule import ChunkSchedule
from mobile_vla_ros.control.watchdog import CameraWatch, ModelWatch
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.states import (
    ARRIVED,
    BAD_OUTPUT,
    CHUNK_USED_UP,
    DISABLED,
    DRIVING,
    MODEL_FAILED,
    MODEL_HUNG,
    MODEL_TOO_SLOW,
    SERVER_LOST,
    SERVER_REFUSED,
    STOP_SERVICE,
    STOPPED,
    TAKEN_OVER,
    TWO_CAMERAS,
    UNCONFIGURED,
    WAITING_FOR_CAMERA,
    WAITING_FOR_INSTRUCTION,
    WARMING_UP,
)

_MAY_BE_ZERO = (
    "future_tolerance",
    "frozen_timeout",
    "arrival_speed",
    "arrival_hold",
    "silence_after",
    "blend_time",
    "max_blind_distance",
    "max_disagreement",
)
_WORKER_REASONS = (MODEL_HUNG, MODEL_FAILED, BAD_OUTPUT, MODEL_TOO_SLOW)


@dataclass(frozen=True)
class PilotSettings:
    """Everything the pilot is configured with; times in seconds.

    Attributes:
        control_rate: ticks per second.
        image_timeout: without a good frame for this long the camera is silent.
        max_frame_age: a frame captured longer ago than this, when it comes, is too old.
        future_tolerance: how far a stamp may lie ahead of the clock.
        frozen_timeout: the same picture for this long is a frozen camera; 0 = off.
        chunk_timeout: longest capture age that may still drive.
        worker_timeout: a worker that owes an answer for this long hangs.
        first_result_timeout: the same for its first answer, which may take longer.
        arrival_speed: speed on every axis below which the policy wants to stand, m/s, rad/s.
        arrival_hold: so long it must want to, for having arrived.
        resume_frames: good frames in a row that end a camera fault.
        silence_after: zeros are sent for this long before falling silent.
        blend_time: fading between two chunks.
        max_blind_distance: metres that may be driven on one frame; slows down to keep it, 0 = off.
        max_disagreement: consecutive plans that differ by more slow the robot down, 0 = off.
        limits: speeds and accelerations.
    """

    control_rate: float = 20.0
    image_timeout: float = 0.25
    max_frame_age: float = 0.5
    future_tolerance: float = 0.02
    frozen_timeout: float = 1.0
    chunk_timeout: float = 0.8
    worker_timeout: float = 1.0
    first_result_timeout: float = 10.0
    arrival_speed: float = 0.05
    arrival_hold: float = 2.0
    resume_frames: int = 3
    silence_after: float = 1.0
    blend_time: float = 0.1
    max_blind_distance: float = 0.0
    max_disagreement: float = 0.0
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        """Refuses numbers that would switch a protection off unasked.

        Raises:
            InputError: a time or rate that is not positive (0 is allowed where it means off).
        """
        for entry in fields(self):
            if entry.name == "limits":
                continue
            value = getattr(self, entry.name)
            least = 0.0 if entry.name in _MAY_BE_ZERO else math.ulp(0.0)
            if not (math.isfinite(value) and value >= least):
                raise InputError(f"{entry.name} is {value:g}; give a positive number")


@dataclass(frozen=True)
class Command:
    """What one tick decides.

    Attributes:
        velocities: float64 [dof], m/s and rad/s in the base frame; None: publish nothing.
        state: what is told on ``~/state``.
        hard_stop: exactly zero, past the limiter.
        clamped: a speed limit made the wanted velocity smaller.
        ramped: an acceleration limit delays it.
        wanted: float64 [dof], what the chunk asks for at this moment, None when nothing may.
        command_age: seconds since the capture of the frame behind the command, NaN when none is.
        remaining: seconds for which the chunk behind the command stays valid.
    """

    velocities: np.ndarray | None
    state: str
    hard_stop: bool
    clamped: bool = False
    ramped: bool = False
    wanted: np.ndarray | None = None
    command_age: float = math.nan
    remaining: float = 0.0


class Pilot:
    """The driving state machine; see the module's text for what it does when."""

    def __init__(self, settings: PilotSettings, axes: tuple[str, ...]) -> None:
        """Starts unconfigured, inactive, enabled and without instruction.

        Args:
            settings: times, rates and limits.
            axes: name of each component of a velocity, as the chunks' ``axes``.

        Raises:
            InputError: axes that cannot be driven.
        """
        self.settings = settings
        self.axes = tuple(axes)
        self.generation = 0
        self.state = UNCONFIGURED
        self.instruction = ""
        self.enabled = True
        self.detail = ""
        """What is known about the last model fault, for the log."""
        self._limiter = VelocityLimiter(self.axes, settings.limits, 1 / settings.control_rate)
        self._schedule = ChunkSchedule(
            settings.chunk_timeout, settings.future_tolerance, settings.blend_time
        )
        self._camera = CameraWatch(
            settings.image_timeout,
            settings.max_frame_age,
            settings.future_tolerance,
            settings.frozen_timeout,
            settings.resume_frames,
        )
        self._model = ModelWatch(settings.worker_timeout, settings.first_result_timeout)
        self._losses = 0
        self._active = False
        self._stopped = False
        self._taken_over = False
        self._takeover_is_later = False
        self._arrived = False
        self._slow_since: float | None = None
        self._late: str | None = None
        self._link: str | None = None
        self._driving = False
        self._halt = ""
        self._ordered_at = 0.0
        self._muted_since: float | None = None

    # -- what is known ---------------------------------------------------------------------

    @property
    def worker_down(self) -> str | None:
        """Why the worker has to be ended and restarted; None when it has not."""
        return self._model.reason if self._model.phase == "down" else None

    @property
    def latched(self) -> bool:
        """Whether worker faults have come so thick that only enable(True) goes on."""
        return self._model.latched

    def detail_of(self, state: str) -> str:
        """What is known about a state: a stop by a person has nothing of an older fault."""
        reason = state.removeprefix(STOPPED)
        return self.detail if reason in (*_WORKER_REASONS, SERVER_LOST, SERVER_REFUSED) else ""

    @property
    def problems(self) -> tuple[str, ...]:
        """Everything that is wrong at present, told in ``state`` or not (for diagnostics)."""
        known = (self._model.reason, self._camera.reason, self._late, self._link)
        return tuple(reason for reason in known if reason)

    @property
    def frame_age(self) -> float:
        """Capture age the newest plausible frame had when it came, seconds; NaN before any."""
        return self._camera.age

    @property
    def disagreement(self) -> float:
        """How much the last two chunks differ where they overlap (RMS over steps and axes)."""
        return self._schedule.disagreement

    # -- lifecycle and model ---------------------------------------------------------------

    def activate(self, now: float) -> None:
        """The node becomes active: it starts as if no frame had ever come."""
        self._active = True
        self._camera.forget()
        self._losses = 0
        self._muted_since = None
        self._begin(now, self._halt or WARMING_UP)

    def deactivate(self, now: float) -> None:
        """The node becomes inactive: a hard stop."""
        self._active = False
        self._muted_since = None
        self._begin(now, DISABLED)

    def model_loading(self, now: float) -> None:
        """A worker has been started."""
        self._model.loading()
        self._begin(now, WARMING_UP)

    def model_ready(self, now: float) -> None:
        """The worker has loaded and warmed up the model."""
        self._model.ready()
        self._begin(now, WARMING_UP)

    def worker_fault(self, reason: str, now: float, detail: str = "") -> None:
        """The worker has failed in the node's eyes.

        Args:
            reason: "model hung", "model failed" (both: it must be restarted), "bad output" or
                "model too slow".
            now: steady clock, seconds.
            detail: what is known about it, for the log.

        Raises:
            ValueError: another reason.
        """
        if reason not in _WORKER_REASONS:
            raise ValueError(f"{reason!r} is no worker fault")
        if self._model.fault(reason, now):
            self.detail = detail
            self._begin(now, STOPPED + reason)

    # -- requests --------------------------------------------------------------------------

    def set_instruction(self, text: str, now: float) -> None:
        """Gives an instruction; an empty one clears it, the present one changes nothing."""
        text = text.strip()
        if text == self.instruction:
            return
        self.instruction = text
        self._arrived = False
        self._begin(now)

    def enable(self, flag: bool, now: float) -> None:
        """Enables or disables driving; True also lifts a stop and latched worker faults."""
        self._stopped = False
        if flag:
            self._model.release()
        else:
            self._muted_since = None
            self._begin(now, DISABLED)
        self.enabled = flag

    def stop(self, now: float) -> None:
        """Stops at the next tick and stays so until ``enable(True)``."""
        self._stopped = True
        self._takeover_is_later = False
        self._begin(now, STOPPED + STOP_SERVICE)

    def reset(self, now: float) -> None:
        """Empties the window and leaves ``arrived``."""
        self._arrived = False
        self._begin(now)

    def taken_over(self, flag: bool, now: float) -> None:
        """A person drives (True), or has let go and released the policy (False)."""
        if flag == self._taken_over:
            return
        self._taken_over = flag
        self._takeover_is_later = flag
        if flag:
            self._begin(now, STOPPED + TAKEN_OVER)

    def update_limits(self, limits: Limits) -> None:
        """New limits from the next tick on; a faster base slows down to them."""
        self._limiter.limits = limits

    # -- frames and chunks -----------------------------------------------------------------

    def frame(self, stamp: float, fingerprint: int, now: float, clock: float) -> bool:
        """Checks a frame.

        Args:
            stamp: capture time, seconds.
            fingerprint: a number that differs when the pixels differ.
            now: steady clock, seconds.
            clock: the stamps' clock, seconds.

        Returns:
            Whether the worker is to have it.
        """
        if not self._active:
            return False
        verdict = self._camera.frame(stamp, fingerprint, now, clock)
        self._notice_losses(now)
        if verdict is not None or not self.instruction or self._model.phase != "ready":
            return False
        self._model.offered(stamp, now)
        return True

    def sent(self, stamp: float, now: float) -> None:
        """The worker has taken the frame of this stamp; it now owes an answer."""
        self._model.offered(stamp, now)

    def skipped(self, stamp: float, now: float, unreadable: bool = False) -> None:
        """The worker owes no chunk for this frame.

        Args:
            stamp: of the frame, seconds.
            now: steady clock, seconds.
            unreadable: because its picture cannot be read.
        """
        self._model.answer(stamp, now)
        if unreadable:
            self.unreadable(now)

    def unreadable(self, now: float) -> None:
        """A frame has come whose picture cannot be read; a few in a row stop the robot."""
        if self._active:
            self._camera.unreadable(now)
            self._notice_losses(now)

    def two_cameras(self, flag: bool, now: float) -> None:
        """Whether more than one camera speaks on the image topic; none is believed meanwhile."""
        self._camera.hold(TWO_CAMERAS if flag else None)
        self._notice_losses(now)

    def link(self, reason: str | None, now: float, detail: str = "") -> None:
        """The way to a policy elsewhere.

        Args:
            reason: "server lost" or "server refused"; None when the server answers again.
            now: steady clock, seconds.
            detail: what is known about it, for the log.

        Raises:
            ValueError: another reason.
        """
        if reason not in (None, SERVER_LOST, SERVER_REFUSED):
            raise ValueError(f"{reason!r} is no state of a link")
        self._link = reason
        if reason is not None:
            self.detail = detail

    def result(self, chunk: ActionChunk, now: float, clock: float) -> bool:
        """Takes a chunk from the worker.

        Args:
            chunk: whatever it sent.
            now: steady clock, seconds.
            clock: the stamps' clock, seconds.

        Returns:
            Whether it belongs to the present order and is sound (it may be shown; whether it
            drives is decided at each tick).
        """
        if self._model.phase != "ready":
            return False
        self._model.answer(chunk.stamp, now)
        self._camera.readable()
        if chunk.generation != self.generation or not self._active or not self.instruction:
            return False
        problem = chunk.problem(self.axes)
        newest = self._camera.stamp
        if problem is None and (newest is None or chunk.stamp > newest + 1e-6):
            problem = "it is stamped later than any frame"
        if problem is not None:
            self.worker_fault(BAD_OUTPUT, now, problem)
            return False
        last = self._schedule.chunk
        if last is not None and chunk.stamp <= last.stamp:
            return False
        self._schedule.add(chunk, now)
        if clock - chunk.stamp >= self._schedule.validity(chunk):
            self._late = MODEL_TOO_SLOW
        else:
            self._late = None
            self._model.recovered()
        return True

    # -- the tick --------------------------------------------------------------------------

    def tick(self, now: float, clock: float) -> Command:
        """Decides what is sent now.

        Args:
            now: steady clock, seconds.
            clock: the stamps' clock, seconds.
        """
        self._watch(now, clock)
        state, wanted, hard = self._judge(now, clock)
        if wanted is not None and not all(math.isfinite(value) for value in wanted):
            self.worker_fault(BAD_OUTPUT, now, "a blended velocity is NaN or infinite")
            state, wanted, hard = STOPPED + BAD_OUTPUT, None, True
        if self._halt:
            state = self._halt if state in (DRIVING, WARMING_UP) else state
            wanted, hard, self._halt = None, True, ""
        if wanted is not None and self._note_arrival(wanted, now):
            state, wanted = ARRIVED, None
        self._driving = wanted is not None
        if not self._driving:
            self._slow_since = None

        age, remaining, clamped, ramped = math.nan, 0.0, False, False
        chunk = self._schedule.chunk
        if hard:
            velocities = self._limiter.reset()
        elif wanted is None or chunk is None:
            step = self._limiter.step((0.0,) * len(self.axes), now)
            velocities, ramped = step.velocities, step.ramped
        else:
            age, remaining = clock - chunk.stamp, self._schedule.remaining(now, clock)
            step = self._limiter.step(wanted, now, self._caution(age + remaining))
            velocities, clamped, ramped = step.velocities, step.clamped, step.ramped
        self.state = state
        return Command(
            velocities=None if self._silent(now) else np.array(velocities),
            state=state,
            hard_stop=hard,
            clamped=clamped,
            ramped=ramped,
            wanted=None if wanted is None else np.array(wanted),
            command_age=age,
            remaining=remaining,
        )

    def _watch(self, now: float, clock: float) -> None:
        """Notes what has gone wrong since the last tick, whether or not anything drives."""
        if self._active:
            self._camera.tick(now, clock)
            chunk = self._schedule.chunk
            if chunk is not None and clock - chunk.stamp < -self.settings.future_tolerance:
                self._camera.clock_jumped()
            self._notice_losses(now)
        if self._model.hung(now):
            self.worker_fault(MODEL_HUNG, now, "it has not answered in time")

    def _judge(self, now: float, clock: float) -> tuple[str, list[float] | None, bool]:
        """The state, the velocity wanted (None: standstill), and whether to stop hard."""
        model, camera = self._model, self._camera
        if model.phase == "absent":
            return UNCONFIGURED, None, True
        if self._stopped and not (self._taken_over and self._takeover_is_later):
            return STOPPED + STOP_SERVICE, None, True
        if self._taken_over:
            return STOPPED + TAKEN_OVER, None, True
        if model.phase == "loading" and model.reason is None:
            return (STOPPED + self._link if self._link else WARMING_UP), None, True
        if not (self.enabled and self._active):
            return DISABLED, None, True
        if not camera.seen:
            return WAITING_FOR_CAMERA, None, True
        broken = model.reason or camera.reason
        if not self.instruction:
            return WAITING_FOR_INSTRUCTION, None, broken is not None
        if self._arrived:
            return ARRIVED, None, broken is not None
        if model.latched or model.phase != "ready" or broken is not None:
            return STOPPED + str(broken), None, True
        wanted = self._schedule.sample(now, clock)
        if wanted is not None:
            return DRIVING, wanted, False
        if self._link is not None:
            if self._driving:
                self._begin(now, STOPPED + self._link)
            return STOPPED + self._link, None, True
        return self._without_chunk(now)

    def _without_chunk(self, now: float) -> tuple[str, list[float] | None, bool]:
        """Nothing is wrong with camera or model, but there is no valid chunk."""
        owed = self._model.waiting_since
        if self._driving:
            # A model that has had its frame for half the time a chunk lasts is what is missing.
            slow = owed is not None and now - owed > self.settings.chunk_timeout / 2
            reason = MODEL_TOO_SLOW if slow or self._late else CHUNK_USED_UP
            self._begin(now, STOPPED + reason)
            self._late = reason
        elif self._late is None and now - self._ordered_at >= self.settings.chunk_timeout:
            # Slowing down until the first chunk of a new order is driving blind: not for ever.
            if owed is not None and now - owed >= self.settings.chunk_timeout:
                if self._model.answered:
                    self._late = MODEL_TOO_SLOW
            elif not self._limiter.standing:
                self._late = CHUNK_USED_UP
        if self._late is not None:
            return STOPPED + self._late, None, True
        hard = now - self._ordered_at >= self.settings.chunk_timeout
        return (WARMING_UP if hard or self._limiter.standing else DRIVING), None, hard

    def _note_arrival(self, wanted: list[float], now: float) -> bool:
        """Whether the policy has wanted to stand for long enough."""
        if any(abs(value) >= self.settings.arrival_speed for value in wanted):
            self._slow_since = None
            return False
        if self._slow_since is None:
            self._slow_since = now
        self._arrived = now - self._slow_since >= self.settings.arrival_hold
        return self._arrived

    def _caution(self, blind_time: float) -> float:
        """Factor on the speed limits: not too far blind, and not fast while undecided."""
        return min(
            blind_factor(
                self._limiter.limits.max_linear, blind_time, self.settings.max_blind_distance
            ),
            disagreement_factor(self._schedule.disagreement, self.settings.max_disagreement),
        )

    def _silent(self, now: float) -> bool:
        """Whether to send nothing: nobody has asked us to drive, and we have stood for 1 s."""
        if self.state == UNCONFIGURED:
            return True
        if self.state == STOPPED + STOP_SERVICE:
            muted = False
        else:
            muted = not (
                self._active and self.enabled and self.instruction and not self._taken_over
            )
        if not muted or not self._limiter.standing:
            self._muted_since = None
            return False
        if self._muted_since is None:
            self._muted_since = now
        return now - self._muted_since > self.settings.silence_after

    def _notice_losses(self, now: float) -> None:
        if self._camera.losses != self._losses:
            self._losses = self._camera.losses
            self._begin(now, f"{STOPPED}{self._camera.reason}")

    def _begin(self, now: float, halt: str = "") -> None:
        """A new order: whatever was planned or is being computed under the old one is void.

        A hard stop names its state in ``halt``: at least one tick sends zero for it, even if
        what caused it is over by then.
        """
        self.generation += 1
        self._halt = halt or self._halt
        self._schedule.clear()
        self._late = None
        self._slow_since = None
        self._driving = False
        self._ordered_at = now
