"""One open field: as the lab's, with a target by words and a person who crosses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from mobile_vla_ros.sim.arena import Arena
from mobile_vla_ros.sim.camera import CameraSettings
from mobile_vla_ros.sim.layout import ROBOT_RADIUS
from mobile_vla_ros.sim.open_field.expert import OpenState, open_velocities
from mobile_vla_ros.sim.open_field.judge import TIME_FACTOR, TOUCHES, OpenJudge
from mobile_vla_ros.sim.open_field.layout import OpenLayout
from mobile_vla_ros.sim.open_field.person import RADIUS, Person
from mobile_vla_ros.sim.open_field.placement import sample_open_layout
from mobile_vla_ros.sim.open_field.truth import open_truth
from mobile_vla_ros.sim.open_field.world import PERSON, build_open_model
from mobile_vla_ros.sim.outcome import TIME_LIMIT


class OpenField(Arena):
    """The open field of one scenario and seed. Not thread-safe; render from one thread.

    Args:
        scenario: a name such as ``open_easy`` or ``open_hard_grey_basket``.
        seed: decides where things stand, how they look and what is said, 0 or more.
        camera: what the robot sees with; in the field it stands a little off.
        time_limit: s, as in the lab's field; here twice as long may pass.

    Raises:
        ScenarioError: the name means nothing.
    """

    def __init__(
        self,
        scenario: str,
        seed: int,
        camera: CameraSettings | None = None,
        time_limit: float = TIME_LIMIT,
    ) -> None:
        self.layout: OpenLayout = sample_open_layout(scenario, seed)
        self._time_limit = TIME_FACTOR * time_limit
        self._watching = OpenJudge(self.layout, self._time_limit)
        self._person: Person | None = None
        camera = camera or CameraSettings()
        model = build_open_model(self.layout, camera)
        super().__init__(scenario, seed, model, camera, TOUCHES)

    def reset(self) -> None:
        """Puts robot and person back to the start, at time 0."""
        walk = self.layout.walk
        self._person = None if walk is None else Person(walk)
        super().reset()
        self.pass_time(0.0)

    @property
    def goal(self) -> str:
        """How a sentence calls what is driven to."""
        target = self._watching.layout.target
        return "standstill" if target is None else target.name

    @property
    def instruction(self) -> str:
        """What is asked for now; where the scenario says so it changes on the way."""
        return self._watching.layout.order.said.text

    @property
    def state(self) -> OpenState:
        """All that the scripted driver needs to know."""
        person = None if self._person is None else self._person.seen
        return OpenState(self._watching.layout, self.pose, self.velocities, person)

    def expert(self, max_linear: float) -> tuple[float, float]:
        """(vx, wz) that the scripted driver commands now, m/s and rad/s."""
        return open_velocities(self.state, max_linear)

    def free(self, x: float, y: float) -> float:
        """Free distance between a chassis at (x, y) and all that stands or walks, m."""
        free = self.layout.clearance(x, y)
        if self._person is not None:
            seen = self._person.seen
            free = min(free, math.hypot(seen.x - x, seen.y - y) - RADIUS - ROBOT_RADIUS)
        return free

    def truth(self, states: Sequence[OpenState], period: float) -> dict[str, Any]:
        """See `open_truth`."""
        return open_truth(states, self.camera_settings, period)

    def new_judge(self) -> OpenJudge:
        """One that has seen nothing yet."""
        self._watching = OpenJudge(self.layout, self._time_limit)
        return self._watching

    def pass_time(self, seconds: float) -> None:
        """Lets the person walk."""
        if self._person is None:
            return
        x, y, _ = self.pose
        self._person.advance(seconds, (x, y))
        seen = self._person.seen
        self._watching.person = seen
        body = self._model.body(PERSON)
        self._data.mocap_pos[body.mocapid[0]] = (seen.x, seen.y, 0.0)
