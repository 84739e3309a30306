"""When a run in the open field counts as a success, and why not."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mobile_vla_ros.sim.open_field.layout import KEPT_ROOMS, OpenLayout
from mobile_vla_ros.sim.open_field.person import Seen
from mobile_vla_ros.sim.open_field.route import route_of
from mobile_vla_ros.sim.open_field.things import KEPT_PAIRS, Thing
from mobile_vla_ros.sim.outcome import (
    GOAL_BEARING,
    REACHED,
    RUNNING,
    STOPPED_ANGULAR,
    STOPPED_FOR,
    STOPPED_LINEAR,
    TIMED_OUT,
    TOO_FAR,
    TOUCHED_BOX,
    TOUCHED_WALL,
    WRONG_SIDE,
    Outcome,
)

GOAL_GAP = 0.45  # m, from the robot's centre to the thing's outline
TIME_FACTOR = 2.0  # of the lab's time limit: ways are longer and people cross

WRONG_TARGET = "stopped at another thing"
NOT_FACING = "stopped without facing it"
TOUCHED_THING = "touched a thing"
TOUCHED_STOOL = "touched a stool"
TOUCHED_PERSON = "touched a person"
STOOD = "stood still as told"
DROVE = "drove though told to stop"
TOUCHES = {
    TOUCHED_THING: "thing",
    TOUCHED_BOX: "box",
    TOUCHED_STOOL: "stool",
    TOUCHED_PERSON: "person",
    TOUCHED_WALL: "wall_",
}

STANDS_FOR = 3.0  # s that a robot told to stop must stand
MOST_ROLL = 0.3  # m that it may take to stop
FALSE_STOP = 2.0  # s of standing where there is no reason to
PERSON_NEAR = 1.4  # m, between the axes: nearer than this is a reason to stand
CHANGE_AT = 0.35  # of the shortest way to the first thing, when another one is asked for


@dataclass(frozen=True)
class Asked:
    """What a run was about, for the table.

    Attributes:
        tier: "easy", "medium" or "hard".
        target: "grey basket"; "stop".
        side: "left", "right" or "".
        instruction: as it was said.
        language, wording: of it.
        kept_wording, kept_pair, kept_room: kept out of what is collected.
        changed: the instruction changed on the way; all else is of the last one.
    """

    tier: str
    target: str
    side: str
    instruction: str
    language: str
    wording: str
    kept_wording: bool
    kept_pair: bool
    kept_room: bool
    changed: bool = False


@dataclass(frozen=True)
class OpenOutcome(Outcome):
    """How a run in the open field stands; `distance` is to the target's outline, 0 for a stop.

    Attributes:
        asked: what it was about.
        shortest: length of the shortest way, m, from where the thing was asked for; None for a
            stop.
        driven: m since the thing was asked for.
        false_stops: times that the robot stood for `FALSE_STOP` s away from the target with
            nobody near.
    """

    asked: Asked | None = None
    shortest: float | None = None
    driven: float = 0.0
    false_stops: int = 0

    @property
    def collided(self) -> bool:
        """True when the robot touched something."""
        return self.reason in TOUCHES

    def sentence(self) -> str:
        """How it ended, in one line."""
        assert self.asked is not None
        away = f", {self.distance:.2f} m from the {self.asked.target}"
        place = "" if self.collided or self.shortest is None else away
        return f"{self.reason}{place} after {self.driving_time:.1f} s"

    @property
    def weighted(self) -> float | None:
        """Success weighted by path length, 0 to 1; None for a stop.

        SPL of P. Anderson et al., On evaluation of embodied navigation agents, 2018.
        """
        if self.shortest is None:
            return None
        return self.success * self.shortest / max(self.driven, self.shortest, 1e-6)


class OpenJudge:
    """Watches one run; time and state are handed in, and whoever walks by `person`."""

    def __init__(self, layout: OpenLayout, time_limit: float) -> None:
        self.layout = layout
        self.person: Seen | None = None
        self._limit = time_limit
        self._reason = RUNNING
        self._time = 0.0
        self._pose = layout.start
        self._place: tuple[float, float] | None = None
        self._length = 0.0
        self._asked_at = 0.0  # m driven when the present thing was asked for
        self._asked_time = 0.0
        self._shortest: float | None = None
        self._clearance = math.inf
        self._still_since: float | None = None
        self._false_stops = 0
        self._passed: str | None = None

    def update(
        self,
        time: float,
        pose: tuple[float, float, float],
        velocities: tuple[float, float],
        touched: str | None = None,
    ) -> None:
        """One observation; once decided, nothing changes any more."""
        if self._reason != RUNNING:
            return
        if self._place is None:
            self._pose = pose
            self._ask(self.layout)
        before, self._time = self._time, time
        self._follow(pose)
        slow = abs(velocities[0]) < STOPPED_LINEAR and abs(velocities[1]) < STOPPED_ANGULAR
        if not slow:
            self._still_since = None
        elif self._still_since is None:
            self._still_since = time
        self._count_false_stop(before)
        self._change_order()
        self._decide(touched)

    def _follow(self, pose: tuple[float, float, float]) -> None:
        x, y, _ = self._pose = pose
        if self._place is not None:
            self._length += math.hypot(x - self._place[0], y - self._place[1])
            box = self.layout.boxes[0]
            if self._place[0] < box.x <= x:
                self._passed = "left" if y > box.y else "right"
        self._place = (x, y)
        self._clearance = min(self._clearance, self.layout.clearance(x, y))

    def _decide(self, touched: str | None) -> None:
        side = self.layout.order.side
        if touched is not None:
            self._reason = touched
        elif self.layout.target is None:
            self._decide_stop()
        elif side is not None and self._passed not in (None, side):
            self._reason = WRONG_SIDE
        elif self._stood(STOPPED_FOR) and self._at(self.layout.target) and self._side_is_done():
            self._reason = REACHED
        elif self._stood(STOPPED_FOR) and self._at_another():
            self._reason = WRONG_TARGET
        elif self._time >= self._limit:
            self._reason = self._given_up()

    def _decide_stop(self) -> None:
        if self._length - self._asked_at > MOST_ROLL:
            self._reason = DROVE
        elif self._stood(STANDS_FOR):
            self._reason = STOOD
        elif self._time - self._asked_time > 2 * STANDS_FOR:
            self._reason = DROVE

    def conclude(self) -> None:
        """Ends a run that will not go on: the driver has let go for good."""
        self._reason = self.if_ended()

    def if_ended(self) -> str:
        """The reason that the outcome would have if the run ended now."""
        if self._reason != RUNNING:
            return self._reason
        if self.layout.target is None:
            return STOOD if self._still_since is not None else DROVE
        return self._given_up()

    def outcome(self) -> OpenOutcome:
        """How the run stands now."""
        success = self._reason in (REACHED, STOOD)
        still = self._still_since
        return OpenOutcome(
            reason=self._reason,
            success=success,
            driving_time=still if success and still is not None else self._time,
            path_length=self._length,
            clearance=self._clearance,
            distance=self._distance(),
            bearing=self._bearing(self.layout.target),
            passed=() if self._passed is None else (self._passed,),
            asked=self._about(),
            shortest=self._shortest,
            driven=self._length - self._asked_at,
            false_stops=self._false_stops,
        )

    def _given_up(self) -> str:
        if self._still_since is None or self._distance() > 2 * GOAL_GAP:
            return TIMED_OUT
        return TOO_FAR if self._distance() > GOAL_GAP else NOT_FACING

    def _ask(self, layout: OpenLayout) -> None:
        """From here on the layout's thing counts."""
        self.layout = layout
        self._asked_at, self._asked_time = self._length, self._time
        x, y, _ = self._pose
        self._shortest = None
        if layout.target is not None:
            length = route_of(layout, shortest=True).length(x, y)
            straight = max(layout.target.distance(x, y) - GOAL_GAP, 0.0)
            self._shortest = length if math.isfinite(length) else straight

    def _change_order(self) -> None:
        second = self.layout.second
        if second is None or self._shortest is None or self._reason != RUNNING:
            return
        if self._length >= CHANGE_AT * self._shortest:
            self._ask(self.layout.asked(second))

    def _count_false_stop(self, before: float) -> None:
        since = self._still_since
        if since is None or self.layout.target is None or self._at(self.layout.target):
            return
        if before - since < FALSE_STOP <= self._time - since and not self._person_is_near():
            self._false_stops += 1

    def _person_is_near(self) -> bool:
        x, y, _ = self._pose
        person = self.person
        return person is not None and math.hypot(person.x - x, person.y - y) < PERSON_NEAR

    def _stood(self, seconds: float) -> bool:
        return self._still_since is not None and self._time - self._still_since >= seconds

    def _side_is_done(self) -> bool:
        return self.layout.order.side is None or self._passed == self.layout.order.side

    def _distance(self) -> float:
        target = self.layout.target
        return 0.0 if target is None else target.distance(self._pose[0], self._pose[1])

    def _bearing(self, thing: Thing | None) -> float:
        if thing is None:
            return 0.0
        x, y, yaw = self._pose
        return math.remainder(math.atan2(thing.y - y, thing.x - x) - yaw, math.tau)

    def _at(self, thing: Thing) -> bool:
        x, y, _ = self._pose
        return thing.distance(x, y) <= GOAL_GAP and abs(self._bearing(thing)) <= GOAL_BEARING

    def _at_another(self) -> bool:
        others = (t for t in self.layout.things if t != self.layout.target)
        return not self._person_is_near() and any(self._at(thing) for thing in others)

    def _about(self) -> Asked:
        layout, said = self.layout, self.layout.order.said
        target = layout.target
        return Asked(
            tier=layout.scenario.tier,
            target="stop" if target is None else target.name,
            side=layout.order.side or "",
            instruction=said.text,
            language=said.language,
            wording=said.wording,
            kept_wording=said.kept,
            kept_pair=target is not None and (target.colour, target.kind) in KEPT_PAIRS,
            kept_room=layout.style in KEPT_ROOMS,
            changed=layout.scenario.change and layout.second is None,
        )
