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

from builtin_interfaces.msg import Time
from geometry_msgs.msg import Twist
from nav_msgs.msg import Odometry
from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from std_msgs.msg import String
from std_srvs.srv import Trigger

from mobile_vla_ros.axes import PLANAR_AXES
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.nodes.sim.parameters import (
    LIVE,
    PARAMETERS,
    camera_settings,
    checked,
    scenario_names,
)
from mobile_vla_ros.nodes.wiring import policy_image
from mobile_vla_ros.nodes.wiring.image_message import image_message
from mobile_vla_ros.nodes.wiring.odometry_message import odometry_message
from mobile_vla_ros.nodes.wiring.parameters import declare, refusal
from mobile_vla_ros.nodes.wiring.program import VELOCITY, Program, Topic
from mobile_vla_ros.nodes.wiring.qos import latched, queued
from mobile_vla_ros.nodes.wiring.running import Life, StopSignal, run_node
from mobile_vla_ros.nodes.wiring.velocity import VelocitySubscription, velocities_of
from mobile_vla_ros.sim.course import Course, Order
from mobile_vla_ros.sim.engine import require_mujoco
from mobile_vla_ros.sim.evaluate import evaluation_of, evaluation_plan
from mobile_vla_ros.sim.fields import instruction_of
from mobile_vla_ros.sim.live import LiveField
from mobile_vla_ros.sim.metronome import Metronome
from mobile_vla_ros.states import ARRIVED, WAITING_FOR_INSTRUCTION

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
        policy_image.TOPIC,
        Topic("odom", "nav_msgs/Odometry", "of the wheels, m and rad"),
        Topic("~/outcome", "std_msgs/String", "JSON: scenario, how the run stands"),
        Topic("instruction", "std_msgs/String", "with announce or episodes: what to do"),
        Topic("/clock", "rosgraph_msgs/Clock", "with publish_clock: simulated time"),
    ),
    answers=(Topic("~/reset", "std_srvs/Trigger", "sets the field up anew"),),
)
STEP = 0.01  # s between two looks at the clock
# What the machine falls behind by more than this is not made up for: the robot would leap.
MOST_CATCH_UP = 0.25  # s
OUTCOME_PERIOD = 0.5  # s
ANNOUNCE_PERIOD = 2.0  # s
RESET_TIMEOUT = 20.0  # s


class SimNode(Life, Node):
    """Runs a field in a thread of its own (physics and graphics), in step with the clock.

    Commands and resets go to that thread through queues; the driving node's last state is handed
    over by one assignment. No lock is held anywhere.
    """

    def __init__(self, **options) -> None:
        super().__init__("sim", **options)
        require_mujoco()
        self._settings = checked(declare(self, PARAMETERS))
        settings = self._settings
        self._scenarios = scenario_names(settings)
        course = None
        if settings["episodes"]:
            plan = evaluation_plan(self._scenarios, settings["episodes"], settings["seed"])
            course = Course(plan)
        self._live = LiveField(
            camera_settings(settings), settings["time_limit"], course, settings["window"]
        )
        self._images = self.create_publisher(Image, "image", queued(5))
        self._small = policy_image.PolicyImage(self, settings)
        self._odometry = self.create_publisher(Odometry, "odom", queued(10))
        self._outcomes = self.create_publisher(String, "~/outcome", latched())
        self._instructions = self.create_publisher(String, "instruction", queued(1))
        self._clocks = (
            self.create_publisher(Clock, "/clock", queued(1))
            if settings["publish_clock"]
            else None
        )
        self._heard: queue.SimpleQueue[tuple[float, ...]] = queue.SimpleQueue()
        self._resets: queue.SimpleQueue[_Reset] = queue.SimpleQueue()
        self._driver_state = ""
        self._stopping = threading.Event()
        self._failure = ""
        self._thread = threading.Thread(target=self._run, name="field", daemon=True)
        VelocitySubscription(self, "cmd_vel", self._on_velocity)
        self.create_subscription(String, "state", self._on_state, latched())
        self._policy_reset = self.create_client(Trigger, "policy_reset")
        self.create_service(Trigger, "~/reset", self._on_reset)
        self.add_on_set_parameters_callback(self._on_parameters)

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

    # -- callbacks, in the executor's thread -------------------------------------------------

    def _on_velocity(self, twist: Twist) -> None:
        vx, vy, wz = velocities_of(twist, PLANAR_AXES)
        if not (math.isfinite(vx) and math.isfinite(vy) and math.isfinite(wz)):
            self.get_logger().error(
                f"cmd_vel carries {vx} m/s, {vy} m/s, {wz} rad/s: ignored",
                throttle_duration_sec=1.0,
            )
            return
        self._heard.put((vx, vy, wz))

    def _on_state(self, message: String) -> None:
        self._driver_state = message.data

    def _on_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        sentence = refusal(LIVE, changes, configured=True)
        for change in changes:
            if sentence is None and change.name == "scenario":
                try:
                    scenario_names({**self._settings, "scenario": change.value})
                except InputError as error:
                    sentence = str(error)
        return SetParametersResult(successful=sentence is None, reason=sentence or "")

    def _on_reset(self, _request, response: Trigger.Response) -> Trigger.Response:
        if self._live.course is not None:
            response.message = "an evaluation is under way"
            return response
        given = {"scenario": self.get_parameter("scenario").value}
        scenario = scenario_names({**self._settings, **given})[0]
        reset = _Reset(scenario, int(self.get_parameter("seed").value))
        self._resets.put(reset)
        response.success = reset.done.wait(RESET_TIMEOUT)
        response.message = (
            f"{scenario}, seed {reset.seed}: {instruction_of(scenario, reset.seed)}"
            if response.success
            else "the field did not answer"
        )
        return response

    # -- the field's thread ----------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._set_up(self._scenarios[0], self._settings["seed"])
            self._simulate()
        except InputError as error:
            self._failure = str(error)
        finally:
            self._live.close()

    def _simulate(self) -> None:
        settings, live = self._settings, self._live
        factor, announces = settings["real_time_factor"], settings["announce"]
        now = last = time.monotonic()
        frames = Metronome(1 / settings["camera_rate"] / factor, now)
        odometry = Metronome(1 / settings["odom_rate"] / factor, now)
        outcomes, announcements = Metronome(OUTCOME_PERIOD, now), Metronome(ANNOUNCE_PERIOD, now)
        late: deque[tuple[float, Image]] = deque()
        while not self._stopping.is_set():
            if self._take_resets():
                last = time.monotonic()  # building a field takes no simulated time
                self._wake_driver(announces)
            now = time.monotonic()
            elapsed, last = now - last, now
            self._note_delay(elapsed)
            self._apply_commands()
            live.advance(min(elapsed, MOST_CATCH_UP) * factor)
            if self._clocks is not None:
                self._clocks.publish(Clock(clock=self._stamp()))
            if frames.due(now):
                stamp, pixels = self._stamp(), live.frame()
                message = image_message(pixels, stamp, settings["frame_id"])
                self._small.publish(pixels, stamp, settings["frame_id"])
                late.append((now + settings["latency"], message))
            while late and now >= late[0][0]:
                self._images.publish(late.popleft()[1])
            if odometry.due(now):
                frames_of = (settings["odom_frame"], settings["base_frame"])
                message = odometry_message(live.odometry, self._stamp(), *frames_of)
                self._odometry.publish(message)
                order = live.follow_course(now, self._driver_state)
                self._obey(order)
                if announces and live.asks_anew():
                    self._say(live.field.instruction)
                if order.done:
                    return
                if order.field is not None:
                    last = time.monotonic()
            if live.news:
                self._note_end()
            if outcomes.due(now) or live.news:
                outcomes.restart(now)
                self._publish_outcome()
            waits = self._driver_state == WAITING_FOR_INSTRUCTION and live.course is None
            if announces and waits and announcements.due(now):
                self._say(live.field.instruction)
            self._stopping.wait(max(0.0, STEP - (time.monotonic() - now)))

    def _note_delay(self, elapsed: float) -> None:
        if elapsed > MOST_CATCH_UP:
            self.get_logger().warning(
                f"the field fell {elapsed:.2f} s behind: the machine is too busy for it",
                throttle_duration_sec=10.0,
            )

    def _set_up(self, scenario: str, seed: int) -> None:
        self._live.set_up(scenario, seed)
        self._note_field()

    def _note_field(self) -> None:
        """A new field is there: what was commanded before is not for it."""
        field = self._live.field
        self.get_logger().info(f"field: {field.name}, seed {field.seed}: {field.instruction}")
        while not self._heard.empty():
            self._heard.get()
        self._publish_outcome()

    def _note_end(self) -> None:
        """Says how a drive has ended; an evaluation tells of all of them at its end."""
        outcome = self._live.field.outcome()
        if outcome.decided and self._live.course is None:
            again = (
                f"ros2 service call {self.get_fully_qualified_name()}/reset std_srvs/srv/Trigger"
            )
            self.get_logger().info(f"{outcome.sentence()} (once more: {again})")

    def _take_resets(self) -> bool:
        taken = False
        while not self._resets.empty():
            reset = self._resets.get()
            self._set_up(reset.scenario, reset.seed)
            reset.done.set()
            taken = True
        return taken

    def _wake_driver(self, announces: bool) -> None:
        """After a reset: whoever has arrived stands until he is told something."""
        if announces:
            # He waits then, and is given the new field's instruction.
            self._say("")
        elif self._driver_state == ARRIVED and self._policy_reset.service_is_ready():
            # His instruction is a person's, and stays.
            self._policy_reset.call_async(Trigger.Request())

    def _apply_commands(self) -> None:
        command = None
        while not self._heard.empty():
            command = self._heard.get()
        if command is not None:
            self._live.command(*command)

    def _obey(self, order: Order) -> None:
        """Tells what an evaluation asks for, and its result at its end."""
        course = self._live.course
        if order.field is not None:
            self._note_field()
        if order.say is not None:
            self._say(order.say)
            if order.say == "" and course is not None and course.runs:
                self._publish_outcome()
        if order.done and course is not None:
            result = evaluation_of(course.runs)
            self.get_logger().info(result.sentence())
            result.write(self._settings["report"], self._settings["plot"])

    # -- messages --------------------------------------------------------------------------

    def _say(self, text: str) -> None:
        self._instructions.publish(String(data=text))

    def _publish_outcome(self) -> None:
        self._outcomes.publish(String(data=json.dumps(self._live.tell())))

    def _stamp(self) -> Time:
        if self._clocks is None:
            return self.get_clock().now().to_msg()
        whole = int(self._live.time)
        return Time(sec=whole, nanosec=int((self._live.time - whole) * 1e9))


class _Reset:
    """A request from the executor's thread to the field's."""

    def __init__(self, scenario: str, seed: int) -> None:
        self.scenario = scenario
        self.seed = seed
        self.done = threading.Event()


def main(args: list[str] | None = None) -> int:
    return run_node(PROGRAM, lambda _stop: SimNode(), args)


if __name__ == "__main__":
    sys.exit(main())
