from __future__ import annotations

import time

import cv2
import numpy as np
import pytest
from geometry_msgs.msg import TwistStamped
from nav_msgs.msg import Path
from rclpy.qos import QoSProfile
from rig import Rig
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import String

pytestmark = pytest.mark.ros

FORWARD = "forward:0.2"


@pytest.fixture
def rig(ros_domain, tmp_path):
    with Rig(tmp_path) as rig:
        yield rig


def drive(rig: Rig, checkpoint: str = FORWARD, **parameters):
    parameters = {"image_timeout": 0.5, "chunk_timeout": 0.9, **parameters}
    return rig.start_node(checkpoint, **parameters)


def test_it_stands_without_an_instruction_and_drives_by_topic_parameter_and_service(rig) -> None:
    drive(rig)
    rig.start_camera()
    rig.wait_for_state("waiting_for_instruction")
    rig.wait(lambda: "it stands until it has an instruction" in rig.log(), "a hint")
    assert not any(any(velocities) for _, velocities in rig.commands)

    say = rig.node.create_publisher(String, "mobile_vla/instruction", 1)
    rig.wait(lambda: say.get_subscription_count() == 1, "a listener")
    say.publish(String(data="go to the basket"))
    rig.wait_until_moving()
    assert rig.get_parameter("instruction").string_value == "go to the basket"

    assert rig.set_parameter("instruction", "") == ""
    rig.wait_for_state("waiting_for_instruction")
    rig.wait(lambda: not rig.moving, "standing")
    # a cleared instruction slows down, it does not jerk
    speeds = [velocities[0] for _, velocities in rig.commands]
    assert max(np.abs(np.diff(speeds))) < 0.19

    # zeros for a second, then silence: nobody else is fought over
    heard = len(rig.commands)
    rig.wait(lambda: len(rig.commands) > heard + 5, "zeros")
    rig.wait(lambda: time.monotonic() - rig.commands[-1][0] > 0.6, "silence")

    assert rig.set_parameter("instruction", "go again") == ""
    rig.wait_until_moving()
    assert rig.trigger("stop").success
    at = time.monotonic()
    rig.wait_for_state("stopped: stop service")
    rig.wait(lambda: not rig.moving, "standing")
    assert not any(any(v) for when, v in rig.commands if when > at + 0.2)
    assert rig.trigger("reset").success
    assert rig.state == "stopped: stop service"
    assert rig.enable(True).success
    rig.wait_until_moving()
    assert rig.enable(False).success
    rig.wait_for_state("disabled")
    assert rig.get_parameter("enabled").bool_value is False
    assert rig.enable(True).success
    rig.wait_until_moving()

    # limits change live, and a lowered one slows down
    assert rig.set_parameter("max_linear", 0.1) == ""
    rig.wait(lambda: rig.commands[-1][1][0] == pytest.approx(0.1), "the new limit")
    assert "Max: 10.0" in rig.set_parameter("max_linear", 11.0)
    assert "clean up the node" in rig.set_parameter("image_timeout", 0.3)

    mark = rig.trigger("mark")
    assert mark.success
    rig.wait(lambda: "mark" in rig.events, "the mark")
    rig.wait(lambda: float(rig.diagnosis("frame_age") or 1) < 0.5, "diagnostics")
    rig.wait(lambda: rig.diagnosis("state") == "driving", "the diagnosis of driving")
    rig.wait(lambda: int(rig.diagnosis("clamps")) > 0, "the count of clamped velocities")
    for key in (
        "command_age_worst",
        "encoder_p50",
        "encoder_p99",
        "blind_distance",
        "lost_frames",
    ):
        assert float(rig.diagnosis(key)) >= 0.0, key


def test_the_zero_of_a_stop_is_sent_with_its_answer_not_at_the_next_tick(rig) -> None:
    drive(rig, instruction="go", control_rate=2.0)
    rig.start_camera()
    delays = []
    for attempt in range(5):
        rig.wait_until_moving()
        answer = rig.trigger("stop") if attempt % 2 else rig.enable(False)
        at = time.monotonic()
        assert answer.success
        rig.wait(lambda: not rig.moving, "standing")
        delays.append(rig.commands[-1][0] - at)
        assert rig.enable(True).success
    # at the next tick, the median would be 0.25 s
    assert sorted(delays)[2] < 0.1, delays


def test_a_stop_while_the_policy_loads_holds_until_it_is_enabled(rig) -> None:
    drive(rig, "load:4", instruction="go")
    rig.wait_for_state("warming_up")
    assert rig.trigger("stop").success
    rig.wait_for_state("stopped: stop service")
    rig.start_camera()
    rig.wait(lambda: rig.lifecycle() == "active", "the active node")
    rig.wait(lambda: len(rig.chunks) > 2, "predictions")
    assert not any(any(v) for _, v in rig.commands)
    assert "unconfigured" not in rig.states
    assert rig.enable(True).success
    rig.wait_until_moving()


def test_the_lifecycle_can_be_led_from_outside_and_zeros_precede_deactivation(rig) -> None:
    drive(rig, autostart=False, instruction="go")
    rig.wait_for_state("unconfigured")
    rig.wait(lambda: rig.diagnosis("state") == "unconfigured", "diagnostics")
    assert rig.transition("configure")
    rig.start_camera()
    rig.wait_for_state("disabled")
    assert rig.transition("activate")
    rig.wait_until_moving()
    assert rig.transition("deactivate")
    at = time.monotonic()
    assert rig.lifecycle() == "inactive"
    rig.wait(lambda: not rig.moving, "standing")
    assert not any(any(v) for when, v in rig.commands if when > at + 0.2)
    assert rig.transition("activate")
    rig.wait_until_moving()
    assert rig.transition("deactivate")
    assert rig.transition("cleanup")
    rig.wait_for_state("unconfigured")
    assert rig.node.count_publishers("/cmd_vel") == 0


def test_dry_run_predicts_and_creates_no_velocity_publisher(rig) -> None:
    plans = []
    rig.node.create_subscription(Path, "mobile_vla/plan", plans.append, 10)
    pictures = []
    rig.node.create_subscription(
        CompressedImage, "mobile_vla/overlay/compressed", pictures.append, 1
    )
    drive(rig, dry_run=True, instruction="go", base_frame="base")
    rig.start_camera("--size", "320x240")
    rig.wait(lambda: len(rig.chunks) > 5 and plans and pictures, "chunks, plans, pictures")
    assert rig.node.count_publishers("/cmd_vel") == 0
    assert not rig.commands
    chunk, plan = rig.chunks[-1], plans[-1]
    assert chunk.header.frame_id == plan.header.frame_id == "base"
    assert len(plan.poses) == len(chunk.points) + 1
    # 0.2 m/s straight ahead for ten steps of 0.1 s
    assert plan.poses[-1].pose.position.x == pytest.approx(0.2, abs=1e-6)
    shown = cv2.imdecode(np.frombuffer(pictures[-1].data, np.uint8), cv2.IMREAD_COLOR)
    assert shown.shape == (480, 640, 3)


def test_a_disabled_robot_still_predicts(rig) -> None:
    drive(rig, enabled=False, instruction="go", stamped=True)
    stamped = []
    rig.start_camera()
    rig.wait_for_state("disabled")
    rig.wait(lambda: len(rig.chunks) > 5, "chunks")
    assert not any(any(velocities) for _, velocities in rig.commands)
    rig.node.create_subscription(TwistStamped, "other", stamped.append, 1)
    assert rig.enable(True).success
    rig.wait_until_moving()
    (info, *_) = rig.node.get_publishers_info_by_topic("/cmd_vel")
    assert info.topic_type == "geometry_msgs/msg/TwistStamped"


def test_an_instruction_that_the_policy_cannot_read_stops_but_does_not_end_the_model(rig) -> None:
    drive(rig, instruction="go")
    rig.start_camera()
    rig.wait_until_moving()
    assert rig.set_parameter("instruction", "unreadable") == ""
    rig.wait(lambda: "'unreadable' cannot be read" in rig.log(), "the sentence")
    rig.wait(lambda: not rig.moving, "standing")
    time.sleep(0.5)
    assert not rig.moving
    assert "model failed" not in rig.log()
    assert rig.set_parameter("instruction", "go again") == ""
    rig.wait_until_moving()
    rig.wait(lambda: rig.diagnosis("worker_restarts") == "0", "the diagnosis of no restart")


def test_a_camera_that_changes_its_size_is_told_of_and_driven_by(rig) -> None:
    drive(rig, instruction="go")
    rig.wait(rig.camera.get_subscription_count, "a subscription")
    for number in range(600):
        side = 48 if len(rig.chunks) < 10 else 32
        rig.publish_image(np.full((side, 64, 3), number % 200, np.uint8))
        time.sleep(0.03)
        if rig.moving and len(rig.chunks) > 25:
            break
    assert rig.state == "driving"
    assert rig.log().count("the camera changed from 64x48 rgb8 to 64x32 rgb8") == 1


def test_compressed_images_drive_and_broken_ones_do_not(rig) -> None:
    drive(rig, "steady", image_transport="compressed", instruction="go", max_linear=1.0)
    camera = rig.node.create_publisher(CompressedImage, "image/compressed", QoSProfile(depth=5))
    rig.wait(lambda: camera.get_subscription_count() == 1, "a subscription")
    for number in range(400):
        picture = np.full((48, 64, 3), 100 + number % 50, np.uint8)
        data = cv2.imencode(".jpg", picture)[1].tobytes()
        message = CompressedImage(format="jpeg", data=data)
        if number in (3, 4, 20):
            message.data = b"not a picture" + bytes([number])
        message.header.stamp = rig.node.get_clock().now().to_msg()
        camera.publish(message)
        time.sleep(0.03)
        if number > 40 and rig.moving and len(rig.chunks) > 20:
            break
    assert rig.state == "driving"
    assert "neither JPEG nor PNG" in rig.log()
    assert "model hung" not in rig.log()
    first = [chunk.points[0].velocities[0].linear.x for chunk in rig.chunks]
    assert all(0.09 <= velocity <= 0.16 for velocity in first)


def test_a_new_control_rate_counts_from_the_next_configuring_on(rig) -> None:
    drive(rig, instruction="go", enabled=False, autostart=False)
    rig.wait_for_state("unconfigured")
    assert rig.transition("configure")
    assert "read when the node is configured" in rig.set_parameter("control_rate", 100.0)
    assert rig.transition("cleanup")
    assert rig.set_parameter("control_rate", 100.0) == ""
    assert rig.transition("configure")
    assert rig.transition("activate")
    rig.start_camera()
    assert rig.enable(True).success
    rig.wait_until_moving()
    heard, begin = len(rig.commands), time.monotonic()
    rig.wait(lambda: len(rig.commands) > heard + 160, "160 commands")
    assert time.monotonic() - begin < 6.0  # eight at the rate of before
