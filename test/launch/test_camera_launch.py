"""The camera's launch file as it is: pictures come, a camera that dies comes again."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from installation import LAUNCHER, NODES, install

sys.path.insert(0, str(NODES))

from rig import Rig

from mobile_vla_ros.nodes.wiring.camera_subscription import CameraSubscription

pytestmark = [pytest.mark.ros, pytest.mark.launch_ros]


def write_pictures(folder: Path) -> str:
    """A camera source: pictures that OpenCV plays like a film."""
    for number in range(10):
        cv2.imwrite(str(folder / f"f_{number:02d}.png"), np.full((48, 64, 3), 20 * number, "u1"))
    return str(folder / "f_%02d.png")


def camera_of(launch: int) -> int | None:
    """Process id of the launch file's camera; None while there is none."""
    children = Path(f"/proc/{launch}/task/{launch}/children").read_text(encoding="ascii")
    found = [int(word) for word in children.split()]
    for pid in found:
        command = Path(f"/proc/{pid}/cmdline")
        if command.exists() and b"camera_node" in command.read_bytes():
            return pid
    return None


def test_the_launch_file_shows_pictures_again_after_its_camera_died(
    ros_domain, tmp_path, monkeypatch
) -> None:
    prefix = install(tmp_path, monkeypatch, "camera_node")
    file = prefix / "share" / "mobile_vla_ros" / "launch" / "camera.launch.py"
    arguments = (f"source:={write_pictures(tmp_path)}", "image_topic:=front/image")
    with Rig(tmp_path) as rig:
        heard: list = []
        camera = CameraSubscription(rig.node, heard.append, topic="/front/image", depth=5)
        launch = rig.start("-c", LAUNCHER, str(file), *arguments, name="launch")
        rig.wait(lambda: len(heard) > 3, "pictures")
        assert (heard[-1].width, heard[-1].height) == (64, 48)
        pid = camera_of(launch.pid)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        rig.wait(lambda: camera_of(launch.pid) not in (None, pid), "another camera", 30.0)
        before = len(heard)
        rig.wait(lambda: len(heard) > before + 3, "pictures again", 30.0)
        launch.send_signal(signal.SIGINT)
        assert rig.wait_for_exit(launch) == 0
        camera.destroy()
