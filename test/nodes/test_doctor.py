import json
import subprocess
import sys
import textwrap
import time

import pytest

pytest.importorskip("rclpy")
pytestmark = pytest.mark.ros

# A camera (sensor_msgs/Image at a rate, or a wrong type) and a base that listens.
GRAPH = textwrap.dedent(
    """
    import sys, numpy as np, rclpy
    from geometry_msgs.msg import Twist
    from sensor_msgs.msg import Image
    from std_msgs.msg import String
    kind, rate = sys.argv[1], float(sys.argv[2])
    rclpy.init()
    node = rclpy.create_node("graph")
    node.create_subscription(Twist, "cmd_vel", lambda _: None, 1)
    if kind == "image":
        publisher = node.create_publisher(Image, "camera/image_raw", 1)
    elif kind == "text":
        publisher = node.create_publisher(String, "camera/image_raw", 1)
    rng = np.random.default_rng(0)
    def publish():
        if kind == "text":
            publisher.publish(String(data="hello"))
        if kind == "image":
            pixels = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
            message = Image(height=48, width=64, encoding="rgb8", step=192, data=pixels.tobytes())
            message.header.stamp = node.get_clock().now().to_msg()
            publisher.publish(message)
    node.create_timer(1 / rate, publish)
    print("up", flush=True)
    rclpy.spin(node)
    """
)


def examine(tmp_path, kind: str, rate: float, *options: str) -> tuple[int, dict[str, str], dict]:
    graph = subprocess.Popen(
        [sys.executable, "-c", GRAPH, kind, str(rate)], stdout=subprocess.PIPE
    )
    try:
        assert graph.stdout is not None
        graph.stdout.readline()
        out = tmp_path / "doctor.json"
        arguments = ["doctor", "--wait", "10", "--seconds", "2", "--json", str(out), *options]
        done = subprocess.run(
            [sys.executable, "-m", "mobile_vla_ros.cli.main", *arguments],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert out.exists(), done.stderr
        result = json.loads(out.read_text())
        levels: dict[str, str] = {}
        for finding in result["findings"]:
            levels.setdefault(finding["name"], finding["level"])
        return done.returncode, levels, result
    finally:
        graph.kill()
        graph.wait()


def test_a_camera_that_is_right_is_ok(tmp_path, ros_domain) -> None:
    status, levels, _ = examine(tmp_path, "image", 20.0)
    assert levels["camera stamps"] == "ok"
    assert levels["commands"] == "ok"
    assert levels["camera"] in ("ok", "warning")  # a loaded machine may show one long gap
    assert status == 0


def test_a_camera_that_is_slow_is_a_failure(tmp_path, ros_domain) -> None:
    status, levels, result = examine(tmp_path, "image", 1.0)
    assert (status, levels["camera"]) == (1, "failure")
    text = next(f["text"] for f in result["findings"] if f["name"] == "camera")
    assert "gap" in text or "no frame" in text


def test_a_camera_that_is_wrong_is_a_failure(tmp_path, ros_domain) -> None:
    status, levels, result = examine(tmp_path, "text", 10.0, "--wait", "3")
    assert (status, levels["camera"]) == (1, "failure")
    assert any("std_msgs/msg/String" in finding["text"] for finding in result["findings"])


def test_a_camera_that_is_missing_is_a_failure(tmp_path, ros_domain) -> None:
    begin = time.monotonic()
    status, levels, _ = examine(tmp_path, "none", 10.0, "--wait", "2")
    assert (status, levels["camera"], levels["commands"]) == (1, "failure", "ok")
    assert time.monotonic() - begin < 60


def test_a_checkpoint_that_cannot_drive_is_a_failure(tmp_path, ros_domain, golden) -> None:
    checkpoint = golden / "robovlms_oxe_7dof" / "kosmos_ph_oxe-pretrain.pt"
    _, levels, _ = examine(tmp_path, "image", 20.0, "--checkpoint", str(checkpoint))
    assert levels["checkpoint"] == "failure"


def test_a_good_checkpoint_is_dry_run_on_camera_frames(tmp_path, ros_domain, golden) -> None:
    checkpoint = next((golden / "mobile_vla_frozen").glob("*.ckpt"))
    _, levels, result = examine(tmp_path, "image", 20.0, "--checkpoint", str(checkpoint))
    assert levels["checkpoint"] == "ok"
    run = next(finding for finding in result["findings"] if finding["name"] == "dry run")
    assert run["text"].startswith("camera frames, 10 frames")
