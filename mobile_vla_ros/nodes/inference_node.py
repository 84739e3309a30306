"""Follows an instruction: camera images in, velocities out, the model in a process of its own.

    python -m mobile_vla_ros.nodes.inference_node --ros-args \
        -p checkpoint:=/path/to/checkpoint -p instruction:='go to the gray basket'

What is driven when is decided by `control.Pilot`; this file brings it frames, chunks, requests and
ticks, and publishes what it says. Threads, and what each may wait for:

    control     a fixed-rate loop on the steady clock: pilot.tick and publish. Waits for nothing.
    executor    ROS callbacks: images (check, copy once), services, parameters, lifecycle.
    worker      the other end of the model's process: chunks in, frames out.
    upkeep      once a second /diagnostics; looks at the graph for other publishers.
    overlay     draws while somebody looks; lets go of the interpreter while OpenCV works.

One lock, `_lock`, is held around every use of the pilot and around publishing velocities, so that
after a stop has been answered nothing but zeros can follow.
"""

from __future__ import annotations

import functools
import gc
import math
import pathlib
import sys
import threading
import time
import traceback

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from nav_msgs.msg import Path
from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import MultiDOFJointTrajectory

from mobile_vla_ros.control import ActionChunk
from mobile_vla_ros.control.caution import WarningLevels, early_warnings
from mobile_vla_ros.control.diagnostics import DriveDiagnostics, Gauge
from mobile_vla_ros.control.limiter import Limits
from mobile_vla_ros.control.pilot import (
    Command,
    Pilot,
    PilotSettings,
)
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.hub import is_uri
from mobile_vla_ros.nodes.inference.parameters import LIMITS, PARAMETERS, TIMES, WARNINGS
from mobile_vla_ros.nodes.inference.worker_client import WORKER_COMMAND, Frame, ModelWorker
from mobile_vla_ros.nodes.wiring.camera_subscription import CameraSubscription
from mobile_vla_ros.nodes.wiring.diagnostics import Percentiles, status_message
from mobile_vla_ros.nodes.wiring.feature_message import feature_message
from mobile_vla_ros.nodes.wiring.image_message import compressed_message
from mobile_vla_ros.nodes.wiring.images import (
    ImageError,
    ImageFormat,
    decode_compressed,
    fingerprint,
    image_format,
    to_rgb,
)
from mobile_vla_ros.nodes.wiring.parameters import declare, refusal
from mobile_vla_ros.nodes.wiring.program import VELOCITY, Program, Topic
from mobile_vla_ros.nodes.wiring.qos import latched, newest_only, queued
from mobile_vla_ros.nodes.wiring.running import FAILED, UNUSABLE, Life, StopSignal, run_node
from mobile_vla_ros.nodes.wiring.trajectory import (
    NANOSECONDS,
    chunk_message,
    nanoseconds_of,
    plan_message,
)
from mobile_vla_ros.nodes.wiring.velocity import VelocityPublisher, twist_of
from mobile_vla_ros.pictures import encode_jpeg
from mobile_vla_ros.states import (
    DRIVING,
    MODEL_FAILED,
    MODEL_TOO_SLOW,
    STOP_SERVICE,
    STOPPED,
    UNCONFIGURED,
    WARMING_UP,
)

FAREWELL_ZEROS = 3
ACKNOWLEDGE_SECONDS = 0.5
EXIT_SECONDS = 2.5
GRAPH_PERIOD = 0.2
DIAGNOSTICS_PERIOD = 1.0
OVERLAY_PERIOD = 0.1
# A first answer may include work that is done once per instruction.
FIRST_RESULT_FACTOR = 10.0
# A slow model is told from a hung one by this many times its usual step.
SLOW_MODEL_FACTOR = 3.0
MAX_INSTRUCTION = 2000
# Threads that compute hand the interpreter over after this long; the default is 5 ms.
SWITCH_INTERVAL = 0.0005
# Of the window's frames, until a policy says otherwise, s.
DEFAULT_PERIOD = 0.4

PROGRAM = Program(
    node="mobile_vla",
    module="inference_node",
    about=__doc__ or "",
    parameters=PARAMETERS,
    hears=(
        Topic("image", "sensor_msgs/Image", "the camera; image/compressed with image_transport"),
        Topic("~/instruction", "std_msgs/String", "what to do, in words; empty: stand"),
    ),
    tells=(
        Topic("cmd_vel", VELOCITY, "m/s and rad/s, at control_rate; not with dry_run"),
        Topic(
            "~/chunk",
            "trajectory_msgs/MultiDOFJointTrajectory",
            "the policy's own output, stamped when its newest frame was captured",
        ),
        Topic("~/plan", "nav_msgs/Path", "that chunk as a path in base_frame"),
        Topic("~/state", "std_msgs/String", "what it does, or why it stands; latched"),
        Topic("~/event", "std_msgs/String", "requests as they come, for incident files"),
        Topic("~/overlay/compressed", "sensor_msgs/CompressedImage", "what it sees and intends"),
        Topic("~/features", "sensor_msgs/Image", "the frame's feature, while somebody listens"),
        Topic("/diagnostics", "diagnostic_msgs/DiagnosticArray", "1 Hz"),
    ),
    answers=(
        Topic("~/enable", "std_srvs/SetBool", "whether it may drive; true ends a stop"),
        Topic("~/stop", "std_srvs/Trigger", "stops at once, until ~/enable true"),
        Topic("~/reset", "std_srvs/Trigger", "empties the window, leaves 'arrived'"),
        Topic("~/mark", "std_srvs/Trigger", "keeps the last seconds as an incident"),
    ),
)


class DriveError(InputError):
    """The node cannot be configured as asked."""


def _transition(step):
    """A lifecycle callback whose failure is a sentence in the log, where rclpy is silent."""

    @functools.wraps(step)
    def guarded(self, state):
        try:
            step(self)
        except InputError as error:
            self.problem = str(error)
            self.get_logger().error(self.problem)
            return TransitionCallbackReturn.FAILURE
        except Exception:  # noqa: BLE001  rclpy would swallow it without a word
            self.problem = f"{step.__name__} failed: {traceback.format_exc()}"
            self.get_logger().error(self.problem)
            return TransitionCallbackReturn.ERROR
        return TransitionCallbackReturn.SUCCESS

    return guarded


class InferenceNode(Life, LifecycleNode):
    """The lifecycle node `mobile_vla`.

    Args:
        stop: set when the process is to end; configuring gives up then.
        worker_command: program of the model's process.
        options: handed to rclpy's node.

    Raises:
        ParameterError: a parameter that cannot be.
    """

    def __init__(
        self,
        stop: StopSignal,
        worker_command: tuple[str, ...] = WORKER_COMMAND,
        **options,
    ) -> None:
        super().__init__("mobile_vla", **options)
        self._stop = stop
        self._declared = {parameter.name: parameter for parameter in PARAMETERS}
        self._values = declare(self, PARAMETERS)
        self.problem = ""

        self._lock = threading.Lock()
        self._pilot: Pilot | None = None
        self._state = ""
        self._loading = False
        # Of ~/stop, until ~/enable true: it outlives the pilot, and may come before there is one.
        self._stop_latched = False
        self._loaded = threading.Event()
        self._report: dict = {}
        self._refusal = ""
        self._worker = ModelWorker(self, worker_command)
        self._cmd_vel: VelocityPublisher | None = None
        self._camera: CameraSubscription | None = None
        self._transients: list = []
        self._others: list[str] = []
        self._reset_counts()

        self._state_publisher = self.create_publisher(String, "~/state", latched())
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", queued())
        self._events = self.create_publisher(String, "~/event", queued())
        self.create_subscription(String, "~/instruction", self._on_instruction, queued())
        self.create_service(SetBool, "~/enable", self._on_enable)
        self.create_service(Trigger, "~/stop", self._on_stop)
        self.create_service(Trigger, "~/reset", self._on_reset)
        self.create_service(Trigger, "~/mark", self._on_mark)
        self.add_on_set_parameters_callback(self._on_parameters)

        self._ending = threading.Event()
        self._threads = [
            threading.Thread(target=self._control, name="control", daemon=True),
            threading.Thread(target=self._keep_up, name="upkeep", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def _reset_counts(self) -> None:
        self._gauges = DriveDiagnostics(DEFAULT_PERIOD)
        self._tick_lateness = Gauge()
        self._callback_seconds = Percentiles()
        self._image_seconds = Percentiles()
        self._delay_seconds = Percentiles()
        self._frames = self._lost = self._bad_images = self._restarts = 0
        self._command: Command | None = None
        self._command_text = ""
        self._form: ImageFormat | None = None
        self._chunk: ActionChunk | None = None
        self._looking = False
        self._look: tuple | None = None

    # -- lifecycle ---------------------------------------------------------------------------

    @_transition
    def on_configure(self) -> None:
        self._values = {name: self._value(name) for name in self._declared}
        values = self._values
        if not values["checkpoint"]:
            raise DriveError("no checkpoint is given: set the parameter 'checkpoint' to its path")
        for name in ("checkpoint", "backbone", "config"):
            if not values[name] or is_uri(values[name]):
                continue  # what is on a hub is fetched by the worker, which says what is wrong
            if not pathlib.Path(values[name]).exists():
                raise DriveError(f"{name} '{values[name]}' does not exist")
        self._reset_counts()
        self._loaded.clear()
        self._refusal = ""
        self._loading = True
        self.get_logger().info(f"loading {values['checkpoint']}")
        try:
            self._worker.start(self._worker_settings())
            while not self._loaded.wait(0.1):
                if self._stop.is_set():
                    raise DriveError("told to end while the policy was loading")
            if self._refusal:
                raise DriveError(self._refusal)
            self._create_publishers()
            with self._lock:
                # What was asked for while it loaded is in the values; none comes in between.
                if self._refusal:
                    raise DriveError(self._refusal)
                pilot = self._make_pilot()
                self._gauges = DriveDiagnostics(self._report["policy"]["frame_period"])
                self._pilot = pilot
        except InputError:
            self._dismantle()
            raise
        finally:
            self._loading = False
        self._say_how_it_is()
        # What was made so far lives as long as the node: no later collection looks at it again.
        gc.collect()
        gc.freeze()

    def _make_pilot(self) -> Pilot:
        policy, values = self._report["policy"], self._values
        step = self._report["step_seconds"]
        times = {name: values[name] for name in TIMES}
        slow = SLOW_MODEL_FACTOR * step
        times["worker_timeout"] = max(times["worker_timeout"], slow)
        settings = PilotSettings(
            **times,
            first_result_timeout=FIRST_RESULT_FACTOR * times["worker_timeout"],
            limits=Limits(**{name: values[name] for name in LIMITS}),
        )
        pilot = Pilot(settings, tuple(policy["action_axes"]))
        now = time.monotonic()
        pilot.model_loading(now)
        pilot.model_ready(now)
        pilot.set_instruction(values["instruction"], now)
        if not values["enabled"]:
            pilot.enable(False, now)
        if self._stop_latched:
            pilot.stop(now)
        return pilot

    def _create_publishers(self) -> None:
        values = self._values
        if not values["dry_run"]:
            self._cmd_vel = VelocityPublisher(
                self, "cmd_vel", stamped=values["stamped"], frame=values["base_frame"]
            )
        create = self.create_publisher
        self._chunks = create(MultiDOFJointTrajectory, "~/chunk", queued())
        self._plans = create(Path, "~/plan", queued())
        self._overlays = create(CompressedImage, "~/overlay/compressed", newest_only())
        self._features = create(Image, "~/features", queued())
        self._transients = [self._chunks, self._plans, self._overlays, self._features]

    @_transition
    def on_activate(self) -> None:
        with self._lock:
            self._pilot.activate(time.monotonic())
        values = self._values
        self._camera = CameraSubscription(
            self,
            self._on_image,
            transport=values["image_transport"],
            reliability=values["image_reliability"],
            lost=self._on_lost,
        )

    @_transition
    def on_deactivate(self) -> None:
        self._halt()

    @_transition
    def on_cleanup(self) -> None:
        self._dismantle()

    @_transition
    def on_shutdown(self) -> None:
        self._halt()
        self._dismantle()

    @_transition
    def on_error(self) -> None:
        self._halt()
        self._dismantle()

    def _halt(self) -> None:
        """No more frames, then zeros that the base has confirmed."""
        if self._camera is not None:
            self._camera.destroy()
            self._camera = None
        with self._lock:
            if self._pilot is None:
                return
            self._pilot.deactivate(time.monotonic())
            if self._cmd_vel is not None:
                still = twist_of(self._pilot.axes, [0.0] * len(self._pilot.axes))
                for _ in range(FAREWELL_ZEROS):
                    self._cmd_vel.publish(still)
        if self._cmd_vel is not None and not self._cmd_vel.wait_for_all_acked(ACKNOWLEDGE_SECONDS):
            self.get_logger().warning("not every velocity subscriber has confirmed the stop")

    def _dismantle(self) -> None:
        self._worker.stop()
        with self._lock:
            self._pilot = None
            cmd_vel, self._cmd_vel = self._cmd_vel, None
            transients, self._transients = self._transients, []
        if cmd_vel is not None:
            cmd_vel.destroy()
        for publisher in transients:
            self.destroy_publisher(publisher)

    @property
    def alive(self) -> bool:
        """Whether every thread still does its work."""
        return self._worker.alive and all(thread.is_alive() for thread in self._threads)

    def work(self, stop: StopSignal) -> int:
        success = TransitionCallbackReturn.SUCCESS
        if self.get_parameter("autostart").value and not (
            self.trigger_configure() == success and self.trigger_activate() == success
        ):
            return 0 if stop.is_set() else UNUSABLE
        while not stop.wait(0.1):
            # Without one of its threads it cannot keep its promises: zeros, and an end seen.
            if not self.alive:
                return FAILED
        return 0

    def last_words(self) -> None:
        """A halt, then the end of worker and threads."""
        self._halt()
        self._ending.set()
        self._worker.close()
        for thread in self._threads:
            thread.join(0.5)

    # -- requests ----------------------------------------------------------------------------

    def _value(self, name: str):
        value = self.get_parameter(name).value
        return list(value) if isinstance(self._declared[name].default, list) else value

    def _on_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        sentence = refusal(self._declared, changes, self._pilot is not None or self._loading)
        if sentence is None:
            sentence = self._apply({change.name: change.value for change in changes})
        if sentence:
            return SetParametersResult(successful=False, reason=sentence)
        return SetParametersResult(successful=True)

    def _apply(self, changes: dict) -> str | None:
        """Lets live parameters take effect; returns why not, when they cannot."""
        instruction = changes.get("instruction")
        if instruction is not None and len(instruction) > MAX_INSTRUCTION:
            return f"an instruction of {len(instruction)} letters is too long"
        limits = {name: changes.get(name, self._values[name]) for name in LIMITS}
        try:
            checked = Limits(**limits)
        except InputError as error:
            return str(error)
        now = time.monotonic()
        with self._lock:
            self._values.update(changes)
            if changes.get("enabled"):
                self._stop_latched = False
            if self._pilot is None:
                return None
            if changes.keys() & set(LIMITS):
                self._pilot.update_limits(checked)
            if instruction is not None:
                self._pilot.set_instruction(instruction, now)
            if "enabled" in changes:
                self._pilot.enable(changes["enabled"], now)
                if not changes["enabled"]:
                    self._zero_at_once()
        for name in ("instruction", "enabled"):
            if name in changes:
                self._tell(f"{name}: {changes[name]}")
        return None

    def _set(self, name: str, value) -> SetParametersResult:
        return self.set_parameters([Parameter(name, value=value)])[0]

    def _on_instruction(self, message: String) -> None:
        result = self._set("instruction", message.data)
        if not result.successful:
            self.get_logger().warning(result.reason)

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response):
        result = self._set("enabled", request.data)
        response.success, response.message = result.successful, result.reason
        return response

    def _on_stop(self, _request, response: Trigger.Response):
        with self._lock:
            self._stop_latched = True
            if self._pilot is not None:
                self._pilot.stop(time.monotonic())
                self._zero_at_once()
        self._tell("stop")
        response.success = True
        response.message = "stopped until ~/enable true"
        return response

    def _zero_at_once(self) -> None:
        """Sends the zero of a hard stop before its request is answered; needs the lock.

        A gate behind this node holds the last velocity for a while: whoever was answered must not
        open it on one from before. Where the node has fallen silent, it stays so.
        """
        speaking = self._command is not None and self._command.velocities is not None
        if speaking and self._cmd_vel is not None and self._pilot is not None:
            axes = self._pilot.axes
            self._cmd_vel.publish(twist_of(axes, [0.0] * len(axes)))

    def _on_reset(self, _request, response: Trigger.Response):
        with self._lock:
            if self._pilot is not None:
                self._pilot.reset(time.monotonic())
        self._tell("reset")
        response.success = True
        return response

    def _on_mark(self, _request, response: Trigger.Response):
        self._tell("mark")
        listeners = self._events.get_subscription_count()
        response.success = listeners > 0
        response.message = (
            "marked" if listeners else "nobody keeps a ring: start trial_node or recorder_node"
        )
        return response

    def _tell(self, event: str) -> None:
        self._events.publish(String(data=event))

    # -- frames ------------------------------------------------------------------------------

    def _on_image(self, message) -> None:
        now = time.monotonic()
        self._frames += 1
        compressed = isinstance(message, CompressedImage)
        try:
            form = None if compressed else image_format(message)
        except ImageError as error:
            self._refuse_image(str(error))
            return
        if form != self._form:
            if self._form is not None and _words(form) != _words(self._form):
                self.get_logger().warning(
                    f"the camera changed from {_words(self._form)} to {_words(form)}: the policy"
                    " may see another picture than it was trained with"
                )
            self._form = form
        clock = self.get_clock().now().nanoseconds
        if self._values["stamp_source"] == "header":
            stamp = nanoseconds_of(message.header.stamp)
            stamp += round(self._values["clock_offset"] * NANOSECONDS)
        else:
            stamp = clock
        seconds = stamp / NANOSECONDS
        mark = fingerprint(message.data)
        with self._lock:
            pilot = self._pilot
            if pilot is None:
                return
            wanted = pilot.frame(seconds, mark, now, clock / NANOSECONDS)
            generation, instruction = pilot.generation, pilot.instruction
            self._gauges.frame(seconds, clock / NANOSECONDS - seconds)
        if wanted:
            frame = Frame(seconds, stamp, generation, instruction, form, now)
            self._worker.offer(frame, message.data)
        if self._looking:
            self._look = (form, message.data)
        self._callback_seconds.see(time.monotonic() - now)

    def _refuse_image(self, sentence: str) -> None:
        self._bad_images += 1
        self.get_logger().error(sentence, throttle_duration_sec=5.0)

    def _on_lost(self, count: int) -> None:
        self._lost += count

    # -- what the worker tells (its thread) --------------------------------------------------

    def _worker_settings(self) -> dict:
        values = self._values
        settings = {
            name: values[name]
            for name in ("checkpoint", "backbone", "config", "device", "dtype", "runtime")
        }
        settings.update(
            {name: values[name] for name in ("frame_period", "action_period", "max_gap")}
        )
        settings["action_axes"] = [axis for axis in values["action_axes"] if axis]
        return settings

    def worker_ready(self, report: dict) -> None:
        self._report = report
        self._loaded.set()
        with self._lock:
            if self._pilot is not None:
                self._pilot.model_ready(time.monotonic())
                self.get_logger().info("the model works again")

    def worker_refused(self, sentence: str) -> None:
        self._worker_ended(sentence)

    def worker_failed(self, sentence: str) -> None:
        self._worker_ended(sentence)

    def _worker_ended(self, sentence: str) -> None:
        self._refusal = sentence
        self._loaded.set()
        with self._lock:
            if self._pilot is not None:
                self._pilot.worker_fault(MODEL_FAILED, time.monotonic(), sentence)

    def frame_sent(self, frame: Frame) -> None:
        with self._lock:
            if self._pilot is not None:
                self._pilot.sent(frame.stamp, time.monotonic())

    def frame_refused(self, frame: Frame, sentence: str) -> None:
        self._refuse_image(sentence)
        with self._lock:
            if self._pilot is not None:
                self._pilot.skipped(frame.stamp, time.monotonic())

    def chunk_came(
        self, frame: Frame, chunk: ActionChunk, seconds: dict[str, float], more: dict
    ) -> None:
        now = time.monotonic()
        clock = self.get_clock().now().nanoseconds / NANOSECONDS
        with self._lock:
            if self._pilot is None or not self._pilot.result(chunk, now, clock):
                return
            chunks, plans, features = self._chunks, self._plans, self._features
            self._gauges.chunk(
                chunk.window_stamps,
                seconds["policy"],
                self._pilot.disagreement,
                more["feature_distance"],
            )
        self._chunk = chunk
        self._image_seconds.see(seconds["image"])
        self._delay_seconds.see(now - frame.received)
        frame_id = self._values["base_frame"]
        chunks.publish(chunk_message(chunk, frame.stamp_nanoseconds, frame_id))
        if more.get("feature") and features is not None:
            features.publish(feature_message(more["feature"], frame.stamp_nanoseconds))
        if plans.get_subscription_count():
            plans.publish(plan_message(chunk, frame.stamp_nanoseconds, frame_id))

    # -- the control thread ------------------------------------------------------------------

    def _control(self) -> None:
        period = 1 / self._values["control_rate"]
        due = time.monotonic() + period
        while not self._ending.wait(max(0.0, due - time.monotonic())):
            now = time.monotonic()
            self._tick_lateness.set(now - due)
            # After a stall no tick is made up for: the limiter must not run ahead.
            due = max(due + period, now)
            down = None
            with self._lock:
                if self._ending.is_set():
                    return
                pilot = self._pilot
                if pilot is None:
                    state = self._state_without_pilot()
                else:
                    clock = self.get_clock().now().nanoseconds / NANOSECONDS
                    command = pilot.tick(now, clock)
                    state = command.state
                    if command.velocities is not None and self._cmd_vel is not None:
                        self._cmd_vel.publish(twist_of(pilot.axes, command.velocities))
                    self._note(command)
                    # Faults that come thick are not met with more of the same.
                    down = None if pilot.latched else pilot.worker_down
                    if down:
                        pilot.model_loading(now)
            if down:
                self._restart_worker(down, pilot.detail)
            if state != self._state:
                self._say_state(state, "" if pilot is None else pilot.detail)

    def _state_without_pilot(self) -> str:
        if not self._loading:
            return UNCONFIGURED
        return STOPPED + STOP_SERVICE if self._stop_latched else WARMING_UP

    def _note(self, command: Command) -> None:
        self._command = command
        speed = 0.0
        if command.velocities is not None:
            pairs = zip(self._pilot.axes, command.velocities, strict=True)
            speed = math.hypot(*(v for axis, v in pairs if axis.startswith("linear")))
        self._gauges.command(command.command_age, command.remaining, speed, command.clamped)

    def _restart_worker(self, reason: str, detail: str) -> None:
        self._restarts += 1
        self.get_logger().error(f"{reason} ({detail}): the model's process is started anew")
        self._tell(f"worker restarted: {reason}")
        self._worker.start(self._worker_settings())

    def _say_state(self, state: str, detail: str) -> None:
        self._state = state
        self._state_publisher.publish(String(data=state))
        text = f"{state} ({detail})" if state.startswith(STOPPED) and detail else state
        if state.startswith(STOPPED):
            self.get_logger().warning(text)
        else:
            self.get_logger().info(text)

    # -- upkeep ------------------------------------------------------------------------------

    def _keep_up(self) -> None:
        overlay = threading.Thread(target=self._draw, name="overlay", daemon=True)
        overlay.start()
        due = time.monotonic() + DIAGNOSTICS_PERIOD
        while not self._ending.wait(GRAPH_PERIOD):
            self._look_around()
            if time.monotonic() >= due:
                due = max(due + DIAGNOSTICS_PERIOD, time.monotonic())
                self._publish_diagnostics()
        overlay.join(0.5)

    def _look_around(self) -> None:
        with self._lock:
            pilot, cmd_vel = self._pilot, self._cmd_vel
            overlays = self._overlays if pilot is not None else None
            features = self._features if pilot is not None else None
        self._looking = overlays is not None and overlays.get_subscription_count() > 0
        self._worker.features_wanted = (
            features is not None and features.get_subscription_count() > 0
        )
        if pilot is None or cmd_vel is None:
            self._others = []
            return
        mine = (self.get_name(), self.get_namespace())
        everyone = [
            (info.node_name, info.node_namespace)
            for info in self.get_publishers_info_by_topic(cmd_vel.topic_name)
        ]
        if mine in everyone:
            everyone.remove(mine)
        others = [f"{namespace.rstrip('/')}/{name}" for name, namespace in everyone]
        if others != self._others:
            self._others = others
            if others:
                self.get_logger().warning(
                    f"{', '.join(others)} publishes on {cmd_vel.topic_name} too"
                    + (": not driving" if self._values["exclusive"] else "")
                )
        if self._values["exclusive"]:
            with self._lock:
                pilot.taken_over(bool(others), time.monotonic())

    def _publish_diagnostics(self) -> None:
        stopped = self._state.startswith(STOPPED)
        values: dict[str, object] = {"state": self._state}
        values["stop_reason"] = self._state.removeprefix(STOPPED) if stopped else ""
        with self._lock:
            pilot = self._pilot
            gauges = self._gauges.read()
            encoder = self._gauges.encoder_percentiles()
            if pilot is not None:
                values["instruction"] = pilot.instruction
                values["enabled"] = pilot.enabled
                values["problems"] = ", ".join(pilot.problems)
                values["last_fault"] = pilot.detail
                values["generation"] = pilot.generation
        for name in ("clamps", "lost_frames"):
            values[name], values[f"{name}_new"] = gauges.pop(name)
        gauges["control_lateness"] = self._tick_lateness.read()
        for name, (now, worst) in gauges.items():
            values[name], values[f"{name}_worst"] = now, worst
        values["encoder_p50"], values["encoder_p99"] = encoder
        for name, percentiles in (
            ("image_callback", self._callback_seconds),
            ("image_decoding", self._image_seconds),
            ("frame_to_chunk", self._delay_seconds),
        ):
            values[f"{name}_p50"], values[f"{name}_p99"] = percentiles.at(50, 99)
        values["frames_received"] = self._frames
        values["frames_lost_by_dds"] = self._lost
        values["frames_skipped"] = self._worker.replaced
        values["bad_images"] = self._bad_images
        values["worker_restarts"] = self._restarts
        values["other_publishers"] = ", ".join(self._others)
        for name, value in self._report.get("policy", {}).items():
            values[name] = ", ".join(value) if isinstance(value, list) else value
        values["checkpoint"] = self._values["checkpoint"]
        confirmed = self._report.get("policy", {}).get("action_axes_confirmed", True)
        warnings = early_warnings(
            {name: worst for name, (_, worst) in gauges.items()},
            self._report.get("policy", {}).get("frame_period", DEFAULT_PERIOD),
            WarningLevels(**{name: self._values[f"warn_{name}"] for name in WARNINGS}),
        )
        values["warnings"] = "; ".join(warnings)
        level, summary = DiagnosticStatus.OK, self._state
        if warnings:
            level = DiagnosticStatus.WARN
            summary = "; ".join((summary, *warnings))
        if self._others or not confirmed:
            level = DiagnosticStatus.WARN
            summary += "; " + (
                "another publisher on cmd_vel" if self._others else "action_axes are a guess"
            )
        if stopped:
            level = DiagnosticStatus.ERROR
        name = f"{self.get_fully_qualified_name().lstrip('/')}: driving"
        self._diagnostics.publish(
            status_message(self.get_clock().now().to_msg(), name, level, summary, values)
        )

    def _draw(self) -> None:
        while not self._ending.wait(OVERLAY_PERIOD):
            look, self._look = self._look, None
            if look is None or not self._looking:
                continue
            from mobile_vla_ros.nodes.inference.overlay import draw_overlay

            form, data = look
            try:
                image = decode_compressed(data) if form is None else to_rgb(form, data)
            except ImageError:
                continue  # the worker says so
            command = self._command
            text = "no command"
            if command is not None and command.velocities is not None:
                text = "  ".join(f"{value:+.2f}" for value in command.velocities)
            with self._lock:
                pilot = self._pilot
            if pilot is None:
                continue
            chunk = self._chunk if self._state == DRIVING else None
            picture = draw_overlay(image, chunk, self._state, pilot.instruction, text)
            stamp, frame_id = self.get_clock().now().to_msg(), self._values["base_frame"]
            self._overlays.publish(compressed_message(encode_jpeg(picture), stamp, frame_id))

    def _say_how_it_is(self) -> None:
        """What a person should know before the robot moves."""
        log, policy, values = self.get_logger(), self._report["policy"], self._values
        step = self._report["step_seconds"]
        log.info(
            f"ready in {self._report['load_seconds']:.1f} s on {policy['device']}"
            f" ({policy['dtype']}): {step * 1000:.0f} ms per frame, window"
            f" {policy['window_size']} x {policy['frame_period']:g} s, chunk"
            f" {policy['chunk_size']} x {policy['action_period']:g} s of"
            f" {', '.join(policy['action_axes'])}"
        )
        horizon = policy["chunk_size"] * policy["action_period"]
        limit = min(horizon, values["chunk_timeout"])
        if step >= limit:
            log.error(
                f"the model takes {step:.2f} s per frame, but a command is valid for {limit:g} s:"
                f" it will be '{STOPPED}{MODEL_TOO_SLOW}' on this machine"
            )
        if not policy["action_axes_confirmed"]:
            log.warning(
                "the checkpoint does not say what its outputs are: taken as"
                f" {', '.join(policy['action_axes'])}; 'mobile_vla verify' tells which fit"
            )
        if values["dry_run"]:
            log.warning("dry_run: predictions only, no velocities are published")
        if not values["instruction"]:
            log.info(
                "it stands until it has an instruction: ros2 topic pub --once"
                f" {self.get_fully_qualified_name()}/instruction std_msgs/msg/String"
                " '{data: go to the gray basket}'"
            )


def _words(form: ImageFormat) -> str:
    return f"{form.width}x{form.height} {form.encoding}"


def main(args: list[str] | None = None, worker_command: tuple[str, ...] = WORKER_COMMAND) -> int:
    """Runs the node; returns its exit status (2: it cannot work with what it was given)."""
    sys.setswitchinterval(SWITCH_INTERVAL)
    # Whatever hangs at its end, the process ends in time.
    return run_node(
        PROGRAM, lambda stop: InferenceNode(stop, worker_command), args, end_within=EXIT_SECONDS
    )


if __name__ == "__main__":
    sys.exit(main())
