from __future__ import annotations

import signal
import threading
import time

import pytest
from geometry_msgs.msg import Twist, TwistStamped
from rig import Rig
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger

pytestmark = pytest.mark.ros

MODULE = "mobile_vla_ros.nodes.cmd_vel_guard"


@pytest.fixture
def rig(ros_domain, tmp_path):
    with Rig(tmp_path) as rig:
        rig.said = []
        rig.node.create_subscription(
            String, "cmd_vel_guard/state", lambda m: rig.said.append(m.data), 10
        )
        yield rig


class Sender:
    """Sends one message again and again, as a joystick or a policy does."""

    def __init__(self, rig: Rig, kind, topic: str, message) -> None:
        self.publisher = rig.node.create_publisher(kind, topic, 1)
        self.message = message
        self.quiet = threading.Event()
        self.thread = threading.Thread(target=self.send, daemon=True)
        self.thread.start()

    def send(self) -> None:
        while not self.quiet.wait(0.04):
            self.publisher.publish(self.message)

    def stop(self) -> None:
        self.quiet.set()
        self.thread.join()


def forward(speed: float) -> Twist:
    twist = Twist()
    twist.linear.x = speed
    return twist


def speed_is(rig: Rig, speed: float) -> None:
    rig.wait(
        lambda: rig.commands and rig.commands[-1][1][0] == pytest.approx(speed), f"{speed} m/s"
    )


def test_the_person_wins_and_the_policy_waits_for_its_release(rig) -> None:
    rig.start("-m", MODULE, name="node")
    policy = Sender(rig, Twist, "policy_cmd_vel", forward(0.2))
    speed_is(rig, 0.2)
    # a person's topic may be of the other type
    stick = Sender(rig, TwistStamped, "teleop_cmd_vel", TwistStamped(twist=forward(-0.1)))
    speed_is(rig, -0.1)
    stick.stop()
    at = time.monotonic()
    speed_is(rig, 0.0)
    assert time.monotonic() - at < 2.0
    rig.wait(lambda: rig.said[-1] == "taken over", "the latch")
    heard = len(rig.commands)
    rig.wait(lambda: len(rig.commands) > heard + 50, "zeros")
    assert not any(any(velocities) for _, velocities in rig.commands[heard:])
    assert rig.call(Trigger, "cmd_vel_guard/release", Trigger.Request()).success
    speed_is(rig, 0.2)

    estop = rig.node.create_publisher(Bool, "estop", 1)
    rig.wait(lambda: estop.get_subscription_count() == 1, "a listener")
    estop.publish(Bool(data=True))
    speed_is(rig, 0.0)
    assert not rig.call(Trigger, "cmd_vel_guard/release", Trigger.Request()).success
    estop.publish(Bool(data=False))
    rig.wait(
        lambda: rig.call(Trigger, "cmd_vel_guard/release", Trigger.Request()).success, "release"
    )
    speed_is(rig, 0.2)

    held = Sender(rig, Bool, "deadman", Bool(data=True))
    time.sleep(0.5)
    speed_is(rig, 0.2)
    held.stop()
    speed_is(rig, 0.0)
    rig.wait(lambda: rig.said[-1] == "deadman", "the deadman")
    policy.stop()


def test_a_node_killed_behind_the_guard_means_zero(rig) -> None:
    rig.start("-m", MODULE, name="guard")
    node = rig.start_node(
        "forward:0.2",
        "-r",
        "cmd_vel:=policy_cmd_vel",
        instruction="go",
        image_timeout=0.5,
        chunk_timeout=0.9,
    )
    rig.start_camera()
    speed_is(rig, 0.2)
    node.send_signal(signal.SIGKILL)
    at = time.monotonic()
    speed_is(rig, 0.0)
    assert time.monotonic() - at < 2.0
    heard = len(rig.commands)
    rig.wait(lambda: len(rig.commands) > heard + 20, "zeros that keep coming")
    assert not any(any(velocities) for _, velocities in rig.commands[heard:])


def test_the_guard_says_zero_before_it_ends(rig) -> None:
    guard = rig.start("-m", MODULE, name="node")
    policy = Sender(rig, Twist, "policy_cmd_vel", forward(0.2))
    speed_is(rig, 0.2)
    guard.send_signal(signal.SIGINT)
    assert rig.wait_for_exit(guard, 10.0) == 0
    speed_is(rig, 0.0)
    policy.stop()
