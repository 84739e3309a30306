"""Directs one drive in the simulated field: records it, gives the instruction, waits for its end.

Started by ``mobile_vla demo`` beside the field, the inference node and the recorder; prints what
it heard as one line of JSON.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from geometry_msgs.msg import Twist
from nav_msgs.msg import Odometry
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from std_msgs.msg import String
from trajectory_msgs.msg import MultiDOFJointTrajectory

from mobile_vla_ros.axes import PLANAR_AXES
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.nodes.wiring.parameters import Declared, declare
from mobile_vla_ros.nodes.wiring.program import (
    PARAMETERS_GOT,
    PARAMETERS_SET,
    VELOCITY,
    Program,
    Topic,
)
from mobile_vla_ros.nodes.wiring.qos import latched, queued
from mobile_vla_ros.nodes.wiring.remote import Remote, RemoteError
from mobile_vla_ros.nodes.wiring.running import Life, StopSignal, run_node
from mobile_vla_ros.nodes.wiring.trajectory import NANOSECONDS, nanoseconds_of
from mobile_vla_ros.nodes.wiring.velocity import VelocitySubscription, velocities_of
from mobile_vla_ros.planar import odometry_of
from mobile_vla_ros.states import WAITING_FOR_CAMERA, WAITING_FOR_INSTRUCTION

PARAMETERS = (
    Declared("scenario", "1box_left", "scenario that the field shows"),
    Declared("instruction", "", "what the policy is told; '' = the field's own"),
    Declared("patience", 120.0, "s to wait for the other nodes", 1.0, 3600.0),
    Declared("by_page", False, "true = a person gives the instruction; it is waited for"),
    Declared("time_limit", 45.0, "s after which the drive is ended", 1.0, 3600.0),
)
# An hour at 50 Hz; of what comes faster the last is kept.
MOST_ROWS = 200_000
INTERRUPTED = 130  # exit status, as a shell's after Ctrl-C
PROGRESS_PERIOD = 3.0  # s between two lines while others start
PROGRAM = Program(
    node="director",
    module="tools.director_node",
    about=__doc__ or "",
    parameters=PARAMETERS,
    hears=(
        Topic("mobile_vla/state", "std_msgs/String"),
        Topic("mobile_vla/chunk", "trajectory_msgs/MultiDOFJointTrajectory"),
        Topic("sim/outcome", "std_msgs/String", "JSON, of the field"),
        Topic("odom", "nav_msgs/Odometry"),
        Topic("cmd_vel", VELOCITY),
    ),
    asks=(
        Topic("mobile_vla/get_parameters", PARAMETERS_GOT, "its instruction"),
        Topic("mobile_vla/set_parameters_atomically", PARAMETERS_SET, "its instruction"),
        Topic("episode_recorder/start", "std_srvs/Trigger"),
        Topic("episode_recorder/save", "std_srvs/Trigger"),
        Topic("episode_recorder/set_parameters_atomically", PARAMETERS_SET, "what is recorded"),
    ),
)
_READY = (WAITING_FOR_INSTRUCTION, WAITING_FOR_CAMERA)


class DirectorNode(Life, Node):
    """Hears everything and keeps it with the time since the instruction was given, seconds."""

    def __init__(self) -> None:
        super().__init__("director")
        self._values = declare(self, PARAMETERS)
        self._start = math.nan
        self._instruction = ""
        self._saved: list[str] = []
        self._follows_the_field = False
        self.state = ""
        self.outcome: dict[str, Any] = {}
        self.trace: dict[str, deque[Any]] = {
            name: deque(maxlen=MOST_ROWS)
            for name in ("told", "states", "commands", "odometry", "chunks")
        }
        listen = self.create_subscription
        listen(String, "mobile_vla/state", self._on_state, latched())
        listen(String, "sim/outcome", self._on_outcome, latched())
        listen(Odometry, "odom", self._on_odometry, queued(50))
        listen(MultiDOFJointTrajectory, "mobile_vla/chunk", self._on_chunk, queued(50))
        VelocitySubscription(self, "cmd_vel", self._on_command)
        group = ReentrantCallbackGroup()
        self._recorder = Remote(self, "episode_recorder", group)
        self._policy = Remote(self, "mobile_vla", group)

    def work(self, stop: StopSignal) -> int:
        try:
            trace = self._direct(stop)
        except InputError:
            if not stop.is_set():
                raise
        # Whoever ends it needs no reason why it did not come to its end.
        if stop.is_set():
            return INTERRUPTED
        print(json.dumps(trace), flush=True)
        return 0

    def _direct(self, stop: StopSignal) -> dict[str, Any]:
        """The whole drive.

        Raises:
            InputError: a node did not come up, or refuses.
        """
        self._wait(lambda: self.outcome, "the field", stop)
        self._say("the field is there")
        self._wait(lambda: self.state in _READY, "the policy", stop)
        self._say(f"the policy is loaded: {self.state}")
        by_page = self._values["by_page"]
        instruction = self._values["instruction"] or self.outcome["instruction"]
        if by_page:
            self._say(f"say it on the page, for example: {instruction}")
            instruction = self._told(stop)
        self._recorder.set_parameters(
            timeout=20.0, scenario=self._values["scenario"], instruction=instruction
        )
        self._start_recording(stop)
        self._start = time.monotonic()
        if not by_page:
            self._policy.set_parameters(instruction=instruction)
        self._note_told(instruction)
        self._follows_the_field = not (by_page or self._values["instruction"])
        self._drive(stop)
        ended = time.monotonic() - self._start
        # The episode ends standing still, as one would teach it.
        stop.wait(1.0)
        self._policy.set_parameters(instruction="")
        reason = str(self.outcome.get("reason", ""))
        success = bool(self.outcome.get("success"))
        self._recorder.set_parameters(outcome="success" if success else "failure")
        self._save()
        return {
            "instruction": self._instruction,
            "outcome": self.outcome,
            "success": success,
            "reason": reason,
            "seconds": ended,
            "saved": self._saved,
            **{name: list(rows) for name, rows in self.trace.items()},
        }

    def _told(self, stop: StopSignal) -> str:
        """What a person has told the policy.

        Raises:
            InputError: nobody has, within the time limit.
        """
        deadline = time.monotonic() + self._values["time_limit"]
        while not (told := str(self._policy.parameter("instruction") or "")):
            if stop.wait(0.3) or time.monotonic() > deadline:
                raise InputError("nobody gave an instruction in time")
        return told

    def _start_recording(self, stop: StopSignal) -> None:
        deadline = time.monotonic() + self._values["patience"]
        while True:
            try:
                self._say(self._recorder.trigger("start", timeout=20.0))
                return
            except RemoteError:
                # No frame has reached it yet.
                if time.monotonic() > deadline or stop.wait(0.5):
                    raise

    def _save(self) -> None:
        said = self._recorder.trigger("save", timeout=30.0)
        self._saved.append(said)
        self._say(said)

    def _note_told(self, instruction: str) -> None:
        self._instruction = instruction
        self.trace["told"].append((self._elapsed(), instruction))
        self._say(f"told: {instruction}")

    def _tell_anew(self, instruction: str, stop: StopSignal) -> None:
        """Says what the field asks for now; an episode has one instruction, so another begins.

        Raises:
            RemoteError: policy or recorder refuse.
        """
        self._policy.set_parameters(instruction=instruction)
        self._note_told(instruction)
        self._recorder.set_parameters(outcome="instruction changed")
        self._save()
        self._recorder.set_parameters(timeout=20.0, instruction=instruction, outcome="")
        self._start_recording(stop)

    def _drive(self, stop: StopSignal) -> None:
        told = time.monotonic()
        while not self.outcome.get("decided") and not stop.wait(0.05):
            seconds = time.monotonic() - self._start
            if seconds > self._values["time_limit"]:
                return
            asked = str(self.outcome.get("instruction") or "")
            if self._follows_the_field and asked not in ("", self._instruction):
                self._tell_anew(asked, stop)
            if time.monotonic() - told > 5.0:
                told = time.monotonic()
                distance = self.outcome.get("distance", math.nan)
                goal = self.outcome.get("goal", "bottle")
                self._say(f"{seconds:5.1f} s  {self.state}, {distance:.2f} m to the {goal}")

    def _wait(self, condition: Callable[[], object], what: str, stop: StopSignal) -> None:
        begin = time.monotonic()
        due, deadline = begin + PROGRESS_PERIOD, begin + self._values["patience"]
        while not condition():
            if stop.wait(0.05) or time.monotonic() > deadline:
                raise InputError(f"{what} did not come up in time (state '{self.state}')")
            if time.monotonic() >= due:
                due += PROGRESS_PERIOD
                state = f": {self.state}" if self.outcome and self.state else ""
                self._say(f"{time.monotonic() - begin:5.1f} s  waiting for {what}{state}")

    def _on_state(self, message: String) -> None:
        self.state = message.data
        self.trace["states"].append((self._elapsed(), message.data))

    def _on_outcome(self, message: String) -> None:
        self.outcome = json.loads(message.data)

    def _on_command(self, twist: Twist) -> None:
        if not math.isnan(self._start):
            velocities = velocities_of(twist, PLANAR_AXES)
            self.trace["commands"].append((self._elapsed(), *velocities))

    def _on_odometry(self, message: Odometry) -> None:
        if not math.isnan(self._start):
            x, y, yaw, vx, _, wz = odometry_of(message)
            self.trace["odometry"].append((self._elapsed(), x, y, yaw, vx, wz))

    def _on_chunk(self, message: MultiDOFJointTrajectory) -> None:
        if not math.isnan(self._start):
            age = self.get_clock().now().nanoseconds - nanoseconds_of(message.header.stamp)
            self.trace["chunks"].append((self._elapsed(), age / NANOSECONDS))

    def _elapsed(self) -> float:
        return -1.0 if math.isnan(self._start) else time.monotonic() - self._start

    def _say(self, sentence: str) -> None:
        print(sentence, file=sys.stderr, flush=True)


def main(args: list[str] | None = None) -> int:
    """Runs the node once."""
    return run_node(PROGRAM, lambda _stop: DirectorNode(), args)


if __name__ == "__main__":
    sys.exit(main())
