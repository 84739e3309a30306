"""Velocities that are taken when somebody wants to know them."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

rclpy = pytest.importorskip("rclpy")

from geometry_msgs.msg import Twist  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.qos import ReliabilityPolicy  # noqa: E402

from mobile_vla_ros.nodes.wiring.qos import newest_only  # noqa: E402
from mobile_vla_ros.nodes.wiring.velocity import (  # noqa: E402
    VelocityPublisher,
    VelocitySubscription,
)

pytestmark = pytest.mark.ros


@pytest.fixture
def context(ros_domain: int) -> Iterator[rclpy.Context]:
    context = rclpy.Context()
    rclpy.init(context=context)
    yield context
    context.try_shutdown()


@pytest.mark.parametrize("stamped", [False, True])
def test_the_newest_velocity_of_either_type_is_taken_once_and_wakes_nobody(
    context: rclpy.Context, stamped: bool
) -> None:
    robot = rclpy.create_node("robot", context=context)
    page = rclpy.create_node("page", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(page)
    heard = VelocitySubscription(
        page, "cmd_vel", None, qos=newest_only(ReliabilityPolicy.BEST_EFFORT), poll_period=0.05
    )
    try:
        assert heard.take() is None
        publisher = VelocityPublisher(robot, "cmd_vel", stamped=stamped)
        deadline = time.monotonic() + 20.0
        taken = None
        while taken is None and time.monotonic() < deadline:
            for speed in (0.1, 0.2):
                twist = Twist()
                twist.linear.x = speed
                publisher.publish(twist)
            executor.spin_once(timeout_sec=0.05)
            time.sleep(0.05)
            taken = heard.take()
        assert taken is not None
        twist, age = taken
        assert isinstance(twist, Twist)
        assert twist.linear.x == 0.2
        assert 0 <= age < 10.0
        assert heard.take() is None
    finally:
        executor.shutdown()
        page.destroy_node()
        robot.destroy_node()
