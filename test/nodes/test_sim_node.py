import json
import signal
from pathlib import Path

import pytest
from geometry_msgs.msg import Twist
from nav_msgs.msg import Odometry
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rig import HERE, Rig
from sensor_msgs.msg import Image
from std_msgs.msg import String
from std_srvs.srv import Trigger

from mobile_vla_ros.nodes.wiring.qos import latched

pytestmark = [pytest.mark.ros, pytest.mark.egl]
SMALL = ["-p", "width:=160", "-p", "height:=90"]


class FieldRig(Rig):
    """Hears what sim_node says."""

    def __enter__(self) -> "FieldRig":
        super().__enter__()
        self.images: list[Image] = []
        self.odometry: list[Odometry] = []
        self.outcomes: list[dict] = []
        self.node.create_subscription(Image, "image", self.images.append, 5)
        self.node.create_subscription(Odometry, "odom", self.odometry.append, 5)
        self.node.create_subscription(
            String, "sim/outcome", lambda m: self.outcomes.append(json.loads(m.data)), latched()
        )
        self.velocity = self.node.create_publisher(Twist, "cmd_vel", 1)
        return self

    def start_field(self, *arguments: str):
        return self.start(
            "-m", "mobile_vla_ros.nodes.sim_node", "--ros-args", *SMALL, *arguments, name="node"
        )


@pytest.fixture
def rig(tmp_path: Path, ros_domain):
    with FieldRig(tmp_path) as rig:
        yield rig


def test_it_shows_moves_stops_without_commands_and_starts_over(rig: FieldRig) -> None:
    process = rig.start_field("-p", "scenario:=2box_right_far", "-p", "seed:=7")
    rig.wait(lambda: len(rig.images) > 3 and rig.outcomes, "frames and an outcome")
    frame = rig.images[-1]
    assert (frame.width, frame.height, frame.encoding) == (160, 90, "rgb8")
    assert len(frame.data) == 160 * 90 * 3
    assert rig.outcomes[-1]["scenario"] == "2box_right_far"
    assert rig.outcomes[-1]["instruction"].endswith("right")
    assert rig.outcomes[-1]["missing"].endswith("m from the bottle")

    def pushed() -> bool:
        twist = Twist()
        twist.linear.x = 0.3
        rig.velocity.publish(twist)
        return rig.odometry[-1].pose.pose.position.x > 0.1

    rig.wait(pushed, "movement")
    assert rig.odometry[-1].child_frame_id == "base_link"
    # Nobody commands any more: the base's own time-out stops it, long before the box.
    rig.wait(lambda: abs(rig.odometry[-1].twist.twist.linear.x) < 0.01, "standing still")
    assert rig.odometry[-1].pose.pose.position.x < 1.2
    response = rig.call(Trigger, "sim/reset", Trigger.Request())
    assert response.success
    assert "2box_right_far, seed 7" in response.message
    rig.wait(lambda: rig.odometry[-1].pose.pose.position.x < 0.01, "the start")
    process.send_signal(signal.SIGINT)
    assert rig.wait_for_exit(process) == 0


def test_after_a_reset_a_policy_that_has_arrived_gets_the_new_instruction(rig: FieldRig) -> None:
    said: list[str] = []
    rig.node.create_subscription(String, "instruction", lambda m: said.append(m.data), 5)
    states = rig.node.create_publisher(String, "state", latched())
    rig.start_field("-p", "announce:=true", "-p", "scenario:=1box_left")
    states.publish(String(data="waiting_for_instruction"))
    rig.wait(lambda: said, "the instruction")
    assert said[-1].endswith("left")
    states.publish(String(data="arrived"))
    # One that was on its way before the state was heard.
    rig.wait(lambda: rig.outcomes, "the field")
    other = Parameter("scenario", value="1box_right").to_parameter_msg()
    request = SetParameters.Request(parameters=[other])
    assert rig.call(SetParameters, "sim/set_parameters", request).results[0].successful
    said.clear()
    assert rig.call(Trigger, "sim/reset", Trigger.Request()).success
    # Taken away, so that it leaves `arrived`, and given anew once it waits.
    rig.wait(lambda: "" in said, "an empty instruction")
    states.publish(String(data="waiting_for_instruction"))
    rig.wait(lambda: said[-1].endswith("right"), "the new instruction")


def test_after_a_reset_a_policy_that_has_arrived_leaves_that_with_its_persons_instruction(
    rig: FieldRig,
) -> None:
    asked: list[str] = []

    def reset(_request, response: Trigger.Response) -> Trigger.Response:
        asked.append("reset")
        response.success = True
        return response

    rig.node.create_service(Trigger, "policy_reset", reset)
    states = rig.node.create_publisher(String, "state", latched())
    rig.start_field()
    rig.wait(lambda: rig.outcomes, "the field")
    assert rig.call(Trigger, "sim/reset", Trigger.Request()).success
    states.publish(String(data="arrived"))

    def left() -> bool:
        rig.call(Trigger, "sim/reset", Trigger.Request())
        return bool(asked)

    rig.wait(left, "the policy's reset")


def test_stamps_are_capture_times_in_order_and_a_command_that_is_no_number_is_ignored(rig) -> None:
    rig.start_field("-p", "latency:=0.2")
    rig.wait(lambda: len(rig.images) > 3, "frames")
    twist = Twist()
    twist.linear.x = float("nan")
    for _ in range(5):
        rig.velocity.publish(twist)
    before = len(rig.images)
    rig.wait(lambda: len(rig.images) > before + 5, "frames after it")
    stamps = [m.header.stamp.sec + m.header.stamp.nanosec * 1e-9 for m in rig.images]
    assert stamps == sorted(set(stamps))
    rig.wait(lambda: "cmd_vel carries nan" in rig.log(), "the complaint")
    assert rig.odometry[-1].pose.pose.position.x < 0.01


def test_it_evaluates_whoever_drives_and_reports(rig: FieldRig, tmp_path: Path) -> None:
    rig.start(str(HERE / "omniscient_double.py"), name="driver")
    report, picture = tmp_path / "report.json", tmp_path / "paths.png"
    process = rig.start_field(
        *("-p", "scenario:=1box_left_close,1box_right_close", "-p", "seed:=300"),
        *("-p", "episodes:=2", "-p", f"report:={report}", "-p", f"plot:={picture}"),
        *("-p", "real_time_factor:=2.0", "-p", "publish_clock:=true"),
        *("-r", "state:=mobile_vla/state", "-r", "instruction:=mobile_vla/instruction"),
    )
    assert rig.wait_for_exit(process, 90.0) == 0
    told = json.loads(report.read_text())
    assert (told["episodes"], told["successes"]) == (2, 2), told["reasons"]
    assert [run["passed"] for run in told["runs"]] == [["left"], ["right"]]
    assert picture.stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-p", "scenario:=nowhere"], "'nowhere' is no scenario"),
        (["-p", "real_time_factor:=2.0"], "needs publish_clock"),
        (["-p", "episodes:=1", "-p", "report:=/no/such/folder/r.json"], "does not exist"),
        (["-p", "seed:=-1"], "seed is -1"),
        (["-p", "field:=moon"], "'moon' is no field"),
        (["-p", "field:=open", "-p", "target:=purple cow"], "names no thing"),
        (["-p", "scenario:=open_easy"], "none of the lab field"),
    ],
)
def test_parameters_that_cannot_be_end_it_with_one_sentence(rig, arguments, sentence) -> None:
    process = rig.start_field(*arguments)
    assert rig.wait_for_exit(process) == 2
    assert sentence in rig.log()
    assert "Traceback" not in rig.log()


def test_the_open_field_is_a_parameter_away(rig: FieldRig) -> None:
    rig.start_field("-p", "field:=open", "-p", "tier:=hard", "-p", "target:=gray basket")
    rig.wait(lambda: len(rig.images) > 1 and rig.outcomes, "frames and an outcome")
    told = rig.outcomes[-1]
    assert told["scenario"] == "open_hard_grey_basket"
    assert told["missing"].endswith("m from the grey basket")
    assert told["asked"]["tier"] == "hard"
