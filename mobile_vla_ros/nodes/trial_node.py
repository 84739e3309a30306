"""Runs field trials: starts them, watches them, asks for the verdict, and writes them down.

    python -m mobile_vla_ros.nodes.trial_node --ros-args -p directory:=~/trials -p plan:=plan.json

Services: ~/start (the next trial of the plan, or one as the parameters say), ~/success, ~/failure,
~/abort, ~/mark. The reason for a verdict is the last text on ~/reason. The deadman topic carries
this node's heartbeat, so that a trial nobody watches any more does not drive on (see the guard).
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Twist
from nav_msgs.msg import Odometry
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import MultiDOFJointTrajectory

from mobile_vla_ros.control.guard import ESTOP, TAKEN_OVER, TELEOP
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.nodes.camera_subscription import CameraSubscription
from mobile_vla_ros.nodes.incident_keeper import IncidentKeeper
from mobile_vla_ros.nodes.parameters import Declared, declare, misspelt, refusal
from mobile_vla_ros.nodes.qos import latched, newest_only, queued
from mobile_vla_ros.nodes.remote import Remote, RemoteError
from mobile_vla_ros.nodes.start_view import StartViews
from mobile_vla_ros.nodes.stop_signal import StopSignal, init_without_signals
from mobile_vla_ros.nodes.terminal import Terminal, TerminalError
from mobile_vla_ros.nodes.trajectory import chunk_of
from mobile_vla_ros.nodes.velocity import VelocitySubscription, velocities_of
from mobile_vla_ros.trials.agreement import Agreement
from mobile_vla_ros.trials.log import TrialLog, read_trials
from mobile_vla_ros.trials.plan import PlannedTrial, TrialPlan, read_plan
from mobile_vla_ros.trials.record import TrialError, TrialRecord
from mobile_vla_ros.trials.session import TrialRules, TrialSession

PARAMETERS = (
    Declared("directory", "~/trials", "trials.jsonl, incidents/ and starts/ go there"),
    Declared("plan", "", "plan file of 'mobile_vla trials plan'; '' = trials as set below"),
    Declared("key", "", "key file of a blind plan; only the checkpoint to load is read from it"),
    Declared("scenario", "", "scenario of a trial without a plan", live=True),
    Declared("instruction", "", "what the policy is told in a trial without a plan", live=True),
    Declared(
        "checkpoint", "", "path to load for a trial without a plan; '' = as it is", live=True
    ),
    Declared("note", "", "operator's note, written into the next trial", live=True),
    Declared("time_limit", 60.0, "a trial longer than this has failed, s", 1.0, 3600.0),
    Declared("verdict_timeout", 0.0, "wait this long for a verdict, s; 0 = for ever", 0.0, 3600.0),
    Declared(
        "arrival",
        "ask",
        "what an arrival counts as: ask = the operator says, success = it does",
        options=("ask", "success"),
    ),
    Declared("end_on_takeover", False, "a person's takeover ends the trial as a failure"),
    Declared("record", True, "record an episode of each trial through the recorder node"),
    Declared("shadow", False, "a person drives, the policy only watches (its dry_run is true)"),
    Declared("incidents", True, "keep a capsule of each unordered stop, takeover and mark"),
    Declared("incident_before", 10.0, "seconds kept before an incident", 1.0, 60.0),
    Declared("incident_after", 5.0, "seconds kept after an incident", 0.0, 60.0),
    Declared("image_transport", "raw", "raw or compressed", options=("raw", "compressed")),
    Declared("policy", "mobile_vla", "name of the inference node"),
    Declared("recorder", "episode_recorder", "name of the recorder node"),
    Declared("guard", "cmd_vel_guard", "name of the guard node"),
    Declared("judge", "", "topic of a judge that knows (the simulated field's ~/outcome)"),
    Declared("keys", False, "read verdicts from the terminal: y success, n failure, x abort"),
)
TICK_PERIOD = 0.05
STATUS_PERIOD = 0.5
# The guard's timeout is 0.25 s: three heartbeats may be late before it stops the robot.
HEARTBEAT_PERIOD = 0.05
LOAD_SECONDS = 300.0
HELP = "Enter starts the next trial, y success, n failure, x abort, m marks an incident"


class TrialNode(Node):
    """Adapter between the robot's topics and a ``TrialSession``, its log and its incident ring."""

    def __init__(self, **options: Any) -> None:
        super().__init__("trial_manager", **options)
        self._declared = {parameter.name: parameter for parameter in PARAMETERS}
        values = declare(self, PARAMETERS)
        for name in misspelt(self):
            self.get_logger().warning(f"there is no parameter '{name}'")
        self._values = values
        self._directory = Path(values["directory"]).expanduser()
        self._plan: TrialPlan | None = read_plan(values["plan"]) if values["plan"] else None
        self._paths = self._checkpoint_paths()
        self._log = TrialLog(self._directory / "trials.jsonl")
        self._done = _numbers_done(self._log.path)
        self._broken = self._log.broken()
        self._lock = threading.RLock()
        self._session: TrialSession | None = None
        self._planned: PlannedTrial | None = None
        self._reason = ""
        self._message = "ready"
        self._state = ""
        self._taken = False
        self._axes: tuple[str, ...] = ("linear.x", "angular.z")
        self._clamps: float | None = None
        self._operator: tuple[float, bool] | None = None
        self._agreement = Agreement()
        self._hashes: dict[str, str] = {}
        self._ending_trial = False
        self._asked = False

        self._topics = MutuallyExclusiveCallbackGroup()
        self._requests = MutuallyExclusiveCallbackGroup()
        self._answers = ReentrantCallbackGroup()
        self.policy = Remote(self, values["policy"], self._answers)
        self.recorder = Remote(self, values["recorder"], self._answers)
        self._keeper: IncidentKeeper | None = None
        if values["incidents"]:
            self._keeper = IncidentKeeper(
                self._directory / "incidents",
                self._incident_said,
                values["incident_before"],
                values["incident_after"],
            )
        self._starts = StartViews(self._directory / "starts")
        self._listen()
        self._status = self.create_publisher(String, "~/status", latched())
        self._view = self.create_publisher(
            CompressedImage, "~/start_view/compressed", newest_only()
        )
        self._heartbeat = self.create_publisher(Bool, "deadman", newest_only())
        self._instruction = self.create_publisher(
            String, f"{values['policy']}/instruction", queued()
        )
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        for period, callback in (
            (TICK_PERIOD, self._tick),
            (STATUS_PERIOD, self._publish_status),
            (HEARTBEAT_PERIOD, self._beat),
        ):
            self.create_timer(period, callback, clock=steady, callback_group=self._topics)
        for name, serve in (
            ("start", self._serve_start),
            ("success", self._serve_verdict("success")),
            ("failure", self._serve_verdict("failure")),
            ("abort", self._serve_verdict("abort")),
            ("mark", self._serve_mark),
        ):
            self.create_service(Trigger, f"~/{name}", serve, callback_group=self._requests)
        self.add_on_set_parameters_callback(
            lambda changes: _result(refusal(self._declared, changes, True))
        )
        if self._broken is not None:
            self._say(
                f"the trial '{self._broken.get('trial', '?')}' was cut short: call ~/success, "
                "~/failure or ~/abort for it, or start the next one to leave it as interrupted"
            )

    def _listen(self) -> None:
        values, group = self._values, self._topics

        def subscribe(kind: type, topic: str, callback: Callable, qos) -> None:
            self.create_subscription(kind, topic, callback, qos, callback_group=group)

        policy = values["policy"]
        subscribe(String, f"{policy}/state", self._hear_state, latched())
        subscribe(String, f"{policy}/event", self._hear_event, queued())
        subscribe(MultiDOFJointTrajectory, f"{policy}/chunk", self._hear_chunk, queued())
        subscribe(String, f"{values['guard']}/state", self._hear_guard, latched())
        subscribe(DiagnosticArray, "/diagnostics", self._hear_diagnostics, queued())
        subscribe(Odometry, "odom", self._hear_odometry, queued(50))
        subscribe(String, "~/reason", self._hear_reason, queued())
        subscribe(Bool, "operator_deadman", self._hear_deadman, queued())
        if values["judge"]:
            subscribe(String, values["judge"], self._hear_judge, latched())
        VelocitySubscription(self, "cmd_vel", self._hear_command, callback_group=group)
        CameraSubscription(
            self,
            self._hear_image,
            transport=values["image_transport"],
            depth=2,
            callback_group=group,
        )

    # what is heard

    def _hear_state(self, message: String) -> None:
        now = time.monotonic()
        with self._lock:
            before, self._state = self._state, message.data
            if self._session is not None:
                self._session.hear_state(message.data, now)
        if self._keeper is None or before == message.data:
            return
        with self._keeper.lock:
            self._keeper.ring.add_event(self._now(), message.data)
        unordered = message.data.startswith("stopped: ") and message.data not in (
            "stopped: stop service",
            "stopped: taken over",
        )
        if unordered and before in ("driving", "arrived"):
            self._keeper.trigger(message.data, self._now())

    def _hear_event(self, message: String) -> None:
        if self._keeper is None:
            return
        if message.data == "mark":
            self._keeper.trigger("mark", self._now())
        else:
            with self._keeper.lock:
                self._keeper.ring.add_event(self._now(), message.data)

    def _hear_guard(self, message: String) -> None:
        taken = message.data in (TELEOP, TAKEN_OVER)
        now = time.monotonic()
        with self._lock:
            started = taken and not self._taken
            self._taken = taken
            if self._session is not None:
                self._session.hear_takeover(taken, now)
        if self._keeper is not None and started:
            self._keeper.trigger("takeover", self._now())
        if self._keeper is not None and message.data == ESTOP:
            self._keeper.trigger("e-stop", self._now())

    def _hear_chunk(self, message: MultiDOFJointTrajectory) -> None:
        if len(message.points) < 2 or not message.points[0].velocities:
            return
        now = self._now()
        chunk = chunk_of(message, self._axes)
        wanted = max(map(abs, chunk.velocities[0])) if len(chunk.velocities) else 0.0
        with self._lock:
            if self._session is not None:
                self._session.hear_chunk(float(wanted), now - chunk.stamp)
            if self._values["shadow"]:
                self._agreement.predicted(chunk.axes, chunk.velocities[0])
        if self._keeper is not None:
            with self._keeper.lock:
                self._keeper.ring.axes = self._axes
                self._keeper.ring.action_period = chunk.action_period
                self._keeper.ring.add_chunk(chunk.stamp, now, chunk.velocities)

    def _hear_command(self, twist: Twist) -> None:
        vx, vy, wz = velocities_of(twist, ("linear.x", "linear.y", "angular.z"))
        with self._lock:
            if self._session is not None:
                self._session.hear_command(vx, vy, wz, time.monotonic())
                if self._values["shadow"]:
                    self._agreement.driven(vx, vy, wz)
        if self._keeper is not None:
            with self._keeper.lock:
                self._keeper.ring.add_command(self._now(), vx, vy, wz)

    def _hear_odometry(self, message: Odometry) -> None:
        place, turn = message.pose.pose.position, message.pose.pose.orientation
        yaw = math.atan2(2 * (turn.w * turn.z + turn.x * turn.y), 1 - 2 * (turn.y**2 + turn.z**2))
        with self._lock:
            if self._session is not None:
                self._session.hear_odometry(place.x, place.y, yaw, time.monotonic())
        if self._keeper is not None:
            speed = message.twist.twist
            with self._keeper.lock:
                self._keeper.ring.add_odometry(
                    *(self._now(), place.x, place.y, yaw),
                    *(speed.linear.x, speed.linear.y, speed.angular.z),
                )

    def _hear_image(self, message: Image | CompressedImage) -> None:
        stamp = message.header.stamp.sec + message.header.stamp.nanosec * 1e-9
        if self._keeper is not None:
            self._keeper.frame(stamp, self._now(), message)
        with self._lock:
            waiting = self._session is None
            planned = self._next()
        if waiting and self._view.get_subscription_count():
            pair = planned.pair if planned is not None else self._text("scenario")
            view = self._starts.compare(pair, message)
            if view is not None:
                self._view.publish(CompressedImage(format="jpeg", data=view))
        self._starts.newest = message

    def _hear_diagnostics(self, message: DiagnosticArray) -> None:
        mine = f"{self.resolve_topic_name(self._values['policy']).lstrip('/')}: driving"
        for status in message.status:
            if status.name != mine:
                continue
            values = {item.key: item.value for item in status.values}
            try:
                clamps = float(values.get("clamps", "nan"))
            except ValueError:
                continue
            axes = tuple(part for part in values.get("action_axes", "").split(", ") if part)
            with self._lock:
                self._axes = axes or self._axes
                if self._session is not None and self._clamps is not None:
                    self._session.hear_clamps(max(0, int(clamps - self._clamps)))
                self._clamps = clamps if math.isfinite(clamps) else self._clamps

    def _hear_reason(self, message: String) -> None:
        self._reason = message.data

    def _hear_deadman(self, message: Bool) -> None:
        self._operator = (time.monotonic(), message.data)

    def _hear_judge(self, message: String) -> None:
        try:
            verdict = json.loads(message.data)
        except ValueError:
            return
        if not isinstance(verdict, dict) or not verdict.get("over"):
            return
        with self._lock:
            session = self._session
            if session is None or session.phase == "over":
                return
            # A verdict from before this trial is about the one before.
            if float(verdict.get("elapsed", 0.0)) > time.monotonic() - session.started + 1.0:
                return
            outcome = "success" if verdict.get("success") else "failure"
            session.decide(outcome, str(verdict.get("reason", "")), time.monotonic())

    # requests

    def _serve_start(self, _request, response: Trigger.Response) -> Trigger.Response:
        try:
            response.message = self.start_trial()
            response.success = True
        except InputError as error:
            self._say(str(error))
            response.message = str(error)
        return response

    def _serve_verdict(self, outcome: str):
        def serve(_request, response: Trigger.Response) -> Trigger.Response:
            try:
                response.message = self.decide(outcome)
                response.success = True
            except InputError as error:
                response.message = str(error)
            return response

        return serve

    def _serve_mark(self, _request, response: Trigger.Response) -> Trigger.Response:
        response.success = self._keeper is not None
        if self._keeper is None:
            response.message = "incidents are switched off (parameter incidents)"
        else:
            self._keeper.trigger("mark", self._now())
        return response

    def start_trial(self) -> str:
        """Prepares recorder and policy, then lets the policy drive; returns what has begun.

        Raises:
            InputError: a trial is running, the plan is done, or a node refuses.
        """
        with self._lock:
            if self._session is not None:
                raise TrialError("a trial is running: give its verdict first")
            planned = self._next()
        if self._plan is not None and planned is None:
            raise TrialError("every trial of the plan has been driven")
        if self._broken is not None:
            self._close_broken("interrupted")
        scenario = planned.scenario if planned is not None else self._text("scenario")
        words = planned.instruction if planned is not None else self._text("instruction")
        if not scenario or not words:
            raise TrialError("set the parameters scenario and instruction, or give a plan")
        name, path = self._checkpoint(planned)
        identity = {
            "trial": f"{time.strftime('%Y%m%d_%H%M%S')}_{len(self._done) + 1:03d}",
            "scenario": scenario,
            "instruction": words,
            "checkpoint": name,
            "pair": planned.pair if planned is not None else None,
            "number": planned.number if planned is not None else None,
            "note": self._text("note"),
            "shadow": self._values["shadow"],
        }
        self._load(path)
        identity["checkpoint_sha256"] = self._hash(path)
        if self._values["record"]:
            self.recorder.set_parameters(scenario=scenario, instruction=words)
            self.recorder.trigger("start", timeout=20.0)
        self._log.begin({**identity, "started": time.time()})
        self.policy.trigger("reset")
        self.policy.set_parameters(instruction=words)
        session = TrialSession(
            identity,
            TrialRules(
                time_limit=self._values["time_limit"],
                verdict_timeout=self._values["verdict_timeout"],
                arrival=self._values["arrival"],
                end_on_takeover=self._values["end_on_takeover"],
            ),
            started=time.monotonic(),
            wall_start=time.time(),
        )
        with self._lock:
            self._agreement = Agreement()
            self._reason = ""
            self._planned = planned
            self._session = session
            session.hear_state(self._state, session.started)
        self._starts.keep(identity["pair"] or scenario)
        if self._keeper is not None:
            with self._keeper.lock:
                self._keeper.ring.attributes = {
                    key: identity[key] for key in ("trial", "scenario", "instruction")
                } | {"checkpoint": name, "checkpoint_sha256": identity["checkpoint_sha256"]}
        if not self._values["shadow"]:
            try:
                self.policy.switch("enable", True)
            except RemoteError:
                self._reason = "the policy could not be enabled"
                self.decide("abort")
                raise
        shown = f"trial {identity['trial']} ({scenario}, {name}): {words}"
        self._say(shown)
        return shown

    def decide(self, outcome: str) -> str:
        """The operator's verdict on the running trial, or on one that was cut short.

        Raises:
            InputError: there is no trial to judge.
        """
        cause, self._reason = self._reason, ""
        with self._lock:
            session = self._session
            if session is not None:
                session.decide(outcome, cause, time.monotonic())
                return f"{session.identity['trial']}: {outcome}"
        if self._broken is not None:
            return self._close_broken(outcome, cause)
        raise TrialError("no trial is running")

    # the course of a trial

    def _tick(self) -> None:
        now = time.monotonic()
        if self._keeper is not None:
            self._keeper.poll(self._now())
        with self._lock:
            session = self._session
            if session is None or self._ending_trial:
                return
            phase = session.tick(now)
            asks = phase == "verdict" and not self._asked
            self._asked = phase == "verdict"
            self._ending_trial = phase == "over"
        if asks:
            self._say(f"{session.cause}: what is the verdict?")
            threading.Thread(target=self._stand, daemon=True).start()
        if phase == "over":
            threading.Thread(target=self._finish, args=(session,), daemon=True).start()

    def _stand(self) -> None:
        if self._values["shadow"]:
            return
        try:
            self.policy.switch("enable", False)
        except RemoteError as error:
            # It is not there any more: the guard sends zeros.
            self.get_logger().warning(str(error))

    def _finish(self, session: TrialSession) -> None:
        """Stops the robot, saves the episode, writes the line; runs in a thread of its own."""
        self._stand()
        more: dict[str, Any] = {}
        if self._values["record"]:
            try:
                self.recorder.set_parameters(outcome=session.outcome or "")
                said = self.recorder.trigger("save", timeout=60.0)
                more["episode"] = _saved_name(said)
            except RemoteError as error:
                self._say(f"the trial's episode is not complete: {error}")
        if self._values["shadow"]:
            more["agreement"] = self._agreement.summary()
        record = session.record(time.monotonic(), time.time(), **more)
        try:
            self._log.append(record)
            self._say(f"{record.trial}: {record.outcome} ({record.cause})")
        except TrialError as error:
            self._say(f"THE TRIAL IS NOT WRITTEN DOWN: {error}; free some space")
            self._retry(record)
        with self._lock:
            if record.number is not None and record.outcome != "abort":
                self._done.add(record.number)
            self._session = None
            self._planned = None
            self._ending_trial = False

    def _retry(self, record: TrialRecord) -> None:
        """A full disk may be emptied: the line is kept and tried again until it is written."""
        while rclpy.ok(context=self.context):
            time.sleep(2.0)
            try:
                self._log.append(record)
            except TrialError:
                continue
            self._say(f"{record.trial} is written down now")
            return

    def _close_broken(self, outcome: str, cause: str = "") -> str:
        beginning = self._broken or {}
        known = {
            key: beginning[key]
            for key in ("pair", "number", "note", "checkpoint_sha256")
            if key in beginning
        }
        record = TrialRecord(
            trial=str(beginning.get("trial", "unknown")),
            scenario=str(beginning.get("scenario", "")),
            instruction=str(beginning.get("instruction", "")),
            checkpoint=str(beginning.get("checkpoint", "")),
            outcome="interrupted" if outcome == "abort" else outcome,
            cause=cause or "the trial's program ended",
            started=float(beginning.get("started", 0.0)),
            ended=float(beginning.get("started", 0.0)),
            **known,
        )
        self._log.append(record)
        self._broken = None
        with self._lock:
            if record.counts and record.number is not None:
                self._done.add(record.number)
        sentence = f"{record.trial}: {record.outcome} (cut short)"
        self._say(sentence)
        return sentence

    # what trials need to know

    def _checkpoint_paths(self) -> dict[str, str]:
        if self._plan is None:
            return {}
        if not self._values["key"]:
            if self._plan.blind:
                raise TrialError("the plan is blind: give its key file, so that models can load")
            return dict(self._plan.checkpoints)
        try:
            text = Path(self._values["key"]).expanduser().read_text(encoding="utf-8")
            return dict(json.loads(text)["paths"])
        except OSError as error:
            raise TrialError(f"cannot read the key {self._values['key']}: {error.strerror}") from (
                error
            )
        except (ValueError, KeyError, TypeError) as error:
            raise TrialError(f"{self._values['key']} is not the key of a blind plan") from error

    def _next(self) -> PlannedTrial | None:
        if self._plan is None:
            return None
        return next((t for t in self._plan.trials if t.number not in self._done), None)

    def _checkpoint(self, planned: PlannedTrial | None) -> tuple[str, str]:
        """Name and path of the checkpoint to drive."""
        if planned is not None:
            return planned.checkpoint, self._paths[planned.checkpoint]
        path = self._text("checkpoint") or str(self.policy.parameter("checkpoint") or "")
        return Path(path).name, path

    def _load(self, path: str) -> None:
        if not path or path == self.policy.parameter("checkpoint"):
            return
        self._say(f"loading {'the next checkpoint' if self._plan else path}")
        self.policy.reconfigure(LOAD_SECONDS, checkpoint=path, enabled=False)

    def _hash(self, path: str) -> str:
        """SHA-256 of the checkpoint (of its weights file, for a directory); '' when not here."""
        target = Path(path)
        if target.is_dir():
            target = target / "model.safetensors"
        if path not in self._hashes:
            try:
                digest = hashlib.sha256()
                with target.open("rb") as file:
                    while block := file.read(1 << 22):
                        digest.update(block)
                self._hashes[path] = digest.hexdigest()
            except OSError:
                # The policy may run on another machine, with files of its own.
                self._hashes[path] = ""
        return self._hashes[path]

    def _text(self, name: str) -> str:
        return str(self.get_parameter(name).value)

    def _now(self) -> float:
        return self.get_clock().now().nanoseconds * 1e-9

    # what is said

    def _beat(self) -> None:
        held = True
        if self._operator is not None:
            when, pressed = self._operator
            held = pressed and time.monotonic() - when < 0.25
        self._heartbeat.publish(Bool(data=held))

    def _incident_said(self, sentence: str, bad: bool) -> None:
        (self.get_logger().error if bad else self.get_logger().info)(sentence)
        self._message = sentence

    def _say(self, sentence: str) -> None:
        self._message = sentence
        self.get_logger().info(sentence)
        self._publish_status()

    def _publish_status(self) -> None:
        self._status.publish(String(data=json.dumps(self.status(), ensure_ascii=False)))

    def status(self) -> dict[str, Any]:
        """What ``~/status`` carries, as JSON."""
        with self._lock:
            session, planned = self._session, self._next()
            return {
                "phase": session.phase if session is not None else "waiting",
                "trial": session.identity["trial"] if session is not None else None,
                "scenario": session.identity["scenario"] if session is not None else None,
                "elapsed": time.monotonic() - session.started if session is not None else 0.0,
                "interventions": session.interventions if session is not None else 0,
                "policy_state": self._state,
                "taken_over": self._taken,
                "next": None
                if planned is None
                else {
                    "number": planned.number,
                    "scenario": planned.scenario,
                    "pair": planned.pair,
                    "checkpoint": planned.checkpoint,
                },
                "done": len(self._done),
                "planned": len(self._plan.trials) if self._plan is not None else None,
                "broken": self._broken,
                "message": self._message,
            }

    def press(self, key: str) -> None:
        """A key in the terminal; may wait for other nodes, so not from the executor."""
        try:
            if key in ("\n", "\r"):
                self.start_trial()
            elif key in ("y", "n", "x"):
                self._say(self.decide({"y": "success", "n": "failure", "x": "abort"}[key]))
            elif key == "m" and self._keeper is not None:
                self._keeper.trigger("mark", self._now())
        except InputError as error:
            self._say(str(error))

    def close(self) -> None:
        """An orderly end: the robot stands, a running trial is interrupted and written down."""
        with self._lock:
            session = self._session
            if session is not None and session.phase != "over":
                session.decide("interrupted", "the trial manager was ended", time.monotonic())
            ending = self._ending_trial
        if session is not None and not ending:
            self._finish(session)
        if self._keeper is not None:
            self._keeper.close(self._now())
        self._log.close()


def main(args: list[str] | None = None) -> int:
    """Runs the node; returns its exit status (2: it cannot work with what it was given)."""
    init_without_signals(args)
    stop = StopSignal()
    try:
        node = TrialNode()
    except InputError as error:
        print(f"trial_manager: {error}", file=sys.stderr)
        rclpy.try_shutdown()
        return 2
    executor = MultiThreadedExecutor(num_threads=4)
    executor.add_node(node)
    spinning = threading.Thread(target=_spin, args=(executor,), daemon=True)
    spinning.start()
    terminal = None
    if node.get_parameter("keys").value:
        try:
            terminal = Terminal(node.press, stop.set)
            terminal.say(HELP)
        except TerminalError as error:
            node.get_logger().error(str(error))
    while not stop.wait(0.2) and spinning.is_alive():
        pass
    node.close()
    if terminal is not None:
        terminal.close()
    executor.shutdown(timeout_sec=1.0)
    node.destroy_node()
    rclpy.try_shutdown()
    return 0


def _spin(executor: MultiThreadedExecutor) -> None:
    try:
        executor.spin()
    except ExternalShutdownException:
        return


def _numbers_done(log: Path) -> set[int]:
    """Numbers of the plan's trials that the log has already (aborted ones are driven again)."""
    if not log.exists():
        return set()
    records, _ = read_trials(log)
    return {r.number for r in records if r.counts and r.number is not None}


def _saved_name(message: str) -> str | None:
    """The file name in the recorder's answer `saved <path>: ...`."""
    _, mark, rest = message.partition("saved ")
    return Path(rest.split(".h5", 1)[0] + ".h5").name if mark and ".h5" in rest else None


def _result(sentence: str | None):
    from rcl_interfaces.msg import SetParametersResult

    return SetParametersResult(successful=sentence is None, reason=sentence or "")


if __name__ == "__main__":
    sys.exit(main())
