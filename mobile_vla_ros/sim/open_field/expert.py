"""The scripted driver of the open field: along the route, waiting for whoever crosses.

As in the lab's field it has no memory: every state has one right answer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from mobile_vla_ros.sim.expert import (
    APPROACH_GAIN,
    CREEP,
    MAX_ANGULAR,
    MAX_LINEAR,
    TURN_GAIN,
    rolled,
)
from mobile_vla_ros.sim.layout import ROBOT_RADIUS, Box
from mobile_vla_ros.sim.open_field.layout import OpenLayout, Order, Stool
from mobile_vla_ros.sim.open_field.person import RADIUS as PERSON_RADIUS
from mobile_vla_ros.sim.open_field.person import Seen
from mobile_vla_ros.sim.open_field.route import MARGIN, STOP_GAP, route_of
from mobile_vla_ros.sim.open_field.things import Thing
from mobile_vla_ros.sim.robot import LAG

FACING = math.radians(7.0)  # the target may be so far from straight ahead at the end
DIRECT = 1.1  # m, nearer than this to the target it is driven at straight, if nothing is between
FAR_ROUND = 1.4  # rad; a heading farther away is turned to by the way that the robot turns
OUT_OF_SIGHT = 0.85  # rad; the camera sees nearly so far to each side
TURNING = 0.1  # rad/s; slower is no turn yet
_TOUCH = ROBOT_RADIUS + PERSON_RADIUS
_AIR_WALKING, _AIR_STANDING = 0.26, 0.12  # m, kept to a person
_FORESIGHT = np.arange(0.2, 2.41, 0.2)  # s


@dataclass(frozen=True)
class OpenState:
    """True state of a run in the open field.

    Attributes:
        layout: where things stand, and what is asked for.
        pose: (x, y, yaw) of the robot, field frame, m and rad.
        velocities: (vx, wz), robot's frame, m/s and rad/s.
        person: whoever walks there.
    """

    layout: OpenLayout
    pose: tuple[float, float, float]
    velocities: tuple[float, float] = (0.0, 0.0)
    person: Seen | None = None

    def asked(self, order: Order) -> OpenState:
        """The same state with something else asked for."""
        return replace(self, layout=self.layout.asked(order))


def open_velocities(state: OpenState, max_linear: float = MAX_LINEAR) -> tuple[float, float]:
    """(vx, wz) to command now and to hold for about 0.4 s, m/s and rad/s."""
    target = state.layout.target
    if target is None:
        return 0.0, 0.0
    x, y, yaw = state.pose
    left = target.distance(x, y) - STOP_GAP
    to_target = math.atan2(target.y - y, target.x - x)
    direct = left < DIRECT and _sees_target(state)
    heading = to_target
    if not direct:
        waypoint = route_of(state.layout).waypoint(x, y)
        heading = math.atan2(waypoint[1] - y, waypoint[0] - x)
    error = math.remainder(heading - yaw, math.tau)
    if abs(error) > FAR_ROUND and abs(math.remainder(to_target - yaw, math.tau)) > OUT_OF_SIGHT:
        error = _way_round(state, error)
    # The present turn goes on for about the lag; leaving it out of account overshoots.
    error -= state.velocities[1] * LAG
    wz = max(-MAX_ANGULAR, min(MAX_ANGULAR, TURN_GAIN * error))
    vx = max_linear * max(0.0, math.cos(min(abs(error), math.pi / 2))) ** 2
    if direct:
        if left <= 0.02:
            facing = math.remainder(to_target - yaw, math.tau)
            return (0.0, wz) if abs(facing) > FACING else (0.0, 0.0)
        vx = min(vx, max(CREEP, APPROACH_GAIN * left)) if abs(error) < 1.0 else 0.0
    elif abs(error) > 0.2:
        # Turning takes room: slower where there is little of it.
        free = state.layout.clearance(x, y)
        vx *= min(1.0, max(0.4, free / MARGIN))
    return (0.0, wz) if _has_to_wait(state, vx) else (vx, wz)


def _way_round(state: OpenState, error: float) -> float:
    """The same heading error by the way round that a camera can tell.

    It does not see behind itself, so which way is the shorter one it cannot know, and a driver
    who learns from answers that he cannot know learns to stand still. The answer is the turn that
    the robot makes already; where it makes none, away from the nearest thing it sees.
    """
    turning = state.velocities[1]
    if abs(turning) < TURNING:
        turning = -_bearing_of_nearest(state)
    if turning * error >= 0:
        return error
    return error + math.copysign(math.tau, turning)


def _bearing_of_nearest(state: OpenState) -> float:
    """rad, left positive, of the nearest of what stands in the picture; 0 where nothing does."""
    x, y, yaw = state.pose
    layout = state.layout
    standing: list[Thing | Box | Stool] = [*layout.things, *layout.boxes, *layout.stools]
    bearings = [
        (math.hypot(item.x - x, item.y - y), bearing)
        for item in standing
        if abs(bearing := math.remainder(math.atan2(item.y - y, item.x - x) - yaw, math.tau))
        < OUT_OF_SIGHT
    ]
    return min(bearings)[1] if bearings else 0.0


def open_chunk(
    state: OpenState, steps: int = 10, period: float = 0.4, max_linear: float = MAX_LINEAR
) -> np.ndarray:
    """The driver's next commands, rolled out on a kinematic copy; the person walks straight on.

    Returns:
        float32 [steps, 2]: (vx, wz), m/s and rad/s.
    """
    labels = np.empty((steps, 2), np.float32)
    for index in range(steps):
        command = open_velocities(state, max_linear)
        labels[index] = command
        state = _advanced(state, command, period)
    return labels


def _advanced(
    state: OpenState, command: tuple[float, float], dt: float, tick: float = 0.04
) -> OpenState:
    pose, velocities = rolled(state.pose, state.velocities, command, dt, tick)
    person = None if state.person is None else state.person.later(dt)
    return OpenState(state.layout, pose, velocities, person)


def _sees_target(state: OpenState) -> bool:
    """Whether the straight way to the stopping place is free."""
    target = state.layout.target
    assert target is not None
    x, y, _ = state.pose
    distance = math.hypot(target.x - x, target.y - y)
    share = max(0.0, 1 - (target.radius + STOP_GAP) / max(distance, 1e-6))
    place = (x + share * (target.x - x), y + share * (target.y - y))
    return route_of(state.layout).is_open((x, y), place, 0.10)


def _has_to_wait(state: OpenState, vx: float) -> bool:
    """Whether driving on would come near the person, and standing still would not."""
    person = state.person
    if person is None or vx <= 0:
        return False
    x, y, yaw = state.pose
    if math.hypot(person.x - x, person.y - y) > 2.2:
        return False
    walks = bool(person.vx or person.vy)
    near = _TOUCH + (_AIR_WALKING if walks else _AIR_STANDING)
    px, py = person.x + person.vx * _FORESIGHT, person.y + person.vy * _FORESIGHT
    ahead = vx * _FORESIGHT
    going = float(np.hypot(px - x - ahead * math.cos(yaw), py - y - ahead * math.sin(yaw)).min())
    standing = float(np.hypot(px - x, py - y).min())
    return going < near and standing > going + 0.02
