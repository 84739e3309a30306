"""The last gate before the base: the person wins, and anything stale becomes zero.

Meant to run on the robot itself, without the model's libraries. It covers what no driving program
can cover for itself: a killed process, a lost link, a frozen interpreter.

    python -m mobile_vla_ros.nodes.cmd_vel_guard --ros-args -p takeover_release:=manual
"""

from __future__ import annotations

import math
import sys
import threading
import time

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import Twist
from rclpy.node import Node
from rclpy.qos import ReliabilityPolicy
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger

from mobile_vla_ros.axes import AXES
from mobile_vla_ros.control.guard import (
    BAD_INPUT,
    LATE,
    TWO_SOURCES,
    UNHEARD,
    CommandGuard,
    GuardSettings,
)
from mobile_vla_ros.control.hearing import SETTLE_SECONDS, Hearing
from mobile_vla_ros.control.lateness import Lateness
from mobile_vla_ros.nodes.wiring.diagnostics import status_message
from mobile_vla_ros.nodes.wiring.parameters import Declared, declare
from mobile_vla_ros.nodes.wiring.program import VELOCITY, Program, Topic
from mobile_vla_ros.nodes.wiring.qos import latched, newest_only, queued
from mobile_vla_ros.nodes.wiring.running import Life, StopSignal, run_node
from mobile_vla_ros.nodes.wiring.safety_input import ButtonSubscription, offers_of
from mobile_vla_ros.nodes.wiring.trajectory import NANOSECONDS
from mobile_vla_ros.nodes.wiring.velocity import (
    TWIST,
    TWIST_STAMPED,
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
        Topic("deadman", "std_msgs/Bool", "true while a person holds it; once there, it counts"),
        Topic("operator_deadman", "std_msgs/Bool", "lets teleop through while it is held"),
        Topic("estop", "std_msgs/Bool", "true stops, and takes over"),
    ),
    tells=(
        Topic("cmd_vel", VELOCITY, "what the base is to do, m/s and rad/s"),
        Topic("~/state", "std_msgs/String", "who drives, or why it stands"),
        Topic("~/taken_over", "std_msgs/Bool", "whether a person has taken over"),
        Topic("/diagnostics", "diagnostic_msgs/DiagnosticArray", "who speaks, how old it is"),
    ),
    answers=(Topic("~/release", "std_srvs/Trigger", "hands back to the policy"),),
    # A safety gate with half of its settings is none.
    strict=True,
)
FAREWELL_ZEROS = 3
ACKNOWLEDGE_SECONDS = 0.5
GRAPH_PERIOD = 0.1
DIAGNOSTICS_PERIOD = 1.0
LISTENING = "listening for e-stop and deadman"
LATE_ADVICE = (
    "late commands: they are old by their stamps; the link holds them up, or the sender's clock"
    " is behind this one (synchronise them); ~/release learns the clocks anew"
)


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
        self._ages = {"policy_cmd_vel": math.nan, "teleop_cmd_vel": math.nan}
        # Best effort hears every publisher, and what a network has lost is not sent again late.
        qos = newest_only(ReliabilityPolicy.BEST_EFFORT)
        self._velocities = {
            name: VelocitySubscription(self, name, on_message, with_stamp=True, qos=qos)
            for name, on_message in (
                ("policy_cmd_vel", self._on_policy),
                ("teleop_cmd_vel", self._on_teleop),
            )
        }
        self._speakers = {
            name: Hearing(name, (TWIST, TWIST_STAMPED), one_type=True, settle=settle)
            for name, settle in (("policy_cmd_vel", SETTLE_SECONDS), ("teleop_cmd_vel", 0.0))
        }
        self._lateness = {name: Lateness() for name in self._velocities}
        self._buttons = {
            name: ButtonSubscription(self, name, on_press, time.monotonic, frees=frees)
            for name, on_press, frees in (
                ("deadman", self._on_deadman, True),
                ("operator_deadman", self._on_operator_deadman, True),
                ("estop", self._on_estop, False),
            )
        }
        self._listening_until = time.monotonic() + SETTLE_SECONDS
        self._guard.deaf(LISTENING)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", queued())
        self.create_service(Trigger, "~/release", self._on_release)
        self._ending = threading.Event()
        # A thread of its own keeps the rate whatever the callbacks do.
        self._threads = [
            threading.Thread(target=self._gate, name="gate", daemon=True),
            threading.Thread(target=self._keep_looking, name="graph", daemon=True),
        ]

    def work(self, stop: StopSignal) -> int:
        for thread in self._threads:
            thread.start()
        while not stop.wait(0.1):
            # Without one of its threads it cannot keep its promise: zeros, and an end that shows.
            if not all(thread.is_alive() for thread in self._threads):
                return 1
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

    def _on_policy(self, twist: Twist, stamp: float | None) -> None:
        now = time.monotonic()
        with self._lock:
            age = self._age("policy_cmd_vel", stamp, now)
            self._guard.policy(velocities_of(twist, AXES), now, age)

    def _on_teleop(self, twist: Twist, stamp: float | None) -> None:
        now = time.monotonic()
        with self._lock:
            age = self._age("teleop_cmd_vel", stamp, now)
            self._guard.teleop(velocities_of(twist, AXES), now, age=age)

    def _age(self, name: str, stamp: float | None, now: float) -> float | None:
        if stamp is None:
            return None
        clock = self.get_clock().now().nanoseconds / NANOSECONDS
        self._ages[name] = self._lateness[name].age(stamp, clock, now)
        return self._ages[name]

    def _on_deadman(self, pressed: bool) -> None:
        with self._lock:
            self._guard.deadman(pressed, time.monotonic())

    def _on_operator_deadman(self, pressed: bool) -> None:
        with self._lock:
            self._guard.operator_deadman(pressed, time.monotonic())

    def _on_estop(self, pressed: bool) -> None:
        with self._lock:
            self._guard.estop(pressed, time.monotonic())

    def _on_release(self, _request, response: Trigger.Response):
        with self._lock:
            self._guard.release(time.monotonic())
            for lateness in self._lateness.values():
                lateness.forget()
            response.success = not self._guard.taken_over
        response.message = "released" if response.success else "the e-stop is still pressed"
        return response

    def _keep_looking(self) -> None:
        """Who speaks on the inputs, and whether everybody can be heard."""
        due = time.monotonic()
        while not self._ending.wait(GRAPH_PERIOD):
            self._look()
            if time.monotonic() >= due:
                due = time.monotonic() + DIAGNOSTICS_PERIOD
                self._publish_diagnostics()

    def _look(self) -> None:
        now = time.monotonic()
        for name, hearing in self._speakers.items():
            heard = self._velocities[name]
            if hearing.graph(offers_of(self, heard.topic_name), now, heard.matched):
                # Another sender may have another clock.
                self._lateness[name].forget()
        for button in self._buttons.values():
            button.look()
        hearings = [button.hearing for button in self._buttons.values()]
        reasons = [hearing.deaf(now) for hearing in (*hearings, *self._speakers.values())]
        if now < self._listening_until:
            reasons.append(LISTENING)
        with self._lock:
            self._guard.teleop_publishers(self._speakers["teleop_cmd_vel"].publishers)
            self._guard.deadman_publishers(self._buttons["deadman"].hearing.publishers)
            self._guard.deaf(next((reason for reason in reasons if reason), None))

    def _publish_diagnostics(self) -> None:
        state = self._told[0] if self._told else ""
        level = DiagnosticStatus.OK
        if state.startswith(UNHEARD):
            level = DiagnosticStatus.ERROR
        elif state in (LATE, BAD_INPUT, TWO_SOURCES):
            level = DiagnosticStatus.WARN
        values: dict[str, object] = {}
        for name, lateness in self._lateness.items():
            values[f"{name}_age"] = self._ages[name]
            values[f"{name}_clocks_agree"] = lateness.agree
            values[f"{name}_publishers"] = self._speakers[name].publishers
        for name, button in self._buttons.items():
            values[f"{name}_publishers"] = button.hearing.publishers
        name = f"{self.get_fully_qualified_name().lstrip('/')}: gate"
        stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(status_message(stamp, name, level, state, values))

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
                # rclpy wants one severity per line of code.
                if command.state == LATE:
                    self.get_logger().warning(LATE_ADVICE)
                elif command.state.startswith(UNHEARD):
                    self.get_logger().warning(command.state)
                else:
                    self.get_logger().info(command.state)


def main(args: list[str] | None = None) -> int:
    return run_node(PROGRAM, lambda _stop: GuardNode(), args)


if __name__ == "__main__":
    sys.exit(main())
