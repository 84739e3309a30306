from __future__ import annotations

import signal
import time

import cv2
import numpy as np
import pytest
from geometry_msgs.msg import PolygonStamped
from rig import Rig
from sensor_msgs.msg import CameraInfo

from mobile_vla_ros.nodes.wiring.camera_subscription import CameraSubscription
from mobile_vla_ros.nodes.wiring.images import rgb_image
from mobile_vla_ros.nodes.wiring.qos import latched

MODULE = "mobile_vla_ros.nodes.camera_node"


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20, (64, 48))
    for number in range(10):
        writer.write(np.full((48, 64, 3), number * 25, np.uint8))
    writer.release()
    return path


@pytest.mark.ros
def test_a_file_is_shown_at_its_rate_over_and_over_reliably(ros_domain, tmp_path, video) -> None:
    with Rig(tmp_path) as rig:
        got = []

        def hear(message) -> None:
            stamp = message.header.stamp.sec + message.header.stamp.nanosec / 1e9
            got.append((time.time() - stamp, rgb_image(message)[0, 0, 0], message.header.frame_id))

        camera = CameraSubscription(rig.node, hear, depth=10)
        node = rig.start("-m", MODULE, "--ros-args", "-p", f"source:={video}", name="camera")
        rig.wait(lambda: len(got) >= 30, "frames of three rounds")
        assert camera.reliability == "reliable"
        assert max(age for age, *_ in got) < 5.0
        levels = [round(int(level) / 25) for _, level, _ in got]
        steps = np.diff(levels) % 10
        assert (steps == 1).all(), levels
        assert got[0][2] == "camera"
        node.send_signal(signal.SIGTERM)
        assert rig.wait_for_exit(node, 10.0) == 0


@pytest.mark.ros
def test_a_file_without_loop_ends_the_node(ros_domain, tmp_path, video) -> None:
    with Rig(tmp_path) as rig:
        options = ["-p", f"source:={video}", "-p", "loop:=false", "-p", "rate:=100.0"]
        node = rig.start("-m", MODULE, "--ros-args", *options, name="camera")
        assert rig.wait_for_exit(node) == 0


@pytest.mark.ros
@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("'97'", "source '97' cannot be opened: look at 'ls -l /dev/v4l/by-id'"),
        ("/nowhere/film.avi", "source '/nowhere/film.avi' cannot be opened: no such file"),
    ],
)
def test_a_source_that_is_not_there_is_named(ros_domain, tmp_path, source, words) -> None:
    with Rig(tmp_path) as rig:
        node = rig.start("-m", MODULE, "--ros-args", "-p", f"source:={source}", name="camera")
        assert rig.wait_for_exit(node) != 0
        assert words in rig.log("camera")
        assert "Traceback" not in rig.log("camera")


@pytest.mark.ros
def test_each_picture_comes_with_the_lens_and_the_base_with_its_outline(
    ros_domain, tmp_path, video
) -> None:
    with Rig(tmp_path) as rig:
        images, infos, outlines = [], [], []
        CameraSubscription(rig.node, images.append, depth=10)
        rig.node.create_subscription(CameraInfo, "camera_info", infos.append, 10)
        rig.node.create_subscription(PolygonStamped, "footprint", outlines.append, latched())
        options = ["field_of_view:=90.0", "footprint_length:=0.4", "footprint_width:=0.3"]
        given = [word for option in options for word in ("-p", option)]
        rig.start("-m", MODULE, "--ros-args", "-p", f"source:={video}", *given, name="camera")
        rig.wait(lambda: len(images) > 5 and len(infos) > 5 and outlines, "pictures and facts")
        stamps = {(m.header.stamp.sec, m.header.stamp.nanosec) for m in images}
        assert sum((m.header.stamp.sec, m.header.stamp.nanosec) in stamps for m in infos) >= 4
        info = infos[-1]
        assert (info.width, info.height, info.header.frame_id) == (64, 48, "camera")
        assert (info.k[0], info.k[2]) == pytest.approx((32.0, 32.0))
        corners = [(point.x, point.y) for point in outlines[0].polygon.points]
        assert np.allclose(corners, [(0.2, 0.15), (-0.2, 0.15), (-0.2, -0.15), (0.2, -0.15)])
        rig.wait(lambda: "camera_info is nominal" in rig.log("camera"), "what it is from")


@pytest.mark.ros
def test_the_place_of_the_camera_is_said_or_why_not(ros_domain, tmp_path, video) -> None:
    with Rig(tmp_path) as rig:
        options = ["-p", f"source:={video}", "-p", "camera_height:=0.3", "-p", "camera_tilt:=12.0"]
        places = []
        try:
            from tf2_msgs.msg import TFMessage
        except ImportError:
            rig.start("-m", MODULE, "--ros-args", *options, name="camera")
            rig.wait(lambda: "tf2_msgs is not installed" in rig.log("camera"), "why not")
            return
        rig.node.create_subscription(TFMessage, "/tf_static", places.append, latched())
        rig.start("-m", MODULE, "--ros-args", *options, name="camera")
        rig.wait(lambda: places, "the transform")
        moved = places[0].transforms[0]
        assert (moved.header.frame_id, moved.child_frame_id) == ("base_link", "camera")
        assert moved.transform.translation.z == pytest.approx(0.3)
