"""Poses of a base on a floor (REP-103): x forward, y left, metres; yaw to the left, radians."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Pose = tuple[float, float, float]
"""x, y (m) and yaw (rad)."""


def yaw_of(x: float, y: float, z: float, w: float) -> float:
    """Yaw of a quaternion, rad in [-pi, pi]; roll and pitch do not matter."""
    return math.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))


def quaternion_of(yaw: float) -> tuple[float, float, float, float]:
    """The quaternion x, y, z, w of a yaw."""
    return 0.0, 0.0, math.sin(yaw / 2), math.cos(yaw / 2)


def optical_turn(tilt: float) -> tuple[float, float, float, float]:
    """Quaternion (x, y, z, w) from the base to a camera's optical frame (REP-103).

    Args:
        tilt: radians that the camera looks down; its image's x is the base's right then, its z
            forward.
    """
    half = tilt / 2
    # The optical frame of a level camera is the base turned by (-0.5, 0.5, -0.5, 0.5); the tilt is
    # a turn about the base's y before it.
    ty, tw = math.sin(half), math.cos(half)
    x, y, z, w = -0.5, 0.5, -0.5, 0.5
    return (
        tw * x + ty * z,
        tw * y + ty * w,
        tw * z - ty * x,
        tw * w - ty * y,
    )


def odometry_of(message: Any) -> tuple[float, float, float, float, float, float]:
    """x, y (m), yaw (rad), vx, vy (m/s), wz (rad/s) of a nav_msgs/Odometry."""
    place, turn = message.pose.pose.position, message.pose.pose.orientation
    speed = message.twist.twist
    yaw = yaw_of(turn.x, turn.y, turn.z, turn.w)
    return place.x, place.y, yaw, speed.linear.x, speed.linear.y, speed.angular.z


def moved(pose: Pose, velocity: tuple[float, float, float], seconds: float) -> Pose:
    """The pose after one command was held; exact, as ``integrate``.

    Args:
        pose: where the base was.
        velocity: vx, vy (m/s) and wz (rad/s) in the frame of the base.
        seconds: how long.

    Returns:
        Where it is; the yaw is not wrapped.
    """
    vx, vy, wz = velocity
    x, y, yaw = pose
    turn = wz * seconds
    half = turn / 2
    # Chord of an arc: the displacement turned by half the turn, shortened by sinc.
    ahead = seconds * (math.sin(half) / half if half else 1.0)
    cosine, sine = math.cos(yaw + half), math.sin(yaw + half)
    return (
        x + ahead * (vx * cosine - vy * sine),
        y + ahead * (vx * sine + vy * cosine),
        yaw + turn,
    )


def integrate(
    velocities: np.ndarray, axes: tuple[str, ...], period: float | np.ndarray
) -> np.ndarray:
    """Poses of a planar base that holds each command for ``period`` seconds.

    Exact for commands that are constant over a step (the base moves on a circle or a line), so
    the result does not depend on how finely a command is cut.

    Args:
        velocities: [k, dof], m/s and rad/s in the base frame (REP-103).
        axes: name of each column; only ``linear.x``, ``linear.y`` and ``angular.z`` move a planar
            base, the others are ignored.
        period: seconds per step; one number, or [k].

    Returns:
        float64 [k+1, 3]: x, y (m) and yaw (rad, not wrapped) in the frame of the start.

    Raises:
        ValueError: velocities that are not [k, len(axes)].
    """
    commands = np.asarray(velocities, dtype=np.float64)
    if commands.ndim != 2 or commands.shape[1] != len(axes):
        raise ValueError(f"velocities are {list(commands.shape)}, not [steps, {len(axes)}]")
    columns = dict(zip(axes, commands.T, strict=True))
    still = np.zeros(len(commands))
    forward = columns.get("linear.x", still) * period
    left = columns.get("linear.y", still) * period
    turn = columns.get("angular.z", still) * period
    shrink = np.sinc(turn / (2 * np.pi))
    yaw = np.concatenate([[0.0], np.cumsum(turn)])
    heading = yaw[:-1] + turn / 2
    step_x = shrink * (forward * np.cos(heading) - left * np.sin(heading))
    step_y = shrink * (forward * np.sin(heading) + left * np.cos(heading))
    x = np.concatenate([[0.0], np.cumsum(step_x)])
    y = np.concatenate([[0.0], np.cumsum(step_y)])
    return np.stack([x, y, yaw], axis=1)


def seen_from(pose: Pose | np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points [N, 2] of the frame that ``pose`` is in, as seen from ``pose``: [N, 2], m."""
    x, y, yaw = pose
    return (points - (x, y)) @ _turn(yaw)


def placed_at(pose: Pose | np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points [N, 2] as seen from ``pose``, in the frame that ``pose`` is in: [N, 2], m."""
    x, y, yaw = pose
    return points @ _turn(yaw).T + (x, y)


def _turn(yaw: float) -> np.ndarray:
    return np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])
