"""The lab's field: one or two boxes, a bottle, a side on which to pass."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from mobile_vla_ros.sim.arena import TICK, TICK_STEPS, Arena
from mobile_vla_ros.sim.camera import CameraSettings
from mobile_vla_ros.sim.expert import FieldState, expert_velocities
from mobile_vla_ros.sim.layout import BOTTLE_RADIUS, ROBOT_RADIUS, Layout, sample_layout
from mobile_vla_ros.sim.outcome import (
    TIME_LIMIT,
    TOUCHED_BOTTLE,
    TOUCHED_BOX,
    TOUCHED_WALL,
    Judge,
)
from mobile_vla_ros.sim.scenario import Scenario
from mobile_vla_ros.sim.truth import truth_attributes
from mobile_vla_ros.sim.world import build_model

__all__ = ["TICK", "TICK_STEPS", "Field"]

_TOUCHES = {TOUCHED_BOTTLE: "bottle", TOUCHED_WALL: "wall_", TOUCHED_BOX: "box"}


class Field(Arena):
    """The simulated field of one scenario and seed. Not thread-safe; render from one thread.

    Args:
        scenario: a name such as ``1box_left`` or ``2box_right_far``, or a parsed one.
        seed: decides where things stand and how they look, 0 or more.
        camera: what the robot sees with.
        time_limit: s after which the run has failed.

    Raises:
        ScenarioError: the name means nothing.
    """

    def __init__(
        self,
        scenario: str | Scenario,
        seed: int,
        camera: CameraSettings | None = None,
        time_limit: float = TIME_LIMIT,
    ) -> None:
        self.layout: Layout = sample_layout(scenario, seed)
        self.scenario = self.layout.scenario
        self._time_limit = time_limit
        camera = camera or CameraSettings()
        model = build_model(self.layout, camera)
        super().__init__(self.scenario.name, seed, model, camera, _TOUCHES)

    @property
    def instruction(self) -> str:
        """The sentence that asks for this scenario's side."""
        return self.scenario.instruction

    @property
    def state(self) -> FieldState:
        """All that the scripted driver needs to know."""
        return FieldState(self.layout, self.pose, self.velocities)

    def expert(self, max_linear: float) -> tuple[float, float]:
        """(vx, wz) that the scripted driver commands now, m/s and rad/s."""
        return expert_velocities(self.state, max_linear)

    def free(self, x: float, y: float) -> float:
        """Free distance between a chassis at (x, y) and boxes, walls and bottle, m."""
        bottle_x, bottle_y = self.layout.bottle
        bottle = math.hypot(bottle_x - x, bottle_y - y) - BOTTLE_RADIUS - ROBOT_RADIUS
        return min(bottle, self.layout.clearance(x, y))

    def truth(self, states: Sequence[FieldState], period: float) -> dict[str, Any]:
        """See `truth_attributes`."""
        return truth_attributes(states, self.camera_settings, period)

    def new_judge(self) -> Judge:
        """One that has seen nothing yet."""
        return Judge(self.layout, self._time_limit)
