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
import math
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.task import Future
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Bool, String
from std_srvs.srv import SetBool, Trigger

from mobile_vla_ros.control.guard import ESTOP
from mobile_vla_ros.episodes.recording import RECORDING
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.nodes.trial.hearing import TrialEars
from mobile_vla_ros.nodes.trial.keeper import IncidentKeeper
from mobile_vla_ros.nodes.trial.parameters import PARAMETERS
from mobile_vla_ros.nodes.trial.stage import SAVE_SECONDS, TrialStage, sha256
from mobile_vla_ros.nodes.trial.start_view import StartViews
from mobile_vla_ros.nodes.wiring.parameters import declare, misspelt, refusal
from mobile_vla_ros.nodes.wiring.qos import latched, newest_only, queued
from mobile_vla_ros.nodes.wiring.remote import Remote, RemoteError
from mobile_vla_ros.nodes.wiring.running import StopSignal, init_without_signals
from mobile_vla_ros.nodes.wiring.terminal import Terminal, TerminalError
from mobile_vla_ros.states import ARRIVED, DRIVING, STOP_SERVICE, STOPPED, TAKEN_OVER
from mobile_vla_ros.trials.agreement import Agreement
from mobile_vla_ros.trials.book import TrialBook
from mobile_vla_ros.trials.plan import PlannedTrial, read_plan
from mobile_vla_ros.trials.record import TrialError, TrialRecord
from mobile_vla_ros.trials.session import TrialRules, TrialSession

# Each tick is a heartbeat too. The guard's timeout is 0.25 s: three of them may be late before it
# stops the robot.
TICK_PERIOD = 0.05
STATUS_PERIOD = 0.5
# Launch files wait about five seconds for a node before they kill it.
LAST_SAVE_SECONDS = 3.0
# A judge that knows better says so within this time after the policy believes it has arrived.
JUDGE_PATIENCE = 4.0
UNATTENDED_PAUSE = 0.1
# A program that trials depend on is gone when it has been silent for this long, s. The recorder
# speaks twice a second, the policy once, and velocities come all the time.
GONE_AFTER = 4.0
# The guard forgets a velocity after its timeout, 0.25 s: so long after the policy has been told to
# stand, a heartbeat wakes nothing from before.
SETTLE_SECONDS = 0.5
# How often it is said that the policy is missing, s.
ABSENT_SECONDS = 5.0
# A trial asked for before that is done waits for it this long, s.
SETTLE_PATIENCE = 10.0
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
        plan = read_plan(Path(values["plan"]).expanduser()) if values["plan"] else None
        self._book = TrialBook(self._directory / "trials.jsonl", plan, values["key"])
        self._lock = threading.RLock()
        self._reason = ""
        self._message = "ready"
        self._state = ""
        self._taken = False
        self._clamps: float | None = None
        self._operator: tuple[float, bool] | None = None
        self._ending_trial = False
        self._asked = False
        self._starting = threading.Lock()
        self._closing = threading.Event()
        self._simulated = bool(self.get_parameter("use_sim_time").value)
        self._began = 0.0
        self._recorder_heard = self._policy_heard = 0.0
        self._recorder_state = self._recorder_message = ""
        self._judge_ready = False
        self._judge_words = ""
        # A manager that was killed may have left the policy enabled. Its own heartbeat would set
        # the robot in motion then, so it comes only after the policy has been told to stand.
        self._settled = threading.Event()

        self._topics = MutuallyExclusiveCallbackGroup()
        self._requests = ReentrantCallbackGroup()
        self._answers = ReentrantCallbackGroup()

        def remote(name: str) -> Remote:
            return Remote(self, values[name], self._answers)

        self._stage = TrialStage(
            remote("policy"),
            remote("recorder") if values["record"] else None,
            remote("field") if values["field"] else None,
            self.get_logger().warning,
        )
        if values["unattended"] and not (values["field"] and plan):
            raise TrialError("unattended needs a field and a plan: nobody else can place a robot")
        self._keeper: IncidentKeeper | None = None
        if values["incidents"]:
            self._keeper = IncidentKeeper(
                self._directory / "incidents",
                self._incident_said,
                values["incident_before"],
                values["incident_after"],
            )
        self._starts = StartViews(self._directory / "starts")
        self.ears = TrialEars(
            self,
            lock=self._lock,
            keeper=self._keeper,
            now=self._now,
            steady=self._steady,
            pictured=self._show_start,
            policy=values["policy"],
            image_transport=values["image_transport"],
            shadow=values["shadow"],
        )
        self._listen()
        self._status = self.create_publisher(String, "~/status", latched())
        self._view = self.create_publisher(
            CompressedImage, "~/start_view/compressed", newest_only()
        )
        self._heartbeat = self.create_publisher(Bool, "deadman", newest_only())
        self.create_timer(
            STATUS_PERIOD,
            self._publish_status,
            clock=Clock(clock_type=ClockType.STEADY_TIME),
            callback_group=self._topics,
        )
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

    def _listen(self) -> None:
        values, group = self._values, self._topics

        def subscribe(kind: type, topic: str, callback: Callable, qos) -> None:
            self.create_subscription(kind, topic, callback, qos, callback_group=group)

        policy = values["policy"]
        subscribe(String, f"{policy}/state", self._hear_state, latched())
        subscribe(String, f"{policy}/event", self._hear_event, queued())
        subscribe(String, f"{values['guard']}/state", self._hear_guard, latched())
        subscribe(Bool, f"{values['guard']}/taken_over", self._hear_takeover, latched())
        if values["record"]:
            subscribe(String, f"{values['recorder']}/status", self._hear_recorder, latched())
        subscribe(DiagnosticArray, "/diagnostics", self._hear_diagnostics, queued())
        subscribe(String, "~/reason", self._hear_reason, queued())
        subscribe(Bool, "operator_deadman", self._hear_deadman, queued())
        self._judge = values["judge"] or (f"{values['field']}/outcome" if values["field"] else "")
        if self._judge:
            subscribe(String, self._judge, self._hear_judge, latched())

    # what is heard

    def _hear_state(self, message: String) -> None:
        now = self._steady()
        with self._lock:
            before, self._state = self._state, message.data
            if self.ears.session is not None:
                self.ears.session.hear_state(message.data, now)
        if self._keeper is None or before == message.data:
            return
        with self._keeper.lock:
            self._keeper.ring.add_event(self._now(), message.data)
        unordered = message.data.startswith(STOPPED) and message.data not in (
            STOPPED + STOP_SERVICE,
            STOPPED + TAKEN_OVER,
        )
        if unordered and before in (DRIVING, ARRIVED):
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
        if self._keeper is None:
            return
        if message.data == ESTOP:
            self._keeper.trigger("e-stop", self._now())
        else:
            with self._keeper.lock:
                self._keeper.ring.add_event(self._now(), f"guard: {message.data}")

    def _hear_takeover(self, message: Bool) -> None:
        taken = message.data
        with self._lock:
            started = taken and not self._taken
            self._taken = taken
            if self.ears.session is not None:
                self.ears.session.hear_takeover(taken, self._steady())
        if self._keeper is not None and started:
            self._keeper.trigger("takeover", self._now())

    def _hear_recorder(self, message: String) -> None:
        try:
            told = json.loads(message.data)
        except ValueError:
            return
        with self._lock:
            self._recorder_heard = time.monotonic()
            self._recorder_state = str(told.get("state", ""))
            self._recorder_message = str(told.get("error") or told.get("message", ""))

    def _hear_diagnostics(self, message: DiagnosticArray) -> None:
        mine = f"{self.resolve_topic_name(self._values['policy']).lstrip('/')}: driving"
        for status in message.status:
            if status.name != mine:
                continue
            self._policy_heard = time.monotonic()
            values = {item.key: item.value for item in status.values}
            try:
                clamps = float(values.get("clamps", "nan"))
            except ValueError:
                continue
            axes = tuple(part for part in values.get("action_axes", "").split(", ") if part)
            with self._lock:
                self.ears.axes = axes or self.ears.axes
                if self.ears.session is not None and self._clamps is not None:
                    self.ears.session.hear_clamps(max(0, int(clamps - self._clamps)))
                self._clamps = clamps if math.isfinite(clamps) else self._clamps

    def _show_start(self, message: Image | CompressedImage) -> None:
        """Between trials: where the robot is to stand, over what its camera sees."""
        with self._lock:
            waiting = self.ears.session is None
            planned = self._book.next()
        if waiting and self._view.get_subscription_count():
            pair = planned.pair if planned is not None else self._text("scenario")
            view = self._starts.compare(pair, message)
            if view is not None:
                self._view.publish(CompressedImage(format="jpeg", data=view))
        self._starts.newest = message

    def _hear_reason(self, message: String) -> None:
        self._reason = message.data

    def _hear_deadman(self, message: Bool) -> None:
        self._operator = (time.monotonic(), message.data)

    def _hear_judge(self, message: String) -> None:
        try:
            verdict = json.loads(message.data)
        except ValueError:
            return
        if not isinstance(verdict, dict):
            return
        now = self._steady()
        with self._lock:
            session = self.ears.session
            if not verdict.get("decided"):
                # Only what is decided after this is about the trial now running.
                self._judge_ready = True
                self._judge_words = str(verdict.get("missing", ""))
                return
            if session is None or session.phase == "over" or not self._judge_ready:
                return
            outcome = "success" if verdict.get("success") else "failure"
            session.decide(outcome, str(verdict.get("reason", "")), now)

    # requests

    async def _serve_start(self, _request, response: Trigger.Response) -> Trigger.Response:
        return await self._answer(response, self.start_trial)

    def _serve_verdict(self, outcome: str):
        async def serve(_request, response: Trigger.Response) -> Trigger.Response:
            return await self._answer(response, lambda: self.decide(outcome))

        return serve

    async def _answer(
        self, response: Trigger.Response, work: Callable[[], str]
    ) -> Trigger.Response:
        """Lets a thread do what may wait for other nodes; the executor goes on meanwhile."""
        done: Future = Future(executor=self.executor)

        def run() -> None:
            answer = (False, "it failed: see the log")
            try:
                answer = (True, work())
            except InputError as error:
                self._say(str(error))
                answer = (False, str(error))
            finally:
                done.set_result(answer)

        threading.Thread(target=run, daemon=True).start()
        response.success, response.message = await done
        return response

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
        if not self._starting.acquire(blocking=False):
            raise TrialError("a trial is just being started")
        try:
            # Otherwise the order to stand, given at the start, might stop this trial.
            if not self._settled.wait(SETTLE_PATIENCE):
                name = self._values["policy"]
                raise TrialError(f"{name} has not answered yet: is it running?")
            return self._start_trial()
        finally:
            self._starting.release()

    def _start_trial(self) -> str:
        with self._lock:
            if self.ears.session is not None:
                raise TrialError("a trial is running: give its verdict first")
            planned = self._book.next()
            self._judge_ready = False
        if self._book.plan is not None and planned is None:
            raise TrialError("every trial of the plan has been driven")
        if self._book.broken is not None:
            self._close_broken("interrupted")
        scenario = planned.scenario if planned is not None else self._text("scenario")
        words = planned.instruction if planned is not None else self._text("instruction")
        if not scenario or not words:
            raise TrialError("set the parameters scenario and instruction, or give a plan")
        name, path = self._checkpoint(planned)
        identity = {
            "trial": self._book.new_name(),
            "scenario": scenario,
            "instruction": words,
            "checkpoint": name,
            "pair": planned.pair if planned is not None else None,
            "number": planned.number if planned is not None else None,
            "note": self._text("note"),
            "shadow": self._values["shadow"],
        }
        stage = self._stage
        shown = "the next checkpoint" if planned is not None else path or "the checkpoint"
        stage.load(path, lambda: self._say(f"loading {shown}"))
        identity["checkpoint_sha256"] = stage.sha256(path)
        identity["files"] = stage.run_file()
        seed = self._values["field_seed"] + (planned.start if planned is not None else 0)
        if self._values["field"]:
            self._stand()
        stage.set_up_field(scenario, seed, lambda: self.ears.images)
        stage.start_recording(scenario, words)
        begun = False
        try:
            self._book.begin(identity)
            begun = True
            stage.policy.trigger("reset")
            stage.policy.set_parameters(instruction=words)
            self._begin_session(identity)
            if not self._values["shadow"]:
                stage.policy.switch("enable", True)
        except InputError:
            self._forsake(begun)
            raise
        shown = f"trial {identity['trial']} ({scenario}, {name}): {words}"
        self._say(shown)
        return shown

    def _begin_session(self, identity: dict[str, Any]) -> None:
        rules = TrialRules(
            time_limit=self._values["time_limit"],
            verdict_timeout=self._values["verdict_timeout"],
            arrival=self._values["arrival"],
            end_on_takeover=self._values["end_on_takeover"],
        )
        now = self._steady()
        self._began = time.monotonic()
        session = TrialSession(identity, rules, started=now, wall_start=time.time())
        session.hear_state(self._state, now)
        self._starts.keep(identity["pair"] or identity["scenario"])
        if self._keeper is not None:
            with self._keeper.lock:
                self._keeper.ring.attributes = {
                    key: identity[key]
                    for key in ("trial", "scenario", "instruction", "checkpoint")
                } | {"checkpoint_sha256": identity["checkpoint_sha256"]}
        with self._lock:
            self.ears.agreement = Agreement()
            self._reason = ""
            self.ears.session = session
            if self._taken:
                session.hear_takeover(True, now)

    def _forsake(self, begun: bool) -> None:
        """A trial that could not begin leaves nothing behind, and the robot stands."""
        with self._lock:
            self.ears.session = None
        self._stand()
        self._stage.discard_recording()
        if begun:
            self._book.forget_begun()

    def decide(self, outcome: str) -> str:
        """The operator's verdict on the running trial, or on one that was cut short.

        Raises:
            InputError: there is no trial to judge.
        """
        cause, self._reason = self._reason, ""
        with self._lock:
            session = self.ears.session
            if session is not None:
                session.decide(outcome, cause, self._steady())
                return f"{session.identity['trial']}: {outcome}"
        if self._book.broken is not None:
            return self._close_broken(outcome, cause)
        raise TrialError("no trial is running")

    # the course of a trial

    def _keep_ticking(self) -> None:
        while not self._closing.wait(TICK_PERIOD):
            self._tick()

    def _tick(self) -> None:
        self._beat()
        now = self._steady()
        if self._keeper is not None:
            self._keeper.poll(self._now())
        with self._lock:
            session = self.ears.session
            if session is None or self._ending_trial:
                return
            phase = session.tick(now)
            missing = self._missing(session, now) if phase == "running" else ""
            if missing:
                session.decide("abort", missing, now)
                phase = session.phase
            if self._judge and phase == "verdict" and session.waiting(now) > JUDGE_PATIENCE:
                words = f"{session.cause}, but {self._judge_words or 'the judge says nothing'}"
                session.decide("failure", words, now)
                phase = session.phase
            asks = phase == "verdict" and not self._asked
            self._asked = phase == "verdict"
            self._ending_trial = phase == "over"
        if asks:
            self._say(f"{session.cause}: what is the verdict?")
            threading.Thread(target=self._stand, daemon=True).start()
        if phase == "over":
            threading.Thread(target=self._finish, args=(session,), daemon=True).start()

    def _missing(self, session: TrialSession, now: float) -> str:
        """What has gone without which a trial means nothing; '' when all is there."""
        steady = time.monotonic()
        since = steady - self._began
        if self._values["record"] and since > GONE_AFTER:
            if steady - self._recorder_heard > GONE_AFTER:
                return "the recorder is gone"
            if self._recorder_state != RECORDING:
                return f"the recorder has stopped: {self._recorder_message}"
        if since > GONE_AFTER and steady - self._policy_heard > GONE_AFTER:
            return "the policy's program is gone"
        if self._state == DRIVING and session.silence(now) > GONE_AFTER:
            return "no velocities reach the base: is the guard running?"
        return ""

    def _stand(self) -> None:
        # In shadow mode the policy commands nobody, and goes on predicting.
        if not self._values["shadow"]:
            self._stage.stand()

    def _finish(self, session: TrialSession, patience: float = SAVE_SECONDS) -> None:
        """Stops the robot, saves the episode, writes the line; runs in a thread of its own."""
        self._stand()
        more: dict[str, Any] = {}
        try:
            saved = self._stage.save_recording(session.outcome or "", patience)
        except RemoteError as error:
            self._say(f"the trial's episode is not complete: {error}")
        else:
            if saved is not None:
                more["episode"] = saved.name
                files = session.identity.get("files", {})
                more["files"] = {**files, saved.name: sha256(saved)}
        if self._values["shadow"]:
            more["agreement"] = self.ears.agreement.summary()
        record = session.record(self._steady(), time.time(), **more)
        try:
            self._book.append(record)
        except TrialError as error:
            self._say(f"THE TRIAL IS NOT WRITTEN DOWN: {error}; free some space")
            self._retry(record)
        with self._lock:
            self.ears.session = None
            self._ending_trial = False
        self._say(f"{record.trial}: {record.outcome} ({record.cause})")

    def _retry(self, record: TrialRecord) -> None:
        """A full disk may be emptied: the line is kept and tried again until it is written."""
        while not self._closing.wait(2.0):
            try:
                self._book.append(record)
            except TrialError:
                continue
            self._say(f"{record.trial} is written down now")
            return

    def _close_broken(self, outcome: str, cause: str = "") -> str:
        record = self._book.close_broken(outcome, cause)
        sentence = f"{record.trial}: {record.outcome} (cut short)"
        self._say(sentence)
        return sentence

    # what trials need to know

    def _checkpoint(self, planned: PlannedTrial | None) -> tuple[str, str]:
        """Name and path of the checkpoint to drive."""
        if planned is not None:
            return planned.checkpoint, self._book.checkpoint(planned)
        path = self._text("checkpoint") or str(self._stage.policy.parameter("checkpoint") or "")
        return Path(path).name, path

    def _text(self, name: str) -> str:
        return str(self.get_parameter(name).value)

    def _now(self) -> float:
        return self.get_clock().now().nanoseconds * 1e-9

    def _steady(self) -> float:
        """What trials are timed with: it never jumps (a simulated clock does not either)."""
        return self._now() if self._simulated else time.monotonic()

    # what is said

    def settle(self) -> None:
        """Makes the policy stand, whoever enabled it before; then the heartbeat may begin.

        A policy that is not seen may only not have been discovered yet, and may be enabled: so
        nothing moves before one has answered.
        """
        policy = self._stage.policy
        warned = time.monotonic()
        while not (self._values["shadow"] or self._closing.is_set()):
            # An end must not wait for a policy that is not there.
            if not policy.offers(SetBool, "enable"):
                if time.monotonic() - warned > ABSENT_SECONDS:
                    warned = time.monotonic()
                    self.get_logger().warning(f"nothing moves yet: {policy.name} is not running")
                self._closing.wait(0.25)
                continue
            try:
                policy.switch("enable", False)
            except RemoteError as error:
                self.get_logger().warning(f"nothing moves yet: {error}")
                self._closing.wait(0.5)
            else:
                self._closing.wait(SETTLE_SECONDS)
                break
        self._settled.set()

    def drive_unattended(self) -> None:
        """Starts trial after trial until the plan is done; runs in a thread of its own."""
        while not self._closing.wait(UNATTENDED_PAUSE):
            with self._lock:
                busy, planned = self.ears.session is not None, self._book.next()
            if busy:
                continue
            if planned is None:
                self._say("every trial of the plan has been driven")
                return
            try:
                self.start_trial()
            except InputError as error:
                self._say(str(error))
                self._closing.wait(2.0)

    def _beat(self) -> None:
        held = self._settled.is_set()
        if self._operator is not None:
            when, pressed = self._operator
            held = held and pressed and time.monotonic() - when < 0.25
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
            session, planned = self.ears.session, self._book.next()
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
                "done": self._book.done,
                "planned": self._book.planned,
                "broken": self._book.broken,
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

    @property
    def alive(self) -> bool:
        """Whether it still watches and sends its heartbeat."""
        return self._ticking.is_alive()

    def close(self) -> None:
        """An orderly end: the robot stands, a running trial is interrupted and written down."""
        self._closing.set()
        self._ticking.join(1.0)
        with self._lock:
            session = self.ears.session
            if session is not None and session.phase != "over":
                session.decide("interrupted", "the trial manager was ended", self._steady())
            ending, self._ending_trial = self._ending_trial, True
        if session is not None and not ending:
            self._finish(session, LAST_SAVE_SECONDS)
        if self._keeper is not None:
            self._keeper.close(self._now())
        self._book.close()


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
    executors = [SingleThreadedExecutor(), SingleThreadedExecutor()]
    for executor, one in zip(executors, (node, node.ears), strict=True):
        executor.add_node(one)
    spinning = [
        threading.Thread(target=_spin, args=(executor,), daemon=True) for executor in executors
    ]
    for thread in spinning:
        thread.start()
    orders = [threading.Thread(target=node.settle, daemon=True)]
    if node.get_parameter("unattended").value:
        orders.append(threading.Thread(target=node.drive_unattended, daemon=True))
    for thread in orders:
        thread.start()
    terminal = None
    if node.get_parameter("keys").value:
        try:
            terminal = Terminal(node.press, stop.set)
            terminal.say(HELP)
        except TerminalError as error:
            node.get_logger().error(str(error))
    status = 0
    while not stop.wait(0.2):
        # Without one of its threads it keeps no promise: an end is seen, and the robot stands.
        if not (node.alive and all(thread.is_alive() for thread in spinning)):
            status = 1
            break
    node.close()
    if terminal is not None:
        terminal.close()
    for executor in executors:
        executor.shutdown(timeout_sec=1.0)
    # One that is still inside rclpy when Python ends takes the process down with an abort.
    for thread in (*orders, *spinning):
        thread.join(1.0)
    node.ears.destroy_node()
    node.destroy_node()
    rclpy.try_shutdown()
    return status


def _spin(executor: SingleThreadedExecutor) -> None:
    try:
        executor.spin()
    except ExternalShutdownException:
        return


def _result(sentence: str | None):
    from rcl_interfaces.msg import SetParametersResult

    return SetParametersResult(successful=sentence is None, reason=sentence or "")


if __name__ == "__main__":
    sys.exit(main())
