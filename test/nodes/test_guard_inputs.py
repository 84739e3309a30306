"""The guard over real DDS: whoever publishes on its inputs, however they do, is heard."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from geometry_msgs.msg import Twist, TwistStamped
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rig import Rig
from std_msgs.msg import Bool, Int8, String

pytestmark = pytest.mark.ros

MODULE = "mobile_vla_ros.nodes.cmd_vel_guard"
QUALITIES = [
    QoSProfile(depth=1, reliability=reliability, durability=durability)
    for reliability in (ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT)
    for durability in (DurabilityPolicy.VOLATILE, DurabilityPolicy.TRANSIENT_LOCAL)
]


@pytest.fixture
def rig(ros_domain, tmp_path):
    with Rig(tmp_path) as rig:
        rig.said = []
        rig.node.create_subscription(
            String,
            "cmd_vel_guard/state",
            lambda m: rig.said.append(m.data),
            QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL),
        )
        yield rig


class Sender:
    """Publishes, once or again and again, with a quality of service of its own."""

    def __init__(self, rig: Rig, kind, topic: str, qos: QoSProfile, make, rate: float = 20.0):
        self.rig = rig
        self.publisher = rig.node.create_publisher(kind, topic, qos)
        self.quiet = threading.Event()
        self.make = make
        self.period = 1 / rate if rate else None
        self.thread = threading.Thread(target=self.send, daemon=True)
        self.thread.start()

    def send(self) -> None:
        self.publisher.publish(self.make())
        while self.period and not self.quiet.wait(self.period):
            self.publisher.publish(self.make())

    def stop(self) -> None:
        self.quiet.set()
        self.thread.join()
        self.rig.node.destroy_publisher(self.publisher)


def ahead() -> Twist:
    twist = Twist()
    twist.linear.x = 0.3
    return twist


def stays_still(rig: Rig, seconds: float) -> None:
    time.sleep(0.3)
    heard = len(rig.commands)
    time.sleep(seconds)
    moved = [velocities for _, velocities in rig.commands[heard:] if any(velocities)]
    assert len(rig.commands) > heard
    assert not moved, f"{len(moved)} velocities, guard: {rig.said}"


def drives(rig: Rig) -> None:
    rig.wait(lambda: rig.commands and rig.commands[-1][1][0] > 0.2, "it drives")


@pytest.mark.parametrize("number", range(4))
def test_an_emergency_stop_pressed_before_the_guard_starts_is_obeyed(rig, number: int) -> None:
    qos = QUALITIES[number]
    # A volatile publisher has to say it again: what it said before nobody can know.
    rate = 0.0 if qos.durability == DurabilityPolicy.TRANSIENT_LOCAL else 20.0
    estop = Sender(rig, Bool, "estop", qos, lambda: Bool(data=True), rate)
    policy = Sender(rig, Twist, "policy_cmd_vel", QUALITIES[number % 3], ahead)
    rig.start("-m", MODULE, name="guard")
    rig.wait(lambda: rig.commands, "the guard speaks")
    stays_still(rig, 2.5)
    assert not any(velocities for _, v in rig.commands for velocities in v if velocities)
    policy.stop()
    estop.stop()


def test_a_button_of_another_type_is_not_a_button_that_says_nothing(rig) -> None:
    policy = Sender(rig, Twist, "policy_cmd_vel", QUALITIES[0], ahead)
    rig.start("-m", MODULE, name="guard")
    drives(rig)
    wrong = Sender(rig, Int8, "estop", QUALITIES[0], lambda: Int8(data=1))
    rig.wait(lambda: "estop" in rig.said[-1] and "Int8" in rig.said[-1], "it names the input")
    stays_still(rig, 0.5)
    wrong.stop()
    drives(rig)
    policy.stop()


def test_commands_that_are_old_by_their_stamps_do_not_drive(rig) -> None:
    late = [0.0]

    def stamped() -> TwistStamped:
        message = TwistStamped(twist=ahead())
        sent = rig.node.get_clock().now().nanoseconds - round(late[0] * 1e9)
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(sent, 10**9)
        return message

    policy = Sender(rig, TwistStamped, "policy_cmd_vel", QUALITIES[0], stamped)
    rig.start("-m", MODULE, name="guard")
    drives(rig)
    late[0] = 1.0
    rig.wait(lambda: rig.said[-1] == "late commands", "it says that they are late")
    stays_still(rig, 1.0)
    late[0] = 0.0
    drives(rig)
    policy.stop()


def combination(rig: Rig, seed: int) -> None:
    """Random publishers beside a policy that wants to drive; then everybody leaves."""
    rng = np.random.default_rng(seed)
    people = []
    must_stand = False
    for _ in range(int(rng.integers(1, 4))):
        topic = str(rng.choice(["estop", "deadman"]))
        pressed = bool(rng.random() < 0.5)
        qos = QUALITIES[int(rng.integers(4))]
        rate = float(rng.choice([5.0, 20.0, 50.0]))
        people.append(Sender(rig, Bool, topic, qos, lambda p=pressed: Bool(data=p), rate))
        must_stand |= pressed if topic == "estop" else not pressed
    if must_stand:
        time.sleep(1.0)
        stays_still(rig, 0.5)
    for one in people:
        one.stop()


def walk(rig: Rig, seeds: range) -> None:
    policy = Sender(rig, Twist, "policy_cmd_vel", QUALITIES[2], ahead)
    rig.start("-m", MODULE, name="guard")
    drives(rig)
    for seed in seeds:
        combination(rig, seed)
    policy.stop()


def test_random_publishers_never_move_it_past_a_stop(rig) -> None:
    walk(rig, range(4))


@pytest.mark.slow
def test_fifty_combinations_of_publishers_never_move_it_past_a_stop(rig) -> None:
    walk(rig, range(50))
