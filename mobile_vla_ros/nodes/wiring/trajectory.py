"""Action chunks as messages: a trajectory of twists, and the path they lead along."""

from __future__ import annotations

import numpy as np
from builtin_interfaces.msg import Duration, Time
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Path
from trajectory_msgs.msg import MultiDOFJointTrajectory, MultiDOFJointTrajectoryPoint

from mobile_vla_ros.control import ActionChunk
from mobile_vla_ros.nodes.wiring.velocity import twist_of, velocities_of
from mobile_vla_ros.planar import integrate, quaternion_of

NANOSECONDS = 1_000_000_000


def time_message(nanoseconds: int) -> Time:
    return Time(sec=nanoseconds // NANOSECONDS, nanosec=nanoseconds % NANOSECONDS)


def nanoseconds_of(stamp: Time) -> int:
    return stamp.sec * NANOSECONDS + stamp.nanosec


def chunk_message(chunk: ActionChunk, stamp: int, frame: str) -> MultiDOFJointTrajectory:
    """A chunk as it comes from the policy, before blending and limits.

    Args:
        chunk: velocities [chunk, dof] in `frame`.
        stamp: capture time of its newest frame, nanoseconds.
        frame: the base's frame; also the name of the one joint.

    Returns:
        One point per step: its twist in `velocities`, `time_from_start` = step x action_period.
    """
    message = MultiDOFJointTrajectory(joint_names=[frame])
    message.header.stamp = time_message(stamp)
    message.header.frame_id = frame
    for step, velocities in enumerate(chunk.velocities):
        after = round(step * chunk.action_period * NANOSECONDS)
        message.points.append(
            MultiDOFJointTrajectoryPoint(
                velocities=[twist_of(chunk.axes, velocities)],
                time_from_start=Duration(sec=after // NANOSECONDS, nanosec=after % NANOSECONDS),
            )
        )
    return message


def chunk_of(message: MultiDOFJointTrajectory, axes: tuple[str, ...]) -> ActionChunk:
    """Reads a `~/chunk` message back.

    Raises:
        ValueError: fewer than two points, from which no action period can be read.
    """
    if len(message.points) < 2:
        raise ValueError(f"a chunk of {len(message.points)} steps has no action period")
    second = message.points[1].time_from_start
    return ActionChunk(
        velocities=np.array(
            [velocities_of(p.velocities[0], axes) for p in message.points], np.float32
        ),
        axes=axes,
        stamp=nanoseconds_of(message.header.stamp) / NANOSECONDS,
        action_period=second.sec + second.nanosec / NANOSECONDS,
    )


def plan_message(chunk: ActionChunk, stamp: int, frame: str) -> Path:
    """Where a chunk leads: one pose per step boundary in `frame` as it was at `stamp`."""
    path = Path()
    path.header.stamp = time_message(stamp)
    path.header.frame_id = frame
    poses = integrate(chunk.velocities, chunk.axes, chunk.action_period)
    for step, (x, y, yaw) in enumerate(poses):
        pose = PoseStamped()
        pose.header.frame_id = frame
        pose.header.stamp = time_message(stamp + round(step * chunk.action_period * NANOSECONDS))
        turn = pose.pose.orientation
        pose.pose.position.x = float(x)
        pose.pose.position.y = float(y)
        *_, turn.z, turn.w = quaternion_of(yaw)
        path.poses.append(pose)
    return path
