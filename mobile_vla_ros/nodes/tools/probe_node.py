"""Listens beside a driving node and prints, as one line of JSON, how punctual it was.

Started by ``mobile_vla benchmark node``. Times of velocities are their stamps (stamped:=true on
the driving node), so that neither delivery nor this process's own delays count.
"""

from __future__ import annotations

import json
import sys
import time

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TwistStamped
from rclpy.node import Node
from std_msgs.msg import String
from trajectory_msgs.msg import MultiDOFJointTrajectory

from mobile_vla_ros.errors import InputError
from mobile_vla_ros.nodes.wiring.parameters import Declared, declare
from mobile_vla_ros.nodes.wiring.program import Program, Topic
from mobile_vla_ros.nodes.wiring.qos import latched, queued
from mobile_vla_ros.nodes.wiring.running import Life, StopSignal, run_node
from mobile_vla_ros.nodes.wiring.trajectory import NANOSECONDS, nanoseconds_of
from mobile_vla_ros.states import ARRIVED, DRIVING

PARAMETERS = (
    Declared("seconds", 30.0, "how long to listen once it drives, s", 1.0, 36000.0),
    Declared("settle", 3.0, "s of driving that are left out before", 0.0, 600.0),
    Declared("patience", 300.0, "s to wait until it drives", 1.0, 36000.0),
)
PROGRAM = Program(
    node="probe",
    module="tools.probe_node",
    about=__doc__ or "",
    parameters=PARAMETERS,
    hears=(
        Topic("cmd_vel", "geometry_msgs/TwistStamped", "of the driving node"),
        Topic("mobile_vla/chunk", "trajectory_msgs/MultiDOFJointTrajectory"),
        Topic("mobile_vla/state", "std_msgs/String"),
        Topic("/diagnostics", "diagnostic_msgs/DiagnosticArray"),
    ),
)
_MOVING = (DRIVING, ARRIVED)


class ProbeNode(Life, Node):
    """Collects stamps; everything is worked out by whoever started it."""

    def __init__(self) -> None:
        super().__init__("probe")
        self._values = declare(self, PARAMETERS)
        self.state = ""
        self.states: list[str] = []
        self._collecting = False
        self._commands: list[tuple[float, float]] = []  # published, heard
        self._chunks: list[tuple[float, float]] = []  # captured, heard
        self._diagnostics: list[dict[str, str]] = []
        self.create_subscription(TwistStamped, "cmd_vel", self._on_command, queued(100))
        self.create_subscription(
            MultiDOFJointTrajectory, "mobile_vla/chunk", self._on_chunk, queued(100)
        )
        self.create_subscription(String, "mobile_vla/state", self._on_state, latched())
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, queued())

    def work(self, stop: StopSignal) -> int:
        print(json.dumps(self._listen(stop)), flush=True)
        return 0

    def _listen(self, stop: StopSignal) -> dict[str, object]:
        """Waits until it drives, lets it settle, listens.

        Raises:
            InputError: it does not drive within ``patience``.
        """
        deadline = time.monotonic() + self._values["patience"]
        while self.state not in _MOVING:
            if stop.wait(0.1) or time.monotonic() > deadline:
                raise InputError(f"it does not drive; its state is '{self.state}'")
        stop.wait(self._values["settle"])
        self._collecting = True
        stop.wait(self._values["seconds"])
        self._collecting = False
        return {
            "commands": self._commands,
            "chunks": self._chunks,
            "diagnostics": self._diagnostics,
            "states": self.states,
        }

    def _on_command(self, message: TwistStamped) -> None:
        if self._collecting:
            self._commands.append(
                (nanoseconds_of(message.header.stamp) / NANOSECONDS, self._now())
            )

    def _on_chunk(self, message: MultiDOFJointTrajectory) -> None:
        if self._collecting:
            self._chunks.append((nanoseconds_of(message.header.stamp) / NANOSECONDS, self._now()))

    def _on_state(self, message: String) -> None:
        self.state = message.data
        self.states.append(message.data)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        mine = f"{self.resolve_topic_name('mobile_vla').lstrip('/')}: driving"
        if self._collecting:
            for status in message.status:
                if status.name == mine:
                    self._diagnostics.append({item.key: item.value for item in status.values})

    def _now(self) -> float:
        return self.get_clock().now().nanoseconds / NANOSECONDS


def main(args: list[str] | None = None) -> int:
    """Runs the node once."""
    return run_node(PROGRAM, lambda _stop: ProbeNode(), args)


if __name__ == "__main__":
    sys.exit(main())
