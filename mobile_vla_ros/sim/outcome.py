"""When a run counts as a success, and why not."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mobile_vla_ros.sim.layout import Layout

GOAL_DISTANCE = 0.5  # m, robot's centre to the bottle's axis
GOAL_BEARING = math.radians(20.0)
TIME_LIMIT = 30.0  # s
STOPPED_LINEAR = 0.05  # m/s
STOPPED_ANGULAR = 0.1  # rad/s
STOPPED_FOR = 1.0  # s

RUNNING = "running"
REACHED = "reached"
TOUCHED_BOX = "touched a box"
TOUCHED_BOTTLE = "touched the bottle"
TOUCHED_WALL = "touched a wall"
WRONG_SIDE = "passed on the wrong side"
TIMED_OUT = "timed out"
TOO_FAR = "stopped too far away"
NOT_FACING = "stopped without facing the bottle"
TOUCHES = (TOUCHED_BOX, TOUCHED_BOTTLE, TOUCHED_WALL)


@dataclass(frozen=True)
class Outcome:
    """How a run stands.

    Attributes:
        reason: one of the sentences of this module; ``running`` until decided.
        success: stopped for 1 s within 0.5 m of the bottle, facing it within 20 degrees, every
            box passed on the asked side, nothing touched, within 30 s.
        driving_time: s from the start to the end of the drive (to the beginning of the standstill
            that ended it).
        path_length: m.
        clearance: smallest free distance to boxes and walls so far, m.
        distance: from the robot's centre to the bottle's axis, m.
        bearing: of the bottle in the robot's frame, rad, positive to the left.
        passed: sides on which the boxes were passed so far, in the order of passing.
    """

    reason: str
    success: bool
    driving_time: float
    path_length: float
    clearance: float
    distance: float
    bearing: float
    passed: tuple[str, ...]

    @property
    def decided(self) -> bool:
        """True when nothing that follows can change it."""
        return self.reason != RUNNING

    def sentence(self) -> str:
        """How it ended, in one line: 'reached, 0.35 m from the bottle after 11.9 s'."""
        place = "" if self.collided else f", {self.distance:.2f} m from the bottle"
        return f"{self.reason}{place} after {self.driving_time:.1f} s"

    @property
    def collided(self) -> bool:
        """True when the robot touched something."""
        return self.reason in TOUCHES


class Judge:
    """Watches one run; time and state are handed in."""

    def __init__(self, layout: Layout, time_limit: float = TIME_LIMIT) -> None:
        self._layout = layout
        self._limit = time_limit
        self._reason = RUNNING
        self._place: tuple[float, float] | None = None
        self._length = 0.0
        self._clearance = math.inf
        self._still_since: float | None = None
        self._passed: dict[int, str] = {}
        self._time = 0.0
        self._pose = layout.start

    def update(
        self,
        time: float,
        pose: tuple[float, float, float],
        velocities: tuple[float, float],
        touched: str | None = None,
    ) -> None:
        """One observation; once decided, nothing changes any more.

        Args:
            time: s since the start.
            pose: true (x, y, yaw), field frame.
            velocities: true (vx, wz), m/s and rad/s.
            touched: one of ``TOUCHES``, or None.
        """
        if self._reason != RUNNING:
            return
        x, y, _ = self._pose = pose
        self._time = time
        if self._place is not None:
            self._length += math.hypot(x - self._place[0], y - self._place[1])
            self._note_passing(self._place, (x, y))
        self._place = (x, y)
        self._clearance = min(self._clearance, self._layout.clearance(x, y))
        slow = abs(velocities[0]) < STOPPED_LINEAR and abs(velocities[1]) < STOPPED_ANGULAR
        if not slow:
            self._still_since = None
        elif self._still_since is None:
            self._still_since = time
        standing = self._still_since is not None and time - self._still_since >= STOPPED_FOR
        if touched is not None:
            self._reason = touched
        elif any(side != self._layout.scenario.side for side in self._passed.values()):
            self._reason = WRONG_SIDE
        elif standing and self._at_goal():
            self._reason = REACHED
        elif time >= self._limit:
            self._reason = self._given_up(standing)

    def conclude(self) -> None:
        """Ends a run that will not go on: the driver has let go for good."""
        self._reason = self.if_ended()

    def if_ended(self) -> str:
        """The reason that the outcome would have if the run ended now."""
        if self._reason != RUNNING:
            return self._reason
        return self._given_up(standing=self._still_since is not None)

    def _given_up(self, standing: bool) -> str:
        past = len(self._passed) == len(self._layout.boxes)
        if not standing or not past or self.distance > 2 * GOAL_DISTANCE:
            return TIMED_OUT
        return TOO_FAR if self.distance > GOAL_DISTANCE else NOT_FACING

    @property
    def distance(self) -> float:
        """m from the robot's centre to the bottle's axis."""
        bottle = self._layout.bottle
        return math.hypot(bottle[0] - self._pose[0], bottle[1] - self._pose[1])

    @property
    def bearing(self) -> float:
        """rad, of the bottle in the robot's frame."""
        x, y, yaw = self._pose
        bottle = self._layout.bottle
        return math.remainder(math.atan2(bottle[1] - y, bottle[0] - x) - yaw, math.tau)

    def outcome(self) -> Outcome:
        """How the run stands now."""
        still = self._still_since
        end = self._time if still is None or self._reason != REACHED else still
        return Outcome(
            reason=self._reason,
            success=self._reason == REACHED,
            driving_time=end,
            path_length=self._length,
            clearance=self._clearance,
            distance=self.distance,
            bearing=self.bearing,
            passed=tuple(self._passed.values()),
        )

    def _at_goal(self) -> bool:
        return (
            self.distance <= GOAL_DISTANCE
            and abs(self.bearing) <= GOAL_BEARING
            and len(self._passed) == len(self._layout.boxes)
        )

    def _note_passing(self, before: tuple[float, float], now: tuple[float, float]) -> None:
        """A box is passed where the path crosses the line across the way through its middle."""
        for index, box in enumerate(self._layout.boxes):
            if before[0] < box.x <= now[0]:
                self._passed[index] = "left" if now[1] > box.y else "right"
