"""Runs on the robot: writes down what the base is told, in which state, on which chunks."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from pathlib import Path

import rclpy
from geometry_msgs.msg import Twist, TwistStamped
from rclpy.duration import Duration
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import String
from trajectory_msgs.msg import MultiDOFJointTrajectory

from mobile_vla_ros.sim.outcome import RUNNING

OBSERVING = "observing"
_MATCH_SECONDS = 10.0


def observe(report: Path, clear: bool) -> int:
    """Listens until a field is decided or SIGTERM comes, then writes its log as JSON.

    Times are seconds of the machine's clock. Those of messages are when the middleware sent them:
    this process may be slow to hear.

    Args:
        report: the log.
        clear: takes the instruction of the field before away; a field says its own to a robot
            that has none.
    """
    rclpy.init()
    me = rclpy.create_node("observer")
    latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    log: dict[str, list] = {"states": [], "moves": [], "wishes": [], "chunks": []}
    outcomes: list[str] = []

    def hear_chunk(message: MultiDOFJointTrajectory, info: dict) -> None:
        stamp = message.header.stamp.sec + message.header.stamp.nanosec * 1e-9
        log["chunks"].append((info["source_timestamp"] * 1e-9, stamp))

    def hear_velocity(message: Twist, info: dict) -> None:
        log["moves"].append((info["source_timestamp"] * 1e-9, moves(message)))

    def hear_wish(message: TwistStamped, info: dict) -> None:
        log["wishes"].append((info["source_timestamp"] * 1e-9, moves(message.twist)))

    def hear_state(message: String) -> None:
        log["states"].append((time.time(), message.data))

    me.create_subscription(String, "mobile_vla/state", hear_state, latched)
    me.create_subscription(MultiDOFJointTrajectory, "mobile_vla/chunk", hear_chunk, 20)
    me.create_subscription(Twist, "cmd_vel", hear_velocity, 50)
    me.create_subscription(TwistStamped, "policy_cmd_vel", hear_wish, 50)
    me.create_subscription(String, "sim/outcome", lambda m: outcomes.append(m.data), 10)
    signal.signal(signal.SIGTERM, lambda *_: rclpy.try_shutdown())
    if clear:
        take_instruction(me)
    print(OBSERVING, flush=True)
    outcome = "unfinished"
    with contextlib.suppress(ExternalShutdownException, KeyboardInterrupt):
        while rclpy.ok() and outcome == "unfinished":
            rclpy.spin_once(me, timeout_sec=0.2)
            for text in outcomes:
                told = json.loads(text)["reason"]
                outcome = outcome if told == RUNNING else told
            outcomes.clear()
    report.write_text(json.dumps({**log, "outcome": outcome, "end": time.time()}))
    return 0


def take_instruction(me: Node) -> None:
    """Leaves the robot without an instruction."""
    mouth = me.create_publisher(String, "mobile_vla/instruction", 1)
    end = time.monotonic() + _MATCH_SECONDS
    while not mouth.get_subscription_count() and time.monotonic() < end:
        rclpy.spin_once(me, timeout_sec=0.1)
    mouth.publish(String(data=""))
    mouth.wait_for_all_acked(Duration(seconds=_MATCH_SECONDS))


def moves(twist: Twist) -> bool:
    """Whether this is not a stop."""
    return any((twist.linear.x, twist.linear.y, twist.angular.z))
