"""The simulated field as a robot: hears `cmd_vel`, shows `image`, tells `odom` and `~/outcome`.

python -m mobile_vla_ros.nodes.sim_node --ros-args -p scenario:=2box_right_far -p seed:=7
"""

from __future__ import annotations

import json
import math
import queue
import sys
import threading
import time
from collections import deque
from dataclasses import asdict
from pathlib import Path

from builtin_interfaces.msg import Time
from geometry_msgs.msg import Twist
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from std_msgs.msg import String
from std_srvs.srv import Trigger

from mobile_vla_ros.axes import PLANAR_AXES
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.files import write_json
from mobile_vla_ros.nodes.wiring.image_message import image_message
from mobile_vla_ros.nodes.wiring.parameters import (
    Declared,
    ParameterError,
    declare,
    refusal,
)
from mobile_vla_ros.nodes.wiring.program import VELOCITY, Program, Topic
from mobile_vla_ros.nodes.wiring.qos import latched, queued
from mobile_vla_ros.nodes.wiring.running import Life, StopSignal, run_node
from mobile_vla_ros.nodes.wiring.velocity import VelocitySubscription, velocities_of
from mobile_vla_ros.planar import quaternion_of
from mobile_vla_ros.sim.camera import CameraSettings
from mobile_vla_ros.sim.course import Course
from mobile_vla_ros.sim.engine import require_mujoco
from mobile_vla_ros.sim.evaluate import Evaluation, evaluation_plan
from mobile_vla_ros.sim.field import Field
from mobile_vla_ros.sim.outcome import REACHED, TIMED_OUT
from mobile_vla_ros.sim.robot import Odometry as WheelOdometry
from mobile_vla_ros.sim.scenario import parse_scenario
from mobile_vla_ros.sim.window import FieldWindow
from mobile_vla_ros.states import WAITING_FOR_INSTRUCTION

_CAMERA = CameraSettings()
PARAMETERS = (
    Declared(
        "scenario",
        "1box_left",
        "1box_left, 1box_right, 2box_left or 2box_right, if wanted with _close, _medium or _far;"
        " several with commas between are driven in turn; ~/reset sets the field up anew",
        live=True,
    ),
    Declared("seed", 0, "decides where things stand and how they look", 0, 2**31, live=True),
    Declared("camera_rate", 10.0, "frames/s", 0.5, 60.0),
    Declared("odom_rate", 20.0, "odometry messages/s", 1.0, 100.0),
    Declared("width", _CAMERA.width, "pixels", 16, 1920),
    Declared("height", _CAMERA.height, "pixels", 16, 1080),
    Declared("camera_height", _CAMERA.mount_height, "m above the floor", 0.1, 2.0),
    Declared("tilt", _CAMERA.tilt, "camera tilt downwards, degrees", -45.0, 80.0),
    Declared("field_of_view", _CAMERA.field_of_view, "horizontal, degrees", 20.0, 140.0),
    Declared("shadows", False, "shadow maps: four times slower without a graphics card"),
    Declared(
        "real_time_factor",
        1.0,
        "simulated seconds per second; other than 1 needs publish_clock",
        0.05,
        20.0,
    ),
    Declared("publish_clock", False, "publish /clock and stamp with it, for use_sim_time"),
    Declared("time_limit", 30.0, "s after which a run has failed", 1.0, 3600.0),
    Declared(
        "latency",
        0.0,
        "seconds by which frames come late (their stamps stay true), as a slow model's answers",
        0.0,
        2.0,
    ),
    Declared("window", False, "show the field in a window; needs a display"),
    Declared("announce", False, "give the scenario's instruction to whoever drives"),
    Declared(
        "episodes", 0, "evaluate the driving node on so many fields, then end; 0 = off", 0, 100000
    ),
    Declared("report", "", "JSON file for the evaluation's result"),
    Declared("plot", "", "figure of the evaluation's paths from above"),
    Declared("base_frame", "base_link", "child frame of odom"),
    Declared("odom_frame", "odom", "frame of odom"),
    Declared("frame_id", "camera", "frame of the images"),
)
PROGRAM = Program(
    node="sim",
    module="sim_node",
    about=__doc__ or "",
    parameters=PARAMETERS,
    hears=(
        Topic("cmd_vel", VELOCITY, "what the robot is to do, m/s and rad/s"),
        Topic("state", "std_msgs/String", "of whoever drives (mobile_vla/state)"),
    ),
    tells=(
        Topic("image", "sensor_msgs/Image", "rgb8, what the robot's camera sees"),
        Topic("odom", "nav_msgs/Odometry", "of the wheels, m and rad"),
        Topic("~/outcome", "std_msgs/String", "JSON: scenario, how the run stands"),
        Topic("instruction", "std_msgs/String", "with announce or episodes: what to do"),
        Topic("/clock", "rosgraph_msgs/Clock", "with publish_clock: simulated time"),
    ),
    answers=(Topic("~/reset", "std_srvs/Trigger", "sets the field up anew"),),
)
LIVE = {parameter.name: parameter for parameter in PARAMETERS}
STEP = 0.01  # s between two looks at the clock
# What the machine falls behind by more than this is not made up for: the robot would leap.
MOST_CATCH_UP = 0.25  # s
OUTCOME_PERIOD = 0.5  # s
ANNOUNCE_PERIOD = 2.0  # s
RESET_TIMEOUT = 20.0  # s


class SimNode(Life, Node):
    """Runs a field in a thread of its own (physics and graphics), in step with the clock."""

    def __init__(self, **options) -> None:
        super().__init__("sim", **options)
        require_mujoco()
        self._settings = declare(self, PARAMETERS)
        settings = self._settings
        if settings["real_time_factor"] != 1.0 and not settings["publish_clock"]:
            raise ParameterError(
                f"real_time_factor {settings['real_time_factor']:g} needs publish_clock:=true, and"
                " use_sim_time:=true at whoever drives"
            )
        self._scenarios = _names(settings["scenario"])
        self._course: Course | None = None
        if settings["episodes"]:
            self._course = Course(
                evaluation_plan(self._scenarios, settings["episodes"], settings["seed"])
            )
            for name in ("report", "plot"):
                if not settings[name]:
                    continue
                settings[name] = str(Path(settings[name]).expanduser())
                folder = Path(settings[name]).absolute().parent
                if not folder.is_dir():
                    raise ParameterError(f"{name}: the folder {folder} does not exist")
        self._camera = CameraSettings(
            width=settings["width"],
            height=settings["height"],
            mount_height=settings["camera_height"],
            tilt=settings["tilt"],
            field_of_view=settings["field_of_view"],
            shadows=settings["shadows"],
        )
        self._images = self.create_publisher(Image, "image", queued(5))
        self._odometry = self.create_publisher(Odometry, "odom", queued(10))
        self._outcomes = self.create_publisher(String, "~/outcome", latched())
        self._instructions = self.create_publisher(String, "instruction", queued(1))
        self._clocks = (
            self.create_publisher(Clock, "/clock", queued(1))
            if settings["publish_clock"]
            else None
        )
        self._commands: queue.SimpleQueue[tuple[float, float, float]] = queue.SimpleQueue()
        self._velocity = VelocitySubscription(self, "cmd_vel", self._heard_velocity)
        self.create_subscription(String, "state", self._heard_state, latched())
        self._driver_state = ""
        self._resets: queue.SimpleQueue[_Reset] = queue.SimpleQueue()
        self.create_service(Trigger, "~/reset", self._reset)
        self.add_on_set_parameters_callback(self._changing)
        self._stopping = threading.Event()
        self._failure = ""
        self._thread = threading.Thread(target=self._run, name="field", daemon=True)

    def work(self, stop: StopSignal) -> int:
        """Runs until told to stop, or until an evaluation is over.

        Returns:
            exit status: 1 when the field could not run.
        """
        self._thread.start()
        while not stop.wait(0.05) and self._thread.is_alive():
            pass
        self._stopping.set()
        self._thread.join(5.0)
        if self._failure:
            self.get_logger().error(self._failure)
        return 1 if self._failure else 0

    # -- callbacks, in the main thread -----------------------------------------------------

    def _heard_velocity(self, twist: Twist) -> None:
        vx, vy, wz = velocities_of(twist, PLANAR_AXES)
        if not (math.isfinite(vx) and math.isfinite(vy) and math.isfinite(wz)):
            self.get_logger().error(
                f"cmd_vel carries {vx} m/s, {vy} m/s, {wz} rad/s: ignored",
                throttle_duration_sec=1.0,
            )
            return
        self._commands.put((vx, vy, wz))

    def _heard_state(self, message: String) -> None:
        self._driver_state = message.data

    def _changing(self, changes):
        from rcl_interfaces.msg import SetParametersResult

        sentence = refusal(LIVE, changes, configured=True)
        for change in changes:
            if sentence is None and change.name == "scenario":
                try:
                    _names(change.value)
                except InputError as error:
                    sentence = str(error)
        return SetParametersResult(successful=sentence is None, reason=sentence or "")

    def _reset(self, _request, response):
        if self._course is not None:
            response.message = "an evaluation is under way"
            return response
        scenario = _names(self.get_parameter("scenario").value)[0]
        reset = _Reset(scenario, int(self.get_parameter("seed").value))
        self._resets.put(reset)
        response.success = reset.done.wait(RESET_TIMEOUT)
        response.message = (
            f"{scenario}, seed {reset.seed}: {parse_scenario(scenario).instruction}"
            if response.success
            else "the field did not answer"
        )
        return response

    # -- the field's thread ----------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._simulate()
        except InputError as error:
            self._failure = str(error)

    def _simulate(self) -> None:
        settings = self._settings
        self._told_decided = False
        self._past = 0.0  # simulated seconds of the fields before this one
        self._window: FieldWindow | None = None
        self._field = self._new_field(self._scenarios[0], settings["seed"])
        try:
            factor = settings["real_time_factor"]
            self._last = time.monotonic()
            frame_due = odom_due = outcome_due = announce_due = self._last
            late: deque[tuple[float, Image]] = deque()
            while not self._stopping.is_set():
                self._take_resets()
                now = time.monotonic()
                elapsed = now - self._last
                if elapsed > MOST_CATCH_UP:
                    self.get_logger().warning(
                        f"the field fell {elapsed:.2f} s behind: the machine is too busy for it",
                        throttle_duration_sec=10.0,
                    )
                self._last = now
                self._apply_commands()
                self._field.advance(min(elapsed, MOST_CATCH_UP) * factor)
                if self._waiting_to_move and self._field.outcome().decided:
                    self._field.begin()  # standing and waiting is no run that could time out
                if self._clocks is not None:
                    self._clocks.publish(Clock(clock=self._stamp()))
                if now >= frame_due:
                    frame_due = max(frame_due + 1 / settings["camera_rate"] / factor, now)
                    late.append((now + settings["latency"], self._frame()))
                    if self._window is not None:
                        self._window.show()
                while late and now >= late[0][0]:
                    self._images.publish(late.popleft()[1])
                if now >= odom_due:
                    odom_due = max(odom_due + 1 / settings["odom_rate"] / factor, now)
                    self._publish_odometry()
                    if self._course is not None and self._follow_course(now):
                        return
                if now >= outcome_due or self._field.outcome().decided != self._told_decided:
                    outcome_due = now + OUTCOME_PERIOD
                    self._publish_outcome()
                waits = self._driver_state == WAITING_FOR_INSTRUCTION
                if settings["announce"] and self._course is None and waits and now >= announce_due:
                    announce_due = now + ANNOUNCE_PERIOD
                    self._say(self._field.instruction)
                self._stopping.wait(max(0.0, STEP - (time.monotonic() - now)))
        finally:
            if self._window is not None:
                self._window.close()
            self._field.close()

    def _new_field(self, scenario: str, seed: int) -> Field:
        field = Field(scenario, seed, self._camera, self._settings["time_limit"])
        field.render()  # the graphics context takes its time now, not at the first frame
        self.get_logger().info(f"field: {scenario}, seed {seed}: {field.instruction}")
        self._waiting_to_move = self._course is None
        if self._settings["window"]:
            if self._window is not None:
                self._window.close()
            self._window = FieldWindow(field)
        return field

    def _take_resets(self) -> None:
        while not self._resets.empty():
            reset = self._resets.get()
            self._set_up(reset.scenario, reset.seed)
            reset.done.set()

    def _set_up(self, scenario: str, seed: int) -> None:
        self._past += self._field.time
        self._field.close()
        self._field = self._new_field(scenario, seed)
        while not self._commands.empty():
            self._commands.get()
        self._last = time.monotonic()  # building a field takes no simulated time
        self._publish_outcome()

    def _apply_commands(self) -> None:
        command = None
        while not self._commands.empty():
            command = self._commands.get()
        if command is None:
            return
        if self._waiting_to_move and any(command):
            # The clock of a run starts with the robot, however long the model took to load.
            self._field.begin()
            self._waiting_to_move = False
        self._field.command(*command)

    def _follow_course(self, now: float) -> bool:
        """Does what the evaluation asks for; True at its end."""
        assert self._course is not None
        order = self._course.update(
            now, self._driver_state, self._field.outcome(), self._field.pose
        )
        if order.say is not None:
            self._say(order.say)
            if order.say == "" and self._course.runs:
                self._publish_outcome()
        if order.field is not None:
            self._set_up(*order.field)
        if order.begin:
            self._field.begin()
        if order.conclude:
            self._field.conclude()
        if order.done:
            self._finish_course()
        return order.done

    def _finish_course(self) -> None:
        assert self._course is not None
        result = Evaluation(tuple(self._course.runs))
        summary = result.summary()
        low, high = summary["wilson"]
        self.get_logger().info(
            f"{summary['successes']} of {summary['episodes']} reached the bottle "
            f"(95 %: {100 * low:.0f} to {100 * high:.0f} %)"
        )
        if self._settings["plot"]:
            from mobile_vla_ros.sim.pathplot import draw_paths

            draw_paths(result.runs, self._settings["plot"])
        if self._settings["report"]:
            report = self._settings["report"]
            try:
                write_json(report, summary, indent=2)
            except OSError as error:
                raise InputError(f"cannot write {report}: {error.strerror}") from error

    # -- messages --------------------------------------------------------------------------

    def _say(self, text: str) -> None:
        self._instructions.publish(String(data=text))

    def _stamp(self) -> Time:
        if self._clocks is None:
            return self.get_clock().now().to_msg()
        seconds = self._past + self._field.time
        whole = int(seconds)
        return Time(sec=whole, nanosec=int((seconds - whole) * 1e9))

    def _frame(self) -> Image:
        stamp = self._stamp()
        frame = self._field.render()
        return image_message(frame, stamp, self._settings["frame_id"])

    def _publish_odometry(self) -> None:
        odom: WheelOdometry = self._field.odom
        message = Odometry()
        message.header.stamp = self._stamp()
        message.header.frame_id = self._settings["odom_frame"]
        message.child_frame_id = self._settings["base_frame"]
        turn = message.pose.pose.orientation
        message.pose.pose.position.x = odom.x
        message.pose.pose.position.y = odom.y
        *_, turn.z, turn.w = quaternion_of(odom.yaw)
        message.twist.twist.linear.x = odom.vx
        message.twist.twist.linear.y = odom.vy
        message.twist.twist.angular.z = odom.wz
        self._odometry.publish(message)

    def _publish_outcome(self) -> None:
        field = self._field
        told = {
            "scenario": field.scenario.name,
            "seed": field.seed,
            "instruction": field.instruction,
            "decided": field.outcome().decided,
            **asdict(field.outcome()),
            "missing": _what_is_missing(field),
            "pose": field.pose,
        }
        self._told_decided = told["decided"]
        self._outcomes.publish(String(data=json.dumps(told)))


def _what_is_missing(field: Field) -> str:
    """Why the run would be no success if it ended now; "" when it would be one."""
    reason = field.if_ended()
    if reason == REACHED:
        return ""
    return f"{field.outcome().distance:.1f} m from the bottle" if reason == TIMED_OUT else reason


class _Reset:
    """A request from the main thread to the field's."""

    def __init__(self, scenario: str, seed: int) -> None:
        self.scenario = scenario
        self.seed = seed
        self.done = threading.Event()


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        parse_scenario(name)
    return names


def main(args: list[str] | None = None) -> int:
    return run_node(PROGRAM, lambda _stop: SimNode(), args)


if __name__ == "__main__":
    sys.exit(main())
