"""The scripted driver's law: from the true state to the velocities a careful person would give.

It has no memory, so that any state, also one that a policy strayed into, has one right answer.
The way to the bottle is the taut string around the boxes' corners, kept ``MARGIN`` away from
them; the robot turns towards the string's first stretch and slows down for turns and for the
bottle.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from mobile_vla_ros.planar import moved
from mobile_vla_ros.sim.layout import ROBOT_RADIUS, Layout
from mobile_vla_ros.sim.robot import LAG
from mobile_vla_ros.sim.scenario import parse_scenario

MARGIN = 0.24  # m of air between chassis and boxes
STOP_DISTANCE = 0.37  # m, robot's centre to the bottle's axis; 0.5 is allowed, 0.2 touches
MAX_LINEAR = 0.3  # m/s
MAX_ANGULAR = 0.8  # rad/s
CREEP = 0.08  # m/s, slowest approach
TURN_GAIN = 1.3  # 1/s; times the 0.4 s that a command is held it must stay well below 1
APPROACH_GAIN = 0.7  # 1/s


@dataclass(frozen=True)
class FieldState:
    """True state of a run.

    Attributes:
        layout: where things stand, and the side asked for.
        pose: (x, y, yaw) of the robot, field frame, m and rad.
        velocities: (vx, wz), robot's frame, m/s and rad/s.
    """

    layout: Layout
    pose: tuple[float, float, float]
    velocities: tuple[float, float] = (0.0, 0.0)

    def asked(self, side: str) -> FieldState:
        """The same state with ``side`` ("left" or "right") asked for."""
        scenario = parse_scenario(f"{self.layout.scenario.boxes}box_{side}")
        return replace(self, layout=replace(self.layout, scenario=scenario))


def expert_velocities(
    state: FieldState, max_linear: float = MAX_LINEAR, margin: float = MARGIN
) -> tuple[float, float]:
    """(vx, wz) to command now and to hold for about 0.4 s, m/s and rad/s.

    ``margin`` is the air in metres that it wants between chassis and boxes.
    """
    x, y, yaw = state.pose
    bottle = state.layout.bottle
    distance = math.hypot(bottle[0] - x, bottle[1] - y)
    to_bottle = math.atan2(bottle[1] - y, bottle[0] - x)
    heading = _heading(state, to_bottle, margin)
    error = math.remainder(heading - yaw, math.tau)
    # The present turn goes on for about the lag; leaving it out of account overshoots.
    error = math.remainder(error - state.velocities[1] * LAG, math.tau)
    wz = max(-MAX_ANGULAR, min(MAX_ANGULAR, TURN_GAIN * error))
    left = distance - STOP_DISTANCE
    detour = abs(math.remainder(heading - to_bottle, math.tau)) > 1e-6
    vx = max_linear * max(0.0, math.cos(min(abs(error), math.pi / 2))) ** 2
    if not detour:
        if left <= 0.02:
            facing = math.remainder(to_bottle - yaw, math.tau)
            # Close enough: turn to the bottle if need be, else stand.
            return (0.0, wz) if abs(facing) > math.radians(7) else (0.0, 0.0)
        vx = min(vx, max(CREEP, APPROACH_GAIN * left)) if abs(error) < 1.0 else 0.0
    return vx, wz


def expert_chunk(
    state: FieldState,
    steps: int = 10,
    period: float = 0.4,
    max_linear: float = MAX_LINEAR,
    margin: float = MARGIN,
) -> np.ndarray:
    """The driver's next commands from ``state``, rolled out on a kinematic copy of the base.

    Nothing is rendered and no physics runs, so recorded or policy-driven states can be labelled
    afterwards for either side.

    Args:
        state: where the run stands; ``state.asked("right")`` labels it for the other side.
        steps: number of commands.
        period: s for which each is held.
        max_linear: m/s.
        margin: m of air between chassis and boxes.

    Returns:
        float32 [steps, 2]: (vx, wz), m/s and rad/s.
    """
    labels = np.empty((steps, 2), np.float32)
    for index in range(steps):
        command = expert_velocities(state, max_linear, margin)
        labels[index] = command
        state = advance_kinematic(state, command, period)
    return labels


def advance_kinematic(
    state: FieldState, command: tuple[float, float], dt: float, tick: float = 0.02
) -> FieldState:
    """The state ``dt`` seconds later: first-order lag, wheels that never slip, nothing to hit."""
    pose, velocities = rolled(state.pose, state.velocities, command, dt, tick)
    return replace(state, pose=pose, velocities=velocities)


def rolled(
    pose: tuple[float, float, float],
    velocities: tuple[float, float],
    command: tuple[float, float],
    dt: float,
    tick: float,
) -> tuple[tuple[float, float, float], tuple[float, float]]:
    """Pose (x, y, yaw) and velocities (vx, wz) of the base ``dt`` seconds later, in ticks, s."""
    vx, wz = velocities
    share = 1.0 - math.exp(-tick / LAG)
    for _ in range(round(dt / tick)):
        vx += share * (command[0] - vx)
        wz += share * (command[1] - wz)
        pose = moved(pose, (vx, 0.0, wz), tick)
    x, y, yaw = pose
    return (x, y, math.remainder(yaw, math.tau)), (vx, wz)


def _heading(state: FieldState, to_bottle: float, margin: float) -> float:
    """Direction of the taut string's first stretch, rad, field frame."""
    x, y, _ = state.pose
    radius = ROBOT_RADIUS + margin
    sign = 1.0 if state.layout.scenario.side == "left" else -1.0
    best = sign * to_bottle
    push = 0.0
    for box in state.layout.boxes:
        for corner_x, corner_y in box.corners():
            dx, dy = corner_x - x, corner_y - y
            gap = math.hypot(dx, dy)
            # Mirrored for the right side, so that "left" is always the larger angle.
            bearing = sign * math.atan2(dy, dx)
            if dx < 0 and bearing > 0:
                continue  # behind and on the far side: passed
            tangent = bearing + math.asin(min(1.0, radius / gap))
            best = max(best, min(tangent, math.radians(100)))
        outline = box.distance(x, y)
        if outline < radius:
            push = max(push, (radius - outline) / margin)
    # Too near: lean away from the box, up to 25 degrees more.
    detour = best > sign * to_bottle + 1e-6
    if push > 0 and detour:
        best += math.radians(25) * min(push, 1.0)
    return sign * best
