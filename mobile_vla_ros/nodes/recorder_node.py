"""Records episodes: camera frames with the commands that were in force when they were captured.

python -m mobile_vla_ros.nodes.recorder_node --ros-args -p scenario:=1box_left -p instruction:=...
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from geometry_msgs.msg import Twist, TwistStamped
from nav_msgs.msg import Odometry
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.task import Future
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger

from mobile_vla_ros.axes import AXES, PLANAR_AXES
from mobile_vla_ros.episodes.names import check_scenario
from mobile_vla_ros.episodes.plan import CollectionPlan, read_plan
from mobile_vla_ros.episodes.recording import (
    IDLE,
    MODES,
    RECORDING,
    SAVING,
    Label,
    Recording,
    RecordingError,
    RecordingSettings,
    SenderClock,
)
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.nodes.recorder.disk import Disk
from mobile_vla_ros.nodes.recorder.orders import (
    Began,
    DiskReport,
    Ended,
    EpisodeOrder,
    Recovered,
    Wrote,
)
from mobile_vla_ros.nodes.wiring.camera_subscription import CameraSubscription
from mobile_vla_ros.nodes.wiring.images import ImageError, ImageFormat, image_format
from mobile_vla_ros.nodes.wiring.parameters import Declared, declare, misspelt
from mobile_vla_ros.nodes.wiring.qos import latched, offered_reliability, queued
from mobile_vla_ros.nodes.wiring.running import StopSignal, init_without_signals
from mobile_vla_ros.nodes.wiring.velocity import VelocitySubscription, velocities_of

PARAMETERS = (
    Declared("directory", "~/episodes", "folder that episodes are written to; made when missing"),
    Declared(
        "scenario",
        "",
        "name of what is recorded, e.g. 1box_left; '' = what the plan proposes",
        live=True,
    ),
    Declared(
        "instruction",
        "",
        "what the robot is told in these episodes; '' = what the plan says for the scenario",
        live=True,
    ),
    Declared("plan", "", "collection plan (YAML) with targets and instructions; '' = none"),
    Declared(
        "mode",
        "rate",
        "which frames become rows: rate = nearest to a fixed rate, frame = all of them,"
        " key_press = one at each press of a driving key",
        options=MODES,
    ),
    Declared("rate", 10.0, "rows per second in mode rate, Hz", 0.1, 240.0),
    Declared(
        "episode_length",
        0,
        "rows after which an episode is saved by itself; 0 = until saved",
        0,
        10_000_000,
        live=True,
    ),
    Declared("outcome", "", "written into the next saved file, e.g. success", live=True),
    Declared(
        "image_format",
        "raw",
        "raw = pixels as they came, jpeg = about a ninth of the bytes; a compressed topic is"
        " stored as it came",
        options=("raw", "jpeg"),
    ),
    Declared("jpeg_quality", 90, "of image_format jpeg, 1 to 100", 1, 100),
    Declared(
        "action_axes",
        list(PLANAR_AXES),
        f"velocities that a row carries, in column order; of {', '.join(AXES)}",
    ),
    Declared(
        "frame_period",
        0.4,
        "spacing at which a policy trained on these episodes takes frames, s; noted in the file",
        0.001,
        60.0,
    ),
    Declared(
        "guard",
        "cmd_vel_guard",
        "name of the guard node, whose takeovers are marked in the rows; '' = none",
    ),
    Declared("odom", True, "keep odometry when the topic has some at the start of an episode"),
    Declared("image_transport", "raw", "raw or compressed", options=("raw", "compressed")),
    Declared(
        "image_reliability",
        "auto",
        "auto = as the camera offers",
        options=("auto", "reliable", "best_effort"),
    ),
    Declared(
        "stamp_source",
        "header",
        "capture time: header = the camera's stamp, receipt = when the frame arrived",
        options=("header", "receipt"),
    ),
    Declared("clock_offset", 0.0, "added to the camera's stamps, s", -1e9, 1e9),
    Declared("camera_id", "", "names the camera or its calibration in the file"),
    Declared(
        "queue_frames",
        60,
        "frames that may wait for the disk; each takes an image of memory",
        2,
        10_000,
    ),
)
IMAGE_QUEUE = 30
COMMAND_QUEUE = 100
PUMP_PERIOD = 0.05
STATUS_PERIOD = 0.5
# Older than this at the start of an episode: the camera is not there, or on another clock.
STALE_FRAME = 1.0
# A stamp this far ahead of its arrival is from another clock as well.
FUTURE_FRAME = 0.1
# Room asked for at the start when no length is given: this many seconds of rows.
UNLIMITED_SECONDS = 120.0
# One row per press and hold time in key-press mode.
PRESSES_PER_SECOND = 2.5
# Bytes of a JPEG by those of its pixels, on the safe side.
JPEG_SHARE = 0.25
COMPRESSED_ROOM = 4
SAVE_SECONDS = 30.0
# A writer process that ends this soon after its start, this often, will not work at all.
SHORT_LIFE = 5.0
RESTARTS = 3


class Durations:
    """The last 32,768 durations (18 minutes at 30 frames/s) in constant memory."""

    def __init__(self, size: int = 32768) -> None:
        self._values = np.zeros(size)
        self._count = 0
        self._longest = 0.0

    def add(self, seconds: float) -> None:
        self._values[self._count % len(self._values)] = seconds
        self._count += 1
        self._longest = max(self._longest, seconds)

    def summary(self) -> dict[str, float]:
        """p50, p99 of the last ones and the longest of all, in ms."""
        if not self._count:
            return {"p50": 0.0, "p99": 0.0, "max": 0.0}
        p50, p99 = np.percentile(self._values[: self._count], [50, 99]) * 1e3
        return {
            "p50": round(float(p50), 3),
            "p99": round(float(p99), 3),
            "max": round(self._longest * 1e3, 3),
        }


class RecorderNode(Node):
    """Adapter between the robot's topics, a `Recording`, and the process that writes."""

    def __init__(self, **options: Any) -> None:
        super().__init__("episode_recorder", **options)
        self._settings = declare(self, PARAMETERS)
        for name in misspelt(self):
            self.get_logger().warning(f"there is no parameter '{name}'")
        settings = self._settings
        self._directory = str(Path(settings["directory"]).expanduser())
        _make_folder(self._directory)
        self._plan: CollectionPlan | None = (
            read_plan(Path(settings["plan"]).expanduser()) if settings["plan"] else None
        )
        if settings["scenario"]:
            check_scenario(settings["scenario"])
        self._axes = tuple(settings["action_axes"])
        self._disk = Disk(self._order, settings["queue_frames"])
        self._recording = Recording(self._recording_settings(), self._disk)
        self._arrived: deque[tuple[Any, float, tuple[float, float]]] = deque()
        self._newest: tuple[float, float, ImageFormat | None, int] | None = None
        self._episode_form: tuple[int, int, str] | None = None
        self._last_command: tuple[float, ...] | None = None
        self._odom_at: float | None = None
        self._guard_heard = False
        self._free_bytes = 0
        self._finished: dict[str, int] = {}
        self._writer_bytes = 0
        self._path = ""
        self._message = "ready"
        self._error = ""
        self._began: Future | None = None
        self._ended: Future | None = None
        # The first includes what other processes took from this one, the second does not.
        self._callback_times = Durations()
        self._callback_cpu = Durations()
        self._write_times = Durations()
        self._save_seconds = 0.0
        self._row_bytes = 0.0
        self._teleop_keys = False
        self._bad_image = ""
        self._deaths = 0
        self._sender_clock = SenderClock()

        self._disk.recover(self._directory)
        self.add_on_set_parameters_callback(self._check_parameters)
        self._velocity: VelocitySubscription | None = None
        self._velocity_reliability = ReliabilityPolicy.RELIABLE
        self._listen_to_commands()
        if settings["mode"] == "key_press":
            self.create_subscription(TwistStamped, "teleop_key", self._heard_key, queued())
        if settings["odom"]:
            # Best effort hears every publisher; a reliable subscription would miss some.
            profile = QoSProfile(depth=COMMAND_QUEUE, reliability=ReliabilityPolicy.BEST_EFFORT)
            self.create_subscription(Odometry, "odom", self._heard_odometry, profile)
        if settings["guard"]:
            self.create_subscription(
                Bool, f"{settings['guard']}/taken_over", self._heard_takeover, latched()
            )
        self._camera = CameraSubscription(
            self,
            self._heard_image,
            topic="image",
            transport=settings["image_transport"],
            reliability=settings["image_reliability"],
            depth=IMAGE_QUEUE,
            lost=self._recording_lost,
        )
        # Frames are paired one round later than they arrive: by then every command that arrived
        # before them has been heard, in whatever order the executor went about it.
        self._pairing = self.create_guard_condition(self._pair)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._status = self.create_publisher(String, "~/status", latched())
        self.create_timer(PUMP_PERIOD, self._pump, clock=steady)
        self.create_timer(STATUS_PERIOD, self._publish_status, clock=steady)
        # A save waits for the disk without holding up the frames: its coroutine must not keep
        # the node's own callback group.
        waiting = ReentrantCallbackGroup()
        for name, callback in (
            ("~/start", self._serve_start),
            ("~/save", self._serve_save),
            ("~/discard", self._serve_discard),
        ):
            self.create_service(Trigger, name, callback, callback_group=waiting)
        self.get_logger().info(f"ready to record {self._camera.topic_name} into {self._directory}")

    # Requests

    async def _serve_start(self, _request: Trigger.Request, response: Trigger.Response):
        try:
            if self._recording.state == SAVING and self._ended is not None:
                await self._ended
            label = self._begin()
        except InputError as error:
            return self._refuse(response, error)
        began = self._began
        assert began is not None
        error = await began
        response.success = not error
        response.message = error or f"recording '{label.scenario}': {label.instruction}"
        topic = self.resolve_topic_name("cmd_vel")
        if not error and not self.count_publishers(topic):
            warning = f"nobody publishes {topic} yet: until then rows say that the robot stands"
            self.get_logger().warning(warning)
            response.message += f" ({warning})"
        return response

    async def _serve_save(self, _request: Trigger.Request, response: Trigger.Response):
        try:
            if self._recording.state != SAVING:  # else it is saving itself at its length
                self._recording.save(outcome=self.get_parameter("outcome").value)
        except InputError as error:
            return self._refuse(response, error)
        return await self._answer_when_ended(response)

    async def _serve_discard(self, _request: Trigger.Request, response: Trigger.Response):
        try:
            self._recording.discard()
        except InputError as error:
            return self._refuse(response, error)
        return await self._answer_when_ended(response)

    def _refuse(self, response: Trigger.Response, error: InputError) -> Trigger.Response:
        self.get_logger().warning(str(error))
        response.success, response.message = False, str(error)
        return response

    async def _answer_when_ended(self, response: Trigger.Response) -> Trigger.Response:
        assert self._ended is not None
        response.success, response.message = await self._ended
        return response

    def _begin(self) -> Label:
        """Starts an episode if everything it needs is there.

        Raises:
            InputError: it is not; the sentence says what is missing.
        """
        if self._recording.state == RECORDING:
            raise RecordingError("an episode is being recorded: save or discard it first")
        label = self._label()
        now = self._now()
        if self._newest is None:
            raise RecordingError(f"no image has arrived on {self._camera.topic_name}")
        stamp, received, form, size = self._newest
        if self._bad_image:
            raise RecordingError(self._bad_image)
        if now - received > STALE_FRAME:
            raise RecordingError(
                f"the last image on {self._camera.topic_name} came {now - received:.1f} s ago:"
                " is the camera running?"
            )
        if not -FUTURE_FRAME <= received - stamp <= STALE_FRAME:
            raise RecordingError(
                f"the camera's stamps are {received - stamp:.2f} s behind this machine's clock, so"
                " commands cannot be matched to frames: synchronise the clocks, or set"
                " clock_offset or stamp_source:=receipt"
            )
        self._disk.make_room(size if form else max(COMPRESSED_ROOM * size, 1 << 20))
        self._recording.settings = self._recording_settings()
        self._episode_form = self._form_of(form)
        self._path, self._error = "", ""
        self._began, self._ended = self._future(), self._future()
        self._recording.start(label, now)
        return label

    def _label(self) -> Label:
        scenario = self.get_parameter("scenario").value
        instruction = self.get_parameter("instruction").value
        if not scenario and self._plan is not None:
            proposed = self._plan.propose(self._finished)
            if proposed is None:
                raise RecordingError(
                    "every target of the plan is reached: set the parameter scenario for more"
                )
            scenario = proposed.name
        if not scenario:
            raise RecordingError(
                "set the parameter scenario first, e.g. 1box_left, or give a plan"
            )
        check_scenario(scenario)
        if not instruction and self._plan is not None:
            instruction = self._plan.instruction(scenario)
        if not instruction:
            raise RecordingError(
                f"set the parameter instruction first: what is the robot told in '{scenario}'?"
            )
        return Label(scenario, instruction)

    def _order(self, episode: int, label: Label) -> EpisodeOrder:
        assert self._newest is not None
        _, _, form, size = self._newest
        settings = self._recording.settings
        camera = {"topic": self._camera.topic_name, "id": self._settings["camera_id"]}
        jpeg = form is None or self._settings["image_format"] == "jpeg"
        if form is not None:
            camera |= {"width": form.width, "height": form.height, "encoding": form.encoding}
            row_bytes = form.width * form.height * 3 * (JPEG_SHARE if jpeg else 1)
        else:
            camera["encoding"] = "compressed"
            row_bytes = 1.5 * size
        rows = settings.episode_length or UNLIMITED_SECONDS * self._rows_per_second()
        arguments = {
            "action_axes": self._axes,
            "frame_period": self._settings["frame_period"],
            "image_shape": (form.height, form.width) if form is not None else None,
            "image_format": "jpeg" if jpeg else "raw",
            "jpeg_quality": self._settings["jpeg_quality"],
            "camera": camera,
            "odom": self._odom_at is not None and self._now() - self._odom_at < STALE_FRAME,
            "takeovers": self._guard_heard,
            "attributes": {
                "recording_mode": settings.mode,
                "recording_rate": float(settings.rate if settings.mode == "rate" else 0.0),
                "stamp_source": self._settings["stamp_source"],
            },
        }
        return EpisodeOrder(
            episode,
            self._directory,
            label.scenario,
            label.instruction,
            int(rows * row_bytes),
            arguments,
        )

    def _rows_per_second(self) -> float:
        mode = self._settings["mode"]
        if mode == "rate":
            return self._settings["rate"]
        if mode == "key_press":
            return PRESSES_PER_SECOND
        return 1.0 / self._recording.camera_interval if self._recording.camera_interval else 30.0

    def _recording_settings(self) -> RecordingSettings:
        return RecordingSettings(
            mode=self._settings["mode"],
            rate=self._settings["rate"],
            episode_length=self.get_parameter("episode_length").value,
            action_axes=self._axes,
        )

    def _check_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        declared = {parameter.name: parameter for parameter in PARAMETERS}
        for change in changes:
            parameter = declared.get(change.name)
            if parameter is None:
                continue
            sentence = parameter.problem(change.value)
            if not parameter.live:
                sentence = f"parameter {change.name} is read at the start: restart the recorder"
            elif change.name != "outcome" and self._recording.state != IDLE:
                # What is in the file's head must be true of every row below it.
                sentence = (
                    f"an episode of '{self._recording.label.scenario}' is being recorded: save or"
                    f" discard it before changing {change.name}"
                )
            elif change.name == "scenario" and change.value:
                try:
                    check_scenario(change.value)
                except InputError as error:
                    sentence = str(error)
            if sentence:
                return SetParametersResult(successful=False, reason=sentence)
        return SetParametersResult(successful=True)

    # What comes from the robot

    def _listen_to_commands(self) -> None:
        """Subscribes to the commands with the reliability that their publishers offer."""
        topic = self.resolve_topic_name("cmd_vel")
        offered = offered_reliability(self, topic) or self._velocity_reliability
        if self._velocity is not None:
            if offered == self._velocity_reliability:
                return
            self._velocity.destroy()
        self._velocity_reliability = offered
        self._velocity = VelocitySubscription(
            self,
            "cmd_vel",
            self._heard_command,
            with_info=True,
            qos=QoSProfile(depth=COMMAND_QUEUE, reliability=offered),
        )

    def _heard_image(self, message: Image | CompressedImage, info: Any) -> None:
        begin, busy = time.perf_counter(), time.thread_time()
        received = self._received(info)
        self._pairing.trigger()
        spent = (time.perf_counter() - begin, time.thread_time() - busy)
        self._arrived.append((message, received, spent))

    def _pair(self) -> None:
        while self._arrived:
            message, received, spent = self._arrived.popleft()
            begin, busy = time.perf_counter(), time.thread_time()
            self._take(message, received)
            self._callback_times.add(spent[0] + time.perf_counter() - begin)
            self._callback_cpu.add(spent[1] + time.thread_time() - busy)

    def _take(self, message: Image | CompressedImage, received: float) -> None:
        stamp = received
        if self._settings["stamp_source"] == "header":
            header = message.header.stamp
            stamp = header.sec + header.nanosec * 1e-9 + self._settings["clock_offset"]
        form = None
        if isinstance(message, Image):
            try:
                form = image_format(message)
            except ImageError as error:
                if not self._bad_image:
                    self.get_logger().error(str(error))
                self._bad_image = str(error)
                return
        self._bad_image = ""
        self._newest = (stamp, received, form, len(message.data))
        if self._recording.state == RECORDING and self._form_of(form) != self._episode_form:
            self._stop_early(
                f"the camera changed from {self._episode_form} to {self._form_of(form)} in"
                " mid-episode"
            )
        self._recording.frame(stamp, received, (form, message.data))

    def _heard_command(self, twist: Twist, info: Any) -> None:
        velocities = velocities_of(twist, AXES)
        when = self._sent(info)
        self._recording.command(when, velocities)
        if (
            self._settings["mode"] == "key_press"
            and not self._teleop_keys
            and velocities != self._last_command
            and any(velocities)
        ):
            # Another teleop program: the start of a new command is the press of its key.
            self._recording.press(when, velocities)
        self._last_command = velocities

    def _heard_key(self, message: TwistStamped, info: Any) -> None:
        self._recording.press(self._sent(info), velocities_of(message.twist, AXES))

    def _heard_odometry(self, message: Odometry) -> None:
        stamp = message.header.stamp
        pose, twist = message.pose.pose, message.twist.twist
        turn = pose.orientation
        yaw = math.atan2(2 * (turn.w * turn.z + turn.x * turn.y), 1 - 2 * (turn.y**2 + turn.z**2))
        self._odom_at = self._now()
        self._recording.odometry(
            stamp.sec + stamp.nanosec * 1e-9,
            [
                pose.position.x,
                pose.position.y,
                yaw,
                twist.linear.x,
                twist.linear.y,
                twist.angular.z,
            ],
        )

    def _heard_takeover(self, message: Bool) -> None:
        self._guard_heard = True
        self._recording.takeover(self._now(), message.data)

    def _recording_lost(self, count: int) -> None:
        self._recording.message_lost(count)

    def _received(self, info: Any) -> float:
        """When a message arrived, on the node's clock, s."""
        now = self._now()
        arrived = info["received_timestamp"] * 1e-9
        # The middleware stamps with the system's clock; a simulated clock is another one, and
        # not every middleware stamps at all.
        return arrived if 0.0 <= now - arrived < 10.0 else now

    def _sent(self, info: Any) -> float:
        """When a command was given, on the node's clock, s."""
        received = self._received(info)
        if received != info["received_timestamp"] * 1e-9:
            return received  # on a simulated clock, or unstamped
        return self._sender_clock.time(info["source_timestamp"] * 1e-9, received)

    def _now(self) -> float:
        return self.get_clock().now().nanoseconds * 1e-9

    @staticmethod
    def _form_of(form: ImageFormat | None) -> tuple[int, int, str] | None:
        return (form.width, form.height, form.encoding) if form is not None else None

    # The writer process

    def _pump(self) -> None:
        try:
            answers = self._disk.answers()
        except EOFError:
            self._writer_died()
            return
        for answer in answers:
            self._hear(answer)

    def _hear(self, answer: Any) -> None:
        if isinstance(answer, Wrote):
            self._write_times.add(answer.seconds)
            if answer.rows:
                self._recording.written(answer.episode, answer.rows)
        elif isinstance(answer, Began):
            self._path = answer.path
            self._say(f"recording {Path(answer.path).name}")
            self._settle(self._began, "")
        elif isinstance(answer, Ended):
            self._episode_ended(answer)
        elif isinstance(answer, Recovered):
            self.get_logger().warning(answer.sentence)
            self._say(answer.sentence)
        elif isinstance(answer, DiskReport):
            self._free_bytes, self._finished = answer.free_bytes, answer.episodes
            self._writer_bytes = answer.resident_bytes

    def _episode_ended(self, answer: Ended) -> None:
        self._recording.written(answer.episode, answer.rows)
        lost = self._recording.counts.lost
        self._recording.ended(answer.episode)
        if not answer.path:
            sentence = answer.error or "discarded"
        else:
            self._save_seconds = answer.seconds
            self._row_bytes = answer.size / answer.rows
            self._path = answer.path
            sentence = (
                f"{'; '.join(filter(None, [answer.error, f'saved {answer.path}']))}: {answer.rows}"
                f" rows, counted again in the file; {answer.dropped} dropped, {lost} lost"
            )
        self._error = answer.error
        if answer.error:
            self.get_logger().error(sentence)
        self._say(sentence)
        self._settle(self._began, answer.error or "the episode has ended already")
        self._settle(self._ended, (not answer.error, sentence))

    def _stop_early(self, reason: str) -> None:
        self.get_logger().error(f"recording stopped: {reason}")
        self._recording.save(complete=False)

    def _writer_died(self) -> None:
        """Starts a new writer process, which finishes what the old one left."""
        sentence = "the writer process has ended unexpectedly: the episode so far is recovered"
        self.get_logger().error(sentence)
        self._error = sentence
        short_lived = time.monotonic() - self._disk.started < SHORT_LIFE
        self._deaths = self._deaths + 1 if short_lived else 1
        if self._deaths > RESTARTS:
            raise RuntimeError("the writer process ends as soon as it starts: see its error above")
        self._disk.close()
        self._disk = Disk(self._order, self._settings["queue_frames"])
        self._recording.sink = self._disk
        self._recording.ended(self._recording.episode)
        self._disk.recover(self._directory)
        self._say(sentence)
        self._settle(self._began, sentence)
        self._settle(self._ended, (False, sentence))

    def _future(self) -> Future:
        return Future(executor=self.executor)

    def _settle(self, future: Future | None, result: Any) -> None:
        if future is not None and not future.done():
            future.set_result(result)

    # What is said

    def _say(self, sentence: str) -> None:
        if sentence != self._message:
            self._message = sentence
            self.get_logger().info(sentence)
        self._publish_status()

    def _publish_status(self) -> None:
        self._listen_to_commands()
        self._teleop_keys = self.count_publishers("teleop_key") > 0
        self._status.publish(String(data=json.dumps(self.status(), ensure_ascii=False)))

    def status(self) -> dict[str, Any]:
        """What `~/status` carries, as JSON."""
        recording, counts = self._recording, self._recording.counts
        scenario = self.get_parameter("scenario").value
        proposed = self._plan.propose(self._finished) if self._plan is not None else None
        if recording.state == IDLE:
            name = scenario or (proposed.name if proposed else "")
            planned = self._plan.instruction(name) if self._plan is not None else ""
            label = Label(name, self.get_parameter("instruction").value or planned)
        else:
            label = recording.label
        progress = (
            [vars(entry) for entry in self._plan.progress(self._finished)]
            if self._plan is not None
            else [{"name": n, "done": d, "target": 0} for n, d in sorted(self._finished.items())]
        )
        sides = {
            side: sum(n for name, n in self._finished.items() if side in name.split("_"))
            for side in ("left", "right")
        }
        return {
            "state": recording.state,
            "scenario": label.scenario,
            "instruction": label.instruction,
            "episode": Path(self._path).name,
            "path": self._path,
            "frames": recording.accepted,
            "frames_received": counts.received,
            "frames_written": counts.written,
            "frames_dropped": counts.dropped,
            "frames_lost": counts.lost,
            "queued": self._disk.queued,
            "longest_queue": self._disk.longest_queue,
            "episode_length": recording.settings.episode_length,
            "disk_left_bytes": self._free_bytes,
            "progress": progress,
            "left": sides["left"],
            "right": sides["right"],
            "next": proposed.name if proposed else "",
            "message": self._message,
            "error": self._error,
            "callback_ms": self._callback_times.summary(),
            "callback_cpu_ms": self._callback_cpu.summary(),
            "write_ms": self._write_times.summary(),
            "save_seconds": round(self._save_seconds, 3),
            "row_bytes": round(self._row_bytes),
            "writer_process": self._disk.process_id,
            "writer_resident_bytes": self._writer_bytes,
        }

    def close(self) -> None:
        """Finishes an episode in progress as not complete, and ends the writer process."""
        if self._recording.state == RECORDING:
            self.get_logger().warning("told to stop while recording: the episode is finished")
            self._recording.save(complete=False)
        end = time.monotonic() + SAVE_SECONDS
        while self._recording.state == SAVING and time.monotonic() < end:
            try:
                for answer in self._disk.answers(wait=0.1):
                    self._hear(answer)
            except EOFError:
                break
        if not self._disk.close():
            self.get_logger().warning("the writer process is still at work: leave it running")


def _make_folder(directory: str) -> None:
    try:
        Path(directory).mkdir(parents=True, exist_ok=True)
        allowed = os.access(directory, os.W_OK)
    except OSError as error:
        raise InputError(f"cannot write episodes to {directory}: {error.strerror}") from error
    if not allowed:
        raise InputError(f"cannot write episodes to {directory}: Permission denied")


def main(args: list[str] | None = None) -> int:
    init_without_signals(args)
    stop = StopSignal()
    executor = SingleThreadedExecutor()
    try:
        node = RecorderNode()
    except InputError as error:
        print(f"episode_recorder: {error}", file=sys.stderr)
        rclpy.try_shutdown()
        return 2
    executor.add_node(node)
    try:
        while not stop.is_set():
            executor.spin_once(timeout_sec=0.1)
        return 0
    finally:
        node.close()
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    sys.exit(main())
