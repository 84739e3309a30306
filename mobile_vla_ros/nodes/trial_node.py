"""Runs field trials: starts them, watches them, asks for the verdict, and writes them down.

    python -m mobile_vla_ros.nodes.trial_node --ros-args -p directory:=~/trials -p plan:=plan.json

Services: ~/start (the next trial of the plan, or one as the parameters say), ~/success, ~/failure,
~/abort, ~/mark. The reason for a verdict is the last text on ~/reason. The deadman topic carries
this node's heartbeat, so that a trial nobody watches any more does not drive on (see the guard).

In the simulated field (field:=sim) every trial begins with the planned start set up anew: the
same scenario and seed for each checkpoint of a pair. With unattended:=true the plan drives itself.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Bool, String

from mobile_vla_ros.errors import InputError
from mobile_vla_ros.files import home_path
from mobile_vla_ros.nodes.trial.keeper import IncidentKeeper
from mobile_vla_ros.nodes.trial.parameters import (
    ANSWERS,
    ASKS,
    HEARS,
    PARAMETERS,
    TELLS,
    settings_of,
)
from mobile_vla_ros.nodes.trial.reports import TrialReports
from mobile_vla_ros.nodes.trial.stage import stage_of
from mobile_vla_ros.nodes.trial.start_view import StartViews
from mobile_vla_ros.nodes.trial.streams import TrialStreams
from mobile_vla_ros.nodes.wiring.parameters import declare, refusal
from mobile_vla_ros.nodes.wiring.patient_service import patient_service
from mobile_vla_ros.nodes.wiring.program import Program
from mobile_vla_ros.nodes.wiring.qos import latched
from mobile_vla_ros.nodes.wiring.rig import rig_of_settings
from mobile_vla_ros.nodes.wiring.running import FAILED, Life, StopSignal, run_node
from mobile_vla_ros.nodes.wiring.safety_input import deadman_publisher
from mobile_vla_ros.nodes.wiring.terminal import Terminal, TerminalError
from mobile_vla_ros.trials.book import TrialBook
from mobile_vla_ros.trials.conductor import Clocks, TrialConductor, TrialRequest
from mobile_vla_ros.trials.course import TrialCourse
from mobile_vla_ros.trials.heartbeat import Heartbeat
from mobile_vla_ros.trials.plan import read_plan
from mobile_vla_ros.trials.record import TrialError

PROGRAM = Program(
    node="trial_manager",
    module="trial_node",
    about=__doc__ or "",
    parameters=PARAMETERS,
    hears=HEARS,
    tells=TELLS,
    answers=ANSWERS,
    asks=ASKS,
)
# Each tick is a heartbeat too. The guard's timeout is 0.25 s: three of them may be late before it
# stops the robot.
TICK_PERIOD = 0.05
STATUS_PERIOD = 0.5
HELP = "Enter starts the next trial, y success, n failure, x abort, m marks an incident"


class TrialNode(Life, Node):
    """Adapter between the robot's topics and a ``TrialConductor``, its course and its keeper."""

    def __init__(self, **options: Any) -> None:
        super().__init__("trial_manager", **options)
        values = declare(self, PARAMETERS)
        self._values = values
        self._message = "ready"
        self._orders: list[threading.Thread] = []
        self._terminal: Terminal | None = None
        self._closing = threading.Event()
        # What trials are timed with: it never jumps (a simulated clock does not either).
        simulated = self.get_parameter("use_sim_time").value
        self._steady: Callable[[], float] = self._now if simulated else time.monotonic
        directory = home_path(values["directory"])
        plan = read_plan(home_path(values["plan"])) if values["plan"] else None
        self._book = TrialBook(directory / "trials.jsonl", plan, values["key"])
        if values["unattended"] and not (values["field"] and plan):
            raise TrialError("unattended needs a field and a plan: nobody else can place a robot")
        self._keeper = self._make_keeper(directory / "incidents")
        self._starts = StartViews(self, directory / "starts")
        judge = values["judge"] or (f"{values['field']}/outcome" if values["field"] else "")
        self._course = TrialCourse(
            recorded=values["record"], shadow=values["shadow"], judged=bool(judge)
        )
        self.streams = TrialStreams(
            self,
            course=self._course,
            keeper=self._keeper,
            now=self._now,
            steady=self._steady,
            pictured=self._on_picture,
            policy=values["policy"],
            image_transport=values["image_transport"],
        )
        stage = stage_of(self, values, lambda: self.streams.images)
        self.heartbeat = Heartbeat(
            stage,
            needed=not values["shadow"],
            closing=self._closing,
            warn=self.get_logger().warning,
            real=time.monotonic,
        )
        self.conductor = TrialConductor(
            self._book,
            self._course,
            stage,
            self.heartbeat,
            settings_of(values),
            closing=self._closing,
            request=self._requested,
            say=self._say,
            begun=self._on_begun,
            clocks=Clocks(trial=self._steady),
        )
        topics = MutuallyExclusiveCallbackGroup()
        TrialReports(
            self,
            course=self._course,
            keeper=self._keeper,
            heartbeat=self.heartbeat,
            now=self._now,
            steady=self._steady,
            names=values,
            judge=judge,
            group=topics,
        )
        self._status = self.create_publisher(String, "~/status", latched())
        self._deadman = deadman_publisher(self)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(STATUS_PERIOD, self._publish_status, clock=steady, callback_group=topics)
        self._serve()
        if self._book.broken is not None:
            self._say(
                f"the trial '{self._book.broken.get('trial', '?')}' was cut short: call "
                "~/success, ~/failure or ~/abort for it, or start the next one to leave it as "
                "interrupted"
            )
        # A thread of its own: a timer would have the executor look at everything twenty times a
        # second for the sake of one small message.
        self._ticking = threading.Thread(target=self._keep_ticking, name="ticks", daemon=True)
        self._ticking.start()

    # how it is put together

    def _make_keeper(self, directory: Path) -> IncidentKeeper | None:
        values = self._values
        if not values["incidents"]:
            return None
        before, after = values["incident_before"], values["incident_after"]
        camera = values["camera_id"] or self.resolve_topic_name("image")
        rig = rig_of_settings(values, camera, exposure=values["exposure_mode"])
        return IncidentKeeper(directory, self._on_incident, before, after, rig)

    def _serve(self) -> None:
        group = ReentrantCallbackGroup()
        for name, work in (
            ("start", self.conductor.start),
            ("success", lambda: self.conductor.decide("success")),
            ("failure", lambda: self.conductor.decide("failure")),
            ("abort", lambda: self.conductor.decide("abort")),
            ("mark", self._mark),
        ):
            patient_service(self, f"~/{name}", work, refused=self._say, group=group)
        declared = {parameter.name: parameter for parameter in PARAMETERS}

        def accept(changes: list[Parameter]) -> SetParametersResult:
            reason = refusal(declared, changes, True) or ""
            return SetParametersResult(successful=not reason, reason=reason)

        self.add_on_set_parameters_callback(accept)

    # what is heard

    def _on_picture(self, message: Image | CompressedImage) -> None:
        """Between trials: where the robot is to stand, over what its camera sees."""
        planned = self._book.next()
        start = planned.pair if planned is not None else self._requested().scenario
        self._starts.see(message, start if self._course.idle else "")

    def _on_begun(self, identity: Mapping[str, Any]) -> None:
        self._starts.keep(identity["pair"] or identity["scenario"])
        if self._keeper is not None:
            named = ("trial", "scenario", "instruction", "checkpoint", "checkpoint_sha256")
            self._keeper.describe({key: identity[key] for key in named})

    def _on_incident(self, sentence: str, bad: bool) -> None:
        (self.get_logger().error if bad else self.get_logger().info)(sentence)
        self._message = sentence

    # what is asked for

    def _requested(self) -> TrialRequest:
        names = ("scenario", "instruction", "checkpoint", "note")
        return TrialRequest(*(str(self.get_parameter(name).value) for name in names))

    def _mark(self) -> str:
        if self._keeper is None:
            raise TrialError("incidents are switched off (parameter incidents)")
        self._keeper.hear_event("mark", self._now())
        return ""

    def press(self, key: str) -> None:
        """A key in the terminal; may wait for other nodes, so not from the executor."""
        try:
            if key in ("\n", "\r"):
                self.conductor.start()
            elif key in ("y", "n", "x"):
                outcome = {"y": "success", "n": "failure", "x": "abort"}[key]
                self._say(self.conductor.decide(outcome))
            elif key == "m" and self._keeper is not None:
                self._mark()
        except InputError as error:
            self._say(str(error))

    # the course of a trial

    def _keep_ticking(self) -> None:
        while not self._closing.wait(TICK_PERIOD):
            self._deadman.publish(Bool(data=self.heartbeat.beats()))
            if self._keeper is not None:
                self._keeper.poll(self._now())
            due = self._course.tick(self._steady(), time.monotonic())
            if due.question:
                self._say(f"{due.question}: what is the verdict?")
                threading.Thread(target=self.conductor.stand, daemon=True).start()
            if due.over is not None:
                finish = self.conductor.finish
                threading.Thread(target=finish, args=(due.over,), daemon=True).start()

    # its life

    def beside(self) -> tuple[Node, ...]:
        return (self.streams,)

    def work(self, stop: StopSignal) -> int:
        """Starts what may wait for other nodes, and watches over the heartbeat."""
        self._orders = [threading.Thread(target=self.heartbeat.settle, daemon=True)]
        if self._values["unattended"]:
            drive = self.conductor.drive_unattended
            self._orders.append(threading.Thread(target=drive, daemon=True))
        for thread in self._orders:
            thread.start()
        if self._values["keys"]:
            self._read_keys(stop)
        while not stop.wait(0.2):
            # Without one of its threads it keeps no promise: an end is seen, the robot stands.
            if not self._ticking.is_alive():
                return FAILED
        return 0

    def last_words(self) -> None:
        """An orderly end: the robot stands, a running trial is interrupted and written down."""
        self._closing.set()
        self._ticking.join(1.0)
        self.conductor.close()
        if self._keeper is not None:
            self._keeper.close(self._now())
        if self._terminal is not None:
            self._terminal.close()

    def close(self) -> None:
        # One that is still inside rclpy when Python ends takes the process down with an abort.
        for thread in self._orders:
            thread.join(1.0)

    def _read_keys(self, stop: StopSignal) -> None:
        try:
            self._terminal = Terminal(self.press, stop.set)
            self._terminal.say(HELP)
        except TerminalError as error:
            self.get_logger().error(str(error))

    # what is said

    def _now(self) -> float:
        return self.get_clock().now().nanoseconds * 1e-9

    def _say(self, sentence: str) -> None:
        self._message = sentence
        self.get_logger().info(sentence)
        self._publish_status()

    def _publish_status(self) -> None:
        status = {**self.conductor.status(), "message": self._message}
        self._status.publish(String(data=json.dumps(status, ensure_ascii=False)))


def main(args: list[str] | None = None) -> int:
    """Runs the node; returns its exit status (2: it cannot work with what it was given)."""
    return run_node(PROGRAM, lambda _stop: TrialNode(), args)


if __name__ == "__main__":
    sys.exit(main())
