"""Wheel odometry as a message."""

from __future__ import annotations

from builtin_interfaces.msg import Time
from nav_msgs.msg import Odometry

from mobile_vla_ros.planar import quaternion_of
from mobile_vla_ros.sim.robot import Odometry as WheelOdometry


def odometry_message(odom: WheelOdometry, stamp: Time, frame_id: str, base: str) -> Odometry:
    """A nav_msgs/Odometry.

    Args:
        odom: place (m, rad) in `frame_id`, velocities (m/s, rad/s) in `base`.
        stamp: when it was measured.
        frame_id: frame of the place.
        base: frame of the velocities.
    """
    message = Odometry()
    message.header.stamp = stamp
    message.header.frame_id = frame_id
    message.child_frame_id = base
    turn = message.pose.pose.orientation
    message.pose.pose.position.x = odom.x
    message.pose.pose.position.y = odom.y
    *_, turn.z, turn.w = quaternion_of(odom.yaw)
    message.twist.twist.linear.x = odom.vx
    message.twist.twist.linear.y = odom.vy
    message.twist.twist.angular.z = odom.wz
    return message
