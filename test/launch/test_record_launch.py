"""One command in a terminal: camera, keyboard and recorder; an episode by real keys."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from installation import LAUNCHER, NODES, install

sys.path.insert(0, str(NODES))

from recorder_harness import PATIENCE, Robot

from mobile_vla_ros.episodes import find_episodes, open_episode

pytestmark = [pytest.mark.ros, pytest.mark.launch_ros]

# As a shell starts it: the leader of a session whose terminal is its standard input.
IN_TERMINAL = (
    "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    "os.execv(sys.executable, [sys.executable, '-c', *sys.argv[1:]])"
)


@pytest.fixture
def launch_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """record.launch.py of an installed package."""
    prefix = install(tmp_path, monkeypatch, "camera_node", "recorder_node", "teleop_node")
    return prefix / "share" / "mobile_vla_ros" / "launch" / "record.launch.py"


def write_pictures(folder: Path) -> str:
    """A camera source: pictures that OpenCV plays like a film."""
    rng = np.random.default_rng(0)
    for number in range(20):
        picture = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"frame_{number:03d}.png"), picture)
    return str(folder / "frame_%03d.png")


def test_an_episode_is_recorded_by_keys_and_ctrl_c_ends_everything(
    ros_domain: int, tmp_path: Path, launch_file: Path
) -> None:
    source = write_pictures(tmp_path)
    folder = tmp_path / "episodes"
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", IN_TERMINAL, LAUNCHER, str(launch_file)),
            *(f"source:={source}", f"directory:={folder}", "scenario:=1box_left"),
            *("instruction:=off", "mode:=frame", "cmd_vel_topic:=base", "linear_speed:=0.2"),
        ],
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    screen: list[str] = []

    def look() -> None:
        with contextlib.suppress(OSError):
            while data := os.read(master, 4096):
                screen.append(data.decode(errors="replace"))

    threading.Thread(target=look, daemon=True).start()
    robot = Robot(ros_domain)
    try:
        robot.wait(lambda: "Ctrl-C ends" in "".join(screen), "the help on the screen")
        robot.wait(lambda: robot.status, "the recorder")

        def started() -> bool:
            os.write(master, b"n")
            robot.spin(1.0)
            return robot.status["state"] == "recording"

        robot.wait(started, "the start")
        os.write(master, b"w")
        robot.spin(0.5)
        robot.wait(lambda: robot.status["frames"] > 20, "twenty frames")
        os.write(master, b"m")
        robot.wait(lambda: find_episodes(folder), "the file")
        os.write(master, b"\x03")
        assert process.wait(PATIENCE) == 0, "".join(screen)
        (path,) = find_episodes(folder)
        with open_episode(path) as episode:
            assert episode.instruction == "off"
            assert episode.complete
            assert np.unique(episode.actions[:, 0]) == pytest.approx([0.0, 0.2])
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(PATIENCE)
        print("".join(screen))
        robot.close()
        os.close(master)


def test_without_a_terminal_camera_and_recorder_run_all_the_same(
    ros_domain: int, tmp_path: Path, launch_file: Path
) -> None:
    source = write_pictures(tmp_path)
    folder = tmp_path / "episodes"
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", LAUNCHER, str(launch_file)),
            *(f"source:={source}", f"directory:={folder}", "scenario:=1box_left"),
            *("instruction:=go", "episode_length:=3"),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    robot = Robot(ros_domain)
    try:
        robot.wait(lambda: robot.status, "the recorder")

        def started() -> bool:
            robot.spin(0.3)
            return robot.call("start").success

        robot.wait(started, "the start")
        robot.wait(lambda: folder.is_dir() and find_episodes(folder), "the file")
    finally:
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=PATIENCE)
        robot.close()
    assert "there is no keyboard here" in output
