"""Records episodes: camera frames with the commands that were in force when they were captured.

python -m mobile_vla_ros.nodes.recorder_node --ros-args -p scenario:=1box_left -p instruction:=...
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.task import Future
from std_msgs.msg import String
from std_srvs.srv import Trigger

from mobile_vla_ros.episodes.labelling import Labelling
from mobile_vla_ros.episodes.names import check_scenario
from mobile_vla_ros.episodes.plan import read_plan
from mobile_vla_ros.episodes.recorded_row import Label
from mobile_vla_ros.episodes.recording import IDLE, RECORDING, SAVING, RecordingSettings
from mobile_vla_ros.episodes.room import cost_of_raw, needed_bytes
from mobile_vla_ros.episodes.viewfinder import Sight
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.files import home_path
from mobile_vla_ros.nodes.recorder.camera import RecordedCamera
from mobile_vla_ros.nodes.recorder.clock import RecorderClock
from mobile_vla_ros.nodes.recorder.orders import EpisodeOrder
from mobile_vla_ros.nodes.recorder.parameters import ANSWERS, HEARS, PARAMETERS, TELLS, refusal
from mobile_vla_ros.nodes.recorder.robot import RecordedRobot
from mobile_vla_ros.nodes.recorder.session import EpisodeSession
from mobile_vla_ros.nodes.wiring.images import ImageFormat
from mobile_vla_ros.nodes.wiring.parameters import declare
from mobile_vla_ros.nodes.wiring.program import Program
from mobile_vla_ros.nodes.wiring.qos import latched
from mobile_vla_ros.nodes.wiring.rig import rig_of_settings
from mobile_vla_ros.nodes.wiring.running import Life, run_node
from mobile_vla_ros.rig import ATTRIBUTE, Rig

PROGRAM = Program(
    node="episode_recorder",
    module="recorder_node",
    about=__doc__ or "",
    parameters=PARAMETERS,
    hears=HEARS,
    tells=TELLS,
    answers=ANSWERS,
)
PUMP_PERIOD = 0.05
STATUS_PERIOD = 0.5
# The slots of compressed pictures: this many times one that was seen, and at least so many bytes.
COMPRESSED_ROOM = 4
LEAST_COMPRESSED = 1 << 20


class RecorderNode(Life, Node):
    """Adapter between the robot's topics, an `EpisodeSession`, and whoever asks for episodes."""

    def __init__(self, **options: Any) -> None:
        super().__init__("episode_recorder", **options)
        self._settings = declare(self, PARAMETERS)
        settings = self._settings
        self._message = "ready"
        self._directory = str(home_path(settings["directory"]))
        _make_folder(self._directory)
        plan = read_plan(home_path(settings["plan"])) if settings["plan"] else None
        if settings["scenario"]:
            check_scenario(settings["scenario"])
        self._labelling = Labelling(plan)
        self._status = self.create_publisher(String, "~/status", latched())
        self._session = EpisodeSession(
            self._directory,
            self._recording_settings(),
            queue_frames=settings["queue_frames"],
            order=self._order,
            labelling=self._labelling,
            future=lambda: Future(executor=self.executor),
            say=self._say,
            log=self.get_logger(),
        )
        self._even_time = RecorderClock(self, self._on_set_clock)
        self._robot = RecordedRobot(self, settings, self._session.recording, self._even_time)
        self._camera = RecordedCamera(
            self,
            settings,
            clock=self._even_time,
            take=self._on_frame,
            left_out=self._session.recording.leave_out,
            lost=self._session.recording.message_lost,
        )
        self.add_on_set_parameters_callback(self._on_parameters)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(PUMP_PERIOD, self._session.pump, clock=steady)
        self.create_timer(PUMP_PERIOD, self._watch_camera, clock=steady)
        self.create_timer(STATUS_PERIOD, self._publish_status, clock=steady)
        # A save waits for the disk without holding up the frames: its coroutine must not keep
        # the node's own callback group.
        waiting = ReentrantCallbackGroup()
        for name, callback in (
            ("~/start", self._on_start),
            ("~/save", self._on_save),
            ("~/discard", self._on_discard),
        ):
            self.create_service(Trigger, name, callback, callback_group=waiting)
        topic = self._camera.viewfinder.topic
        self.get_logger().info(f"ready to record {topic} into {self._directory}")

    # Requests

    async def _on_start(self, _request: Trigger.Request, response: Trigger.Response):
        session = self._session
        try:
            if session.recording.state == SAVING and session.ended is not None:
                await session.ended
            began = self._begin()
        except InputError as error:
            return self._refuse(response, error)
        fault = await began
        label = session.recording.label
        response.success = not fault
        response.message = fault or f"recording '{label.scenario}': {label.instruction}"
        if not fault:
            for warning in filter(None, (self._robot.silence(), self._cost())):
                self.get_logger().warning(warning)
                response.message += f" ({warning})"
        return response

    async def _on_save(self, _request: Trigger.Request, response: Trigger.Response):
        recording = self._session.recording
        try:
            if recording.state != SAVING:  # else it is saving itself at its length
                recording.save(outcome=self.get_parameter("outcome").value)
        except InputError as error:
            return self._refuse(response, self._session.explained(error))
        return await self._answer_when_ended(response)

    async def _on_discard(self, _request: Trigger.Request, response: Trigger.Response):
        try:
            self._session.recording.discard()
        except InputError as error:
            return self._refuse(response, error)
        return await self._answer_when_ended(response)

    def _refuse(self, response: Trigger.Response, error: InputError) -> Trigger.Response:
        self.get_logger().warning(str(error))
        response.success, response.message = False, str(error)
        return response

    async def _answer_when_ended(self, response: Trigger.Response) -> Trigger.Response:
        assert self._session.ended is not None
        response.success, response.message = await self._session.ended
        return response

    def _begin(self) -> Future:
        """Starts an episode if everything it needs is there.

        Raises:
            InputError: it is not; the sentence says what is missing.
        """
        self._session.check_free()
        label = self._labelling.choose(*self._wanted())
        by = self._even_time.settle()
        for hearer in (self._session.recording, self._camera.viewfinder, self._robot):
            hearer.shift(by)
        now = self._even_time.now()
        sight = self._camera.begin(now)
        slot = sight.size if sight.form else max(COMPRESSED_ROOM * sight.size, LEAST_COMPRESSED)
        return self._session.begin(label, self._recording_settings(), slot, now)

    def _cost(self) -> str:
        """What the episode that has begun costs, where another format would cost far less."""
        sight = self._camera.viewfinder.newest
        if sight is None or self._settings["image_format"] == "jpeg":
            return ""
        recording = self._session.recording
        return cost_of_raw(
            recording.settings,
            sight,
            camera_interval=recording.camera_interval,
            free_bytes=self._session.status()["disk_left_bytes"],
            missing=self._labelling.missing,
        )

    def _wanted(self) -> tuple[str, str]:
        """Scenario and instruction as they are set."""
        return self.get_parameter("scenario").value, self.get_parameter("instruction").value

    def _recording_settings(self) -> RecordingSettings:
        return RecordingSettings(
            mode=self._settings["mode"],
            rate=self._settings["rate"],
            episode_length=self.get_parameter("episode_length").value,
            action_axes=tuple(self._settings["action_axes"]),
        )

    def _order(self, episode: int, label: Label) -> EpisodeOrder:
        """What the writer process must know of an episode that begins."""
        sight = self._camera.viewfinder.newest
        assert sight is not None
        recording, given = self._session.recording, self._settings
        settings = recording.settings
        camera = {"topic": self._camera.viewfinder.topic, "id": given["camera_id"]}
        shape = None
        if sight.form is not None:
            width, height, encoding = sight.form
            shape = (height, width)
            camera |= {"width": width, "height": height, "encoding": encoding}
        else:
            camera["encoding"] = "compressed"
        jpeg = sight.form is None or given["image_format"] == "jpeg"
        interval = recording.camera_interval
        arguments = {
            "action_axes": settings.action_axes,
            "frame_period": given["frame_period"],
            "image_shape": shape,
            "image_format": "jpeg" if jpeg else "raw",
            "jpeg_quality": given["jpeg_quality"],
            "camera": camera,
            "odom": self._robot.odometry_comes,
            "takeovers": self._robot.guarded,
            "attributes": {
                "recording_mode": settings.mode,
                "recording_rate": float(settings.rate if settings.mode == "rate" else 0.0),
                "stamp_source": given["stamp_source"],
                ATTRIBUTE: self._rig(shape).to_json(),
                **self._robot.odometry_attributes(),
            },
        }
        return EpisodeOrder(
            episode,
            self._directory,
            label.scenario,
            label.instruction,
            needed_bytes(settings, sight, jpeg=jpeg, camera_interval=interval),
            arguments,
        )

    def _rig(self, shape: tuple[int, int] | None) -> Rig:
        height, width = shape or (None, None)
        named = self._settings["camera_id"] or self._camera.viewfinder.topic
        return rig_of_settings(
            self._settings, named, width, height, self._settings["exposure_mode"]
        )

    def _on_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        reason = refusal(changes, self._session.recording)
        return SetParametersResult(successful=not reason, reason=reason)

    def _on_frame(self, sight: Sight, form: ImageFormat | None, data: Any) -> None:
        if self._session.recording.state == RECORDING:
            change = self._camera.viewfinder.changed()
            if change:
                self._session.stop_early(change)
        self._session.recording.frame(sight.stamp, sight.received, (form, data))

    def _watch_camera(self) -> None:
        news = self._session.recording.watch(self._even_time.now())
        if news:
            self._message = news
            self.get_logger().error(news)
            self._publish_status()

    def _on_set_clock(self, step: float) -> None:
        news = f"the clock was set {'back' if step < 0 else 'ahead'} by {abs(step):.1f} s"
        if self._session.recording.state == RECORDING:
            news += " in mid-episode: its rows go on in the time from before"
            self._session.clock_set(step)
            self._message = news
        self.get_logger().warning(news)

    # What is said

    def _say(self, sentence: str) -> None:
        if sentence != self._message:
            self._message = sentence
            self.get_logger().info(sentence)
        self._publish_status()

    def _publish_status(self) -> None:
        self._robot.look()
        self._camera.look()
        self._status.publish(String(data=json.dumps(self.status(), ensure_ascii=False)))

    def status(self) -> dict[str, Any]:
        """What `~/status` carries, as JSON."""
        recording = self._session.recording
        label = recording.label
        if recording.state == IDLE:
            label = self._labelling.proposed(*self._wanted())
        # `ros2 topic echo` cuts a text after 128 characters: what matters stands first.
        return {
            "state": recording.state,
            "message": self._message,
            "scenario": label.scenario,
            "instruction": label.instruction,
            **self._session.status(),
            **self._labelling.status(),
            **self._camera.status(),
        }

    def close(self) -> None:
        """Finishes an episode in progress as not complete, and ends the writer process."""
        self._session.close()


def _make_folder(directory: str) -> None:
    try:
        Path(directory).mkdir(parents=True, exist_ok=True)
        allowed = os.access(directory, os.W_OK)
    except OSError as error:
        raise InputError(f"cannot write episodes to {directory}: {error.strerror}") from error
    if not allowed:
        raise InputError(f"cannot write episodes to {directory}: Permission denied")


def main(args: list[str] | None = None) -> int:
    """Runs the node; returns its exit status (2: it cannot work with what it was given)."""
    return run_node(PROGRAM, lambda _stop: RecorderNode(), args)


if __name__ == "__main__":
    sys.exit(main())
