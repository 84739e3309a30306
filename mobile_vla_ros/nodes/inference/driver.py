"""The control loop: asks the pilot at a fixed rate what the base is told, and publishes it.

One lock is held around every use of the pilot and around publishing velocities, so that after a
stop has been answered nothing but zeros can follow. Whoever holds it computes and publishes, and
waits for nothing else: no other lock is taken under it, no callback of the node is called.
"""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from mobile_vla_ros.control import ActionChunk
from mobile_vla_ros.control.diagnostics import DriveDiagnostics, Gauge
from mobile_vla_ros.control.limiter import Limits
from mobile_vla_ros.control.pilot import Command, Pilot, PilotSettings
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.nodes.wiring.velocity import VelocityPublisher, twist_of
from mobile_vla_ros.states import (
    DISABLED,
    MODEL_FAILED,
    STOP_SERVICE,
    STOPPED,
    UNCONFIGURED,
    WARMING_UP,
)

FAREWELL_ZEROS = 3
ACKNOWLEDGE_SECONDS = 0.5
# Until a policy says otherwise: s between the window's frames, and between two ticks.
DEFAULT_PERIOD = 0.4
DEFAULT_TICK = 0.05


class ModelGoneError(InputError):
    """The model's process has ended before it could drive; the sentence says why."""


@dataclass(frozen=True)
class Orders:
    """What a person may change while the robot drives."""

    instruction: str
    enabled: bool
    limits: Limits


@dataclass(frozen=True)
class View:
    """What the loop last did: for whoever shows it.

    Attributes:
        state: as on ``~/state``; empty before the first tick.
        command: of the last tick with a pilot.
        chunk: the newest that was taken.
    """

    state: str = ""
    command: Command | None = None
    chunk: ActionChunk | None = None


class Driver:
    """A pilot, its base, and the thread that lets the one drive the other.

    Args:
        clock: now on the clock of the image stamps, seconds.
        orders: those of the start.
        said: told a new state and what is known about it; called without the lock.
        model_down: told why the model's process must be started anew; called without the lock.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        orders: Orders,
        said: Callable[[str, str], None],
        model_down: Callable[[str, str], None],
    ) -> None:
        self._clock = clock
        self._said = said
        self._model_down = model_down
        self._lock = threading.Lock()
        self._orders = orders
        self._pilot: Pilot | None = None
        self._base: VelocityPublisher | None = None
        self._gauges = DriveDiagnostics(DEFAULT_PERIOD)
        self._lateness = Gauge()
        self._view = View()
        self._loading = False
        # Until it is active for the first time: being inactive is no news then.
        self._starting = False
        self._failure = ""
        # Of ~/stop, until ~/enable true: it outlives the pilot, and may come before there is one.
        self._stop_latched = False
        # The way to a policy elsewhere: a reason of `Pilot.link` and what is known of it.
        self._reach: tuple[str | None, str] = (None, "")
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._control, name="control", daemon=True)

    def start(self, loading: bool) -> None:
        """Begins the loop; `loading`: a model is on its way already, and it will be activated."""
        self._loading = self._starting = loading
        self._thread.start()

    # -- lifecycle ---------------------------------------------------------------------------

    def begin_loading(self) -> None:
        """A model is on its way."""
        with self._lock:
            self._gauges = DriveDiagnostics(DEFAULT_PERIOD)
            self._lateness = Gauge()
            self._view = View(self._view.state)
            self._loading, self._failure = True, ""

    def end_loading(self) -> None:
        self._loading = False

    def install(
        self,
        settings: PilotSettings,
        axes: tuple[str, ...],
        frame_period: float,
        base: VelocityPublisher | None,
    ) -> None:
        """Puts a pilot in place, under every order that was given so far; it is not active yet.

        Args:
            settings: its limits are those of the orders.
            axes: of the policy's velocities.
            frame_period: the spacing the policy was trained with, seconds.
            base: where velocities go; None: nowhere.

        Raises:
            ModelGoneError: the model has ended since it was loaded.
            InputError: settings or axes that cannot be.
        """
        now = time.monotonic()
        with self._lock:
            if self._failure:
                raise ModelGoneError(self._failure)
            orders = self._orders
            pilot = Pilot(dataclasses.replace(settings, limits=orders.limits), axes)
            pilot.model_loading(now)
            pilot.model_ready(now)
            pilot.set_instruction(orders.instruction, now)
            if not orders.enabled:
                pilot.enable(False, now)
            if self._stop_latched:
                pilot.stop(now)
            pilot.link(self._reach[0], now, self._reach[1])
            self._gauges = DriveDiagnostics(frame_period)
            self._pilot, self._base = pilot, base

    def remove(self) -> VelocityPublisher | None:
        """Takes pilot and base away; returns the base, for destroying it."""
        with self._lock:
            self._pilot = None
            base, self._base = self._base, None
        return base

    def activate(self) -> None:
        with self._lock:
            self._starting = False
            if self._pilot is not None:
                self._pilot.activate(time.monotonic())

    def halt(self) -> bool:
        """Deactivates with zeros; False when not every subscriber has confirmed them."""
        with self._lock:
            if self._pilot is None:
                return True
            self._pilot.deactivate(time.monotonic())
            base = self._base
            for _ in range(FAREWELL_ZEROS):
                self._publish_zero()
        return base is None or base.wait_for_all_acked(ACKNOWLEDGE_SECONDS)

    def close(self) -> None:
        """Ends the loop."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join(0.5)

    # -- what is known -----------------------------------------------------------------------

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def busy(self) -> bool:
        """Whether a pilot is in place, or a model on its way."""
        return self._pilot is not None or self._loading

    @property
    def orders(self) -> Orders:
        return self._orders

    @property
    def view(self) -> View:
        return self._view

    @property
    def axes(self) -> tuple[str, ...]:
        """What the components of a command are; () without a pilot."""
        pilot = self._pilot
        return () if pilot is None else pilot.axes

    @property
    def base_topic(self) -> str | None:
        """Full name of the topic that velocities go to; None when they go nowhere."""
        base = self._base
        return None if self._pilot is None or base is None else base.topic_name

    def readings(self) -> dict[str, object]:
        """For diagnostics: state, orders, and each gauge now and at its worst since last read."""
        state = self._view.state
        values: dict[str, object] = {"state": state}
        values["stop_reason"] = state.removeprefix(STOPPED) if state.startswith(STOPPED) else ""
        with self._lock:
            pilot = self._pilot
            gauges = self._gauges.read()
            encoder = self._gauges.encoder_percentiles()
            gauges["control_lateness"] = self._lateness.read()
            if pilot is not None:
                values["instruction"] = pilot.instruction
                values["enabled"] = pilot.enabled
                values["problems"] = ", ".join(pilot.problems)
                values["last_fault"] = pilot.detail
                values["generation"] = pilot.generation
        for name in ("clamps", "lost_frames"):
            values[name], values[f"{name}_new"] = gauges.pop(name)
        for name, (now, worst) in gauges.items():
            values[name], values[f"{name}_worst"] = now, worst
        values["encoder_p50"], values["encoder_p99"] = encoder
        return values

    # -- requests ----------------------------------------------------------------------------

    def order(
        self,
        instruction: str | None = None,
        enabled: bool | None = None,
        limits: Limits | None = None,
    ) -> None:
        """What is not None takes effect at once, or when there is a pilot."""
        now = time.monotonic()
        with self._lock:
            before = self._orders
            self._orders = Orders(
                before.instruction if instruction is None else instruction,
                before.enabled if enabled is None else enabled,
                before.limits if limits is None else limits,
            )
            if enabled:
                self._stop_latched = False
            if self._pilot is None:
                return
            if limits is not None:
                self._pilot.update_limits(limits)
            if instruction is not None:
                self._pilot.set_instruction(instruction, now)
            if enabled is not None:
                self._pilot.enable(enabled, now)
                if not enabled:
                    self._zero_at_once()

    def stop(self) -> None:
        """Stops until it is enabled again; the zero has gone out when this returns."""
        with self._lock:
            self._stop_latched = True
            if self._pilot is not None:
                self._pilot.stop(time.monotonic())
                self._zero_at_once()

    def reset(self) -> None:
        with self._lock:
            if self._pilot is not None:
                self._pilot.reset(time.monotonic())

    def taken_over(self, flag: bool) -> None:
        with self._lock:
            if self._pilot is not None:
                self._pilot.taken_over(flag, time.monotonic())

    def _zero_at_once(self) -> None:
        """Sends the zero of a hard stop before its request is answered; needs the lock.

        A gate behind this node holds the last velocity for a while: whoever was answered must not
        open it on one from before. Where the node has fallen silent, it stays so.
        """
        command = self._view.command
        if command is not None and command.velocities is not None:
            self._publish_zero()

    def _publish_zero(self) -> None:
        if self._base is not None and self._pilot is not None:
            axes = self._pilot.axes
            self._base.publish(twist_of(axes, [0.0] * len(axes)))

    # -- frames and the model ----------------------------------------------------------------

    def frame(self, stamp: float, mark: int, now: float) -> tuple[int, str] | None:
        """A frame has come (see `Pilot.frame`).

        Returns:
            generation and instruction that the model is to work on it under; None: leave it.
        """
        clock = self._clock()
        with self._lock:
            pilot = self._pilot
            if pilot is None:
                return None
            wanted = pilot.frame(stamp, mark, now, clock)
            self._gauges.frame(stamp, clock - stamp)
            return (pilot.generation, pilot.instruction) if wanted else None

    def unreadable(self) -> None:
        """A frame has come that nobody here can read."""
        with self._lock:
            if self._pilot is not None:
                self._pilot.unreadable(time.monotonic())

    def two_cameras(self, flag: bool) -> None:
        """Whether more than one camera speaks on the image topic."""
        with self._lock:
            if self._pilot is not None:
                self._pilot.two_cameras(flag, time.monotonic())

    def sent(self, stamp: float) -> None:
        with self._lock:
            if self._pilot is not None:
                self._pilot.sent(stamp, time.monotonic())

    def skipped(self, stamp: float, unreadable: bool = False) -> None:
        with self._lock:
            if self._pilot is not None:
                self._pilot.skipped(stamp, time.monotonic(), unreadable)

    def result(self, chunk: ActionChunk, encoder_seconds: float, unfamiliar: float) -> bool:
        """A chunk has come; whether it may be shown (see `Pilot.result`)."""
        now, clock = time.monotonic(), self._clock()
        with self._lock:
            pilot = self._pilot
            if pilot is None or not pilot.result(chunk, now, clock):
                return False
            self._gauges.chunk(
                chunk.window_stamps, encoder_seconds, pilot.disagreement, unfamiliar
            )
            self._view = dataclasses.replace(self._view, chunk=chunk)
            return True

    def model_ready(self) -> bool:
        """The model works; whether it does so again, after a fault."""
        with self._lock:
            if self._pilot is not None:
                self._pilot.model_ready(time.monotonic())
            return self._pilot is not None

    def model_failed(self, sentence: str) -> None:
        with self._lock:
            self._failure = sentence
            if self._pilot is not None:
                self._pilot.worker_fault(MODEL_FAILED, time.monotonic(), sentence)

    def link(self, reason: str | None, detail: str) -> None:
        """The way to a policy elsewhere is lost or back (see `Pilot.link`)."""
        with self._lock:
            self._reach = (reason, detail)
            if self._pilot is not None:
                self._pilot.link(reason, time.monotonic(), detail)

    # -- the loop ----------------------------------------------------------------------------

    def _control(self) -> None:
        due = time.monotonic() + self._period()
        while not self._ending.wait(max(0.0, due - time.monotonic())):
            now = time.monotonic()
            lateness = now - due
            # After a stall no tick is made up for: the limiter must not run ahead.
            due = max(due + self._period(), now)
            with self._lock:
                if self._ending.is_set():
                    return
                self._lateness.set(lateness)
                before = self._view.state
                down = self._tick(now)
                state = self._view.state
                pilot = self._pilot
                detail = self._reach[1] if pilot is None else pilot.detail_of(state)
                fault = "" if pilot is None else pilot.detail
            if down:
                self._model_down(down, fault)
            if state != before:
                self._said(state, detail)

    def _period(self) -> float:
        pilot = self._pilot
        return DEFAULT_TICK if pilot is None else 1 / pilot.settings.control_rate

    def _tick(self, now: float) -> str | None:
        """One tick, under the lock; returns why the model must be started anew, if it must."""
        pilot = self._pilot
        if pilot is None:
            self._view = dataclasses.replace(self._view, state=self._state_without_pilot())
            return None
        command = pilot.tick(now, self._clock())
        if command.velocities is not None and self._base is not None:
            self._base.publish(twist_of(pilot.axes, command.velocities.tolist()))
        state = command.state
        if self._starting and state == DISABLED and pilot.enabled:
            state = WARMING_UP
        self._view = dataclasses.replace(self._view, state=state, command=command)
        self._note(pilot.axes, command)
        # Faults that come thick are not met with more of the same.
        down = None if pilot.latched else pilot.worker_down
        if down:
            pilot.model_loading(now)
        return down

    def _state_without_pilot(self) -> str:
        if not self._loading:
            return UNCONFIGURED
        if self._stop_latched:
            return STOPPED + STOP_SERVICE
        return WARMING_UP if self._reach[0] is None else STOPPED + self._reach[0]

    def _note(self, axes: tuple[str, ...], command: Command) -> None:
        speed = 0.0
        if command.velocities is not None:
            pairs = zip(axes, command.velocities, strict=True)
            speed = math.hypot(*(v for axis, v in pairs if axis.startswith("linear")))
        self._gauges.command(command.command_age, command.remaining, speed, command.clamped)
