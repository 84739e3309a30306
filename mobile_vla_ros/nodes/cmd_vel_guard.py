"""The last gate before the base: the person wins, and anything stale becomes zero.

Meant to run on the robot itself, without the model's libraries. It covers what no driving program
can cover for itself: a killed process, a lost link, a frozen interpreter.

    python -m mobile_vla_ros.nodes.cmd_vel_guard --ros-args -p takeover_release:=manual
"""

from __future__ import annotations

import sys
import threading
import time

from geometry_msgs.msg import Twist
from rclpy.node import Node
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger

from mobile_vla_ros.axes import AXES
from mobile_vla_ros.control.guard import CommandGuard, GuardSettings
from mobile_vla_ros.nodes.wiring.parameters import Declared, declare
from mobile_vla_ros.nodes.wiring.program import VELOCITY, Program, Topic
from mobile_vla_ros.nodes.wiring.qos import latched, newest_only
from mobile_vla_ros.nodes.wiring.running import Life, StopSignal, run_node
from mobile_vla_ros.nodes.wiring.velocity import (
    VelocityPublisher,
    VelocitySubscription,
    twist_of,
    velocities_of,
)

PARAMETERS = (
    Declared("rate", 50.0, "velocities per second, Hz", 10.0, 500.0),
    Declared("timeout", 0.25, "s without a message that make an input zero", 0.05, 5.0),
    Declared(
        "takeover_release",
        "manual",
        "manual = the policy drives again after ~/release; auto = when the person has let go",
        options=("manual", "auto"),
    ),
    Declared("auto_release_after", 1.0, "s of quiet after which auto hands back", 0.1, 60.0),
    Declared(
        "deadman_required", False, "true = nothing moves before a deadman button has been heard of"
    ),
    Declared("stamped", False, "true = TwistStamped instead of Twist"),
    Declared("base_frame", "base_link", "header.frame_id of a TwistStamped"),
)
PROGRAM = Program(
    node="cmd_vel_guard",
    module="cmd_vel_guard",
    about=__doc__ or "",
    parameters=PARAMETERS,
    hears=(
        Topic("policy_cmd_vel", VELOCITY, "what the policy wants, m/s and rad/s"),
        Topic("teleop_cmd_vel", VELOCITY, "what a person wants; a movement takes over"),
        Topic("deadman", "std_msgs/Bool", "true while a person holds it; once heard, it counts"),
        Topic("estop", "std_msgs/Bool", "true stops, and takes over"),
    ),
    tells=(
        Topic("cmd_vel", VELOCITY, "what the base is to do, m/s and rad/s"),
        Topic("~/state", "std_msgs/String", "who drives, or why it stands"),
        Topic("~/taken_over", "std_msgs/Bool", "whether a person has taken over"),
    ),
    answers=(Topic("~/release", "std_srvs/Trigger", "hands back to the policy"),),
    # A safety gate with half of its settings is none.
    strict=True,
)
FAREWELL_ZEROS = 3
ACKNOWLEDGE_SECONDS = 0.5
GRAPH_PERIOD = 0.2


class GuardNode(Life, Node):
    """`policy_cmd_vel`, `teleop_cmd_vel`, `deadman`, `estop` -> `cmd_vel`."""

    def __init__(self, **options) -> None:
        super().__init__("cmd_vel_guard", **options)
        values = declare(self, PARAMETERS)
        self._guard = CommandGuard(
            GuardSettings(
                rate=values["rate"],
                timeout=values["timeout"],
                takeover_release=values["takeover_release"],
                auto_release_after=values["auto_release_after"],
                deadman_required=values["deadman_required"],
            )
        )
        self._period = 1 / values["rate"]
        self._lock = threading.Lock()
        self._publisher = VelocityPublisher(
            self, "cmd_vel", stamped=values["stamped"], frame=values["base_frame"]
        )
        self._states = self.create_publisher(String, "~/state", latched())
        self._takeovers = self.create_publisher(Bool, "~/taken_over", latched())
        self._told: tuple[str, bool] | None = None
        VelocitySubscription(self, "policy_cmd_vel", self._on_policy, qos=newest_only())
        self._teleop = VelocitySubscription(self, "teleop_cmd_vel", self._on_teleop)
        self.create_subscription(Bool, "deadman", self._on_deadman, newest_only())
        self.create_subscription(Bool, "estop", self._on_estop, newest_only())
        self.create_service(Trigger, "~/release", self._on_release)
        self._ending = threading.Event()
        # A thread of its own keeps the rate whatever the callbacks do.
        self._threads = [
            threading.Thread(target=self._gate, name="gate", daemon=True),
            threading.Thread(target=self._count_persons, name="graph", daemon=True),
        ]

    def work(self, stop: StopSignal) -> int:
        for thread in self._threads:
            thread.start()
        stop.wait()
        return 0

    def last_words(self) -> None:
        """Zeros that the base has confirmed."""
        self._ending.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(0.5)
        for _ in range(FAREWELL_ZEROS):
            self._publisher.publish(Twist())
        self._publisher.wait_for_all_acked(ACKNOWLEDGE_SECONDS)

    def _on_policy(self, twist: Twist) -> None:
        with self._lock:
            self._guard.policy(velocities_of(twist, AXES), time.monotonic())

    def _on_teleop(self, twist: Twist) -> None:
        with self._lock:
            self._guard.teleop(velocities_of(twist, AXES), time.monotonic())

    def _on_deadman(self, message: Bool) -> None:
        with self._lock:
            self._guard.deadman(message.data, time.monotonic())

    def _on_estop(self, message: Bool) -> None:
        with self._lock:
            self._guard.estop(message.data, time.monotonic())

    def _on_release(self, _request, response: Trigger.Response):
        with self._lock:
            self._guard.release(time.monotonic())
            response.success = not self._guard.taken_over
        response.message = "released" if response.success else "the e-stop is still pressed"
        return response

    def _count_persons(self) -> None:
        while not self._ending.wait(GRAPH_PERIOD):
            count = self.count_publishers(self._teleop.topic_name)
            with self._lock:
                self._guard.teleop_publishers(count)

    def _gate(self) -> None:
        due = time.monotonic()
        while not self._ending.wait(max(0.0, due - time.monotonic())):
            now = time.monotonic()
            due = max(due + self._period, now)
            with self._lock:
                command = self._guard.tick(now)
            self._publisher.publish(twist_of(AXES, command.velocities))
            told = (command.state, command.taken_over)
            if told != self._told:
                self._told = told
                self._states.publish(String(data=command.state))
                self._takeovers.publish(Bool(data=command.taken_over))
                self.get_logger().info(command.state)


def main(args: list[str] | None = None) -> int:
    return run_node(PROGRAM, lambda _stop: GuardNode(), args)


if __name__ == "__main__":
    sys.exit(main())
