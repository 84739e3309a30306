"""Fields one after the other in real time: whoever drives, drives when he is ready."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from mobile_vla_ros.sim.arena import Arena
from mobile_vla_ros.sim.camera import CameraSettings
from mobile_vla_ros.sim.course import Course, Order
from mobile_vla_ros.sim.fields import build_field
from mobile_vla_ros.sim.outcome import REACHED, TIMED_OUT
from mobile_vla_ros.sim.robot import Odometry
from mobile_vla_ros.sim.window import FieldWindow


class LiveField:
    """The present field, and what went before. Not thread-safe; render from one thread.

    Without a course a run begins when the robot first moves: standing and waiting for a model is
    no run that could time out. With one, the course says when.

    Args:
        camera: what the robot sees with.
        time_limit: s after which a run has failed.
        course: an evaluation that leads from field to field.
        window: show each field in a window.
    """

    def __init__(
        self,
        camera: CameraSettings,
        time_limit: float,
        course: Course | None = None,
        window: bool = False,
    ) -> None:
        self._camera = camera
        self._time_limit = time_limit
        self.course = course
        self._shows = window
        self._window: FieldWindow | None = None
        self._field: Arena | None = None
        self._past = 0.0  # simulated seconds of the fields before this one
        self._waits = False
        self._told_decided = False
        self._asked = ""

    def set_up(self, scenario: str, seed: int) -> None:
        """Puts another field in the place of the present one.

        Raises:
            InputError: no such scenario, no graphics, or no display for a window.
        """
        if self._field is not None:
            self._past += self._field.time
            self._field.close()
        self._field = build_field(scenario, seed, self._camera, self._time_limit)
        self._field.render()  # the graphics context takes its time now, not at the first frame
        self._waits = self.course is None
        self._asked = self._field.instruction
        if self._shows:
            if self._window is not None:
                self._window.close()
            self._window = FieldWindow(self._field)

    @property
    def field(self) -> Arena:
        """The present field; `set_up` comes first."""
        assert self._field is not None
        return self._field

    @property
    def time(self) -> float:
        """Simulated seconds since the first field began."""
        return self._past + self.field.time

    @property
    def odometry(self) -> Odometry:
        """What the wheels tell."""
        return self.field.odom

    def command(self, vx: float, vy: float, wz: float) -> None:
        """A velocity command, m/s, m/s, rad/s; the first that moves begins a run that waits."""
        if self._waits and any((vx, vy, wz)):
            self.field.begin()
            self._waits = False
        self.field.command(vx, vy, wz)

    def advance(self, seconds: float) -> None:
        """Lets simulated time pass."""
        self.field.advance(seconds)
        if self._waits and self.field.outcome().decided:
            self.field.begin()

    def frame(self) -> np.ndarray:
        """The camera's view now, uint8 [H,W,3] RGB; a window follows it."""
        picture = self.field.render()
        if self._window is not None:
            self._window.show()
        return picture

    def follow_course(self, now: float, state: str) -> Order:
        """Lets the course look at how things stand, and does what it asks of the field.

        Args:
            now: steady clock, s.
            state: of whoever drives, as on ``~/state``.

        Returns:
            What was asked; an instruction to say is left to the caller.

        Raises:
            CourseError: whoever drives does not get ready.
        """
        if self.course is None:
            return Order()
        order = self.course.update(now, state, self.field.outcome(), self.field.pose)
        if order.field is not None:
            self.set_up(*order.field)
        if order.begin:
            self.field.begin()
        if order.conclude:
            self.field.conclude()
        if order == Order() and self.asks_anew():
            order = Order(say=self.field.instruction)
        return order

    def asks_anew(self) -> bool:
        """Whether the field asks for something else than when this was last called."""
        before, self._asked = self._asked, self.field.instruction
        return before != self._asked and not self.field.outcome().decided

    @property
    def news(self) -> bool:
        """Whether a run has been decided, or begun, since `tell` was last called."""
        return self.field.outcome().decided != self._told_decided

    def tell(self) -> dict[str, Any]:
        """How the run stands, as plain values."""
        field, outcome = self.field, self.field.outcome()
        self._told_decided = outcome.decided
        return {
            "decided": outcome.decided,
            **asdict(outcome),
            "scenario": field.name,
            "seed": field.seed,
            "instruction": field.instruction,
            "goal": field.goal,
            "missing": _what_is_missing(field),
            "pose": field.pose,
        }

    def close(self) -> None:
        """Frees the window and the graphics context."""
        if self._window is not None:
            self._window.close()
            self._window = None
        if self._field is not None:
            self._field.close()


def _what_is_missing(field: Arena) -> str:
    """Why the run would be no success if it ended now; "" when it would be one."""
    reason = field.if_ended()
    if reason == REACHED:
        return ""
    away = f"{field.outcome().distance:.1f} m from the {field.goal}"
    return away if reason == TIMED_OUT else reason
