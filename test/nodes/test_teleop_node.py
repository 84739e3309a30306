"""Real keys through a pseudo-terminal drive the robot and record an episode."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from geometry_msgs.msg import Twist, TwistStamped
from recorder_harness import PATIENCE, Robot, end, start_node

from mobile_vla_ros.episodes import find_episodes, open_episode
from mobile_vla_ros.nodes.wiring.terminal import TextLine, cut_to_width

# A terminal of its own, as a shell would give it: the process leads a session whose controlling
# terminal is its standard input.
PROGRAM = (
    "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    "os.execv(sys.executable, [sys.executable, '-m', 'mobile_vla_ros.nodes.teleop_node',"
    " '--ros-args', *sys.argv[1:]])"
)


class Person:
    """Sits at the terminal: presses keys and sees what is on the screen."""

    def __init__(self, *parameters: str) -> None:
        self._master, slave = pty.openpty()
        arguments = [part for parameter in parameters for part in ("-p", parameter)]
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments],
            stdin=slave,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(slave)
        self.screen = ""
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        with contextlib.suppress(OSError):
            while data := os.read(self._master, 4096):
                self.screen += data.decode(errors="replace")

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def close_terminal(self) -> None:
        os.close(self._master)
        self._master = -1

    def leave(self) -> None:
        end(self.process)
        if self._master >= 0:
            os.close(self._master)


class Base:
    """The robot's base: keeps the commands it hears, with the time."""

    def __init__(self, robot: Robot, kind: type = Twist) -> None:
        self.commands: list[tuple[float, float, float]] = []
        robot.node.create_subscription(kind, "cmd_vel", self._hear, 100)

    def _hear(self, message: Twist | TwistStamped) -> None:
        twist = message.twist if isinstance(message, TwistStamped) else message
        self.commands.append((time.monotonic(), twist.linear.x, twist.angular.z))

    @property
    def moving(self) -> bool:
        return bool(self.commands) and any(self.commands[-1][1:])


@pytest.fixture
def robot(ros_domain: int) -> Iterator[Robot]:
    found = Robot(ros_domain)
    yield found
    found.close()


@pytest.fixture
def people() -> Iterator[list[Person]]:
    found: list[Person] = []
    yield found
    for person in found:
        person.leave()


def sit_down(robot: Robot, people: list[Person], *parameters: str) -> tuple[Person, Base]:
    """A person at a terminal whose keys reach the base."""
    base = Base(robot)
    person = Person(*parameters)
    people.append(person)
    robot.wait(lambda: "Ctrl-C ends" in person.screen, "the help on the screen")
    robot.wait(lambda: robot.node.count_publishers("cmd_vel") >= 2, "the teleop publisher")
    robot.spin(0.3)
    return person, base


@pytest.mark.ros
def test_a_press_drives_and_stops_by_itself_and_then_there_is_silence(
    robot: Robot, people: list[Person]
) -> None:
    person, base = sit_down(robot, people)
    person.press("\x1b[A")  # an arrow key ends in the letter A
    robot.spin(0.5)
    assert base.commands == []
    person.press("w")
    robot.wait(lambda: base.moving, "motion")
    robot.wait(lambda: not base.moving, "standstill")
    moved = [when for when, forward, _ in base.commands if forward]
    assert all(command[1:] in ((0.3, 0.0), (0.0, 0.0)) for command in base.commands)
    assert moved[-1] - moved[0] < 2.0  # 0.4 s on a machine that has nothing else to do
    robot.spin(1.5)
    count = len(base.commands)
    robot.spin(0.5)
    assert len(base.commands) == count


@pytest.mark.ros
def test_a_lost_terminal_stops_the_robot_and_ends_the_node(
    robot: Robot, people: list[Person]
) -> None:
    person, base = sit_down(robot, people, "hold:=2.0", "first_hold:=2.0")
    person.press("w")
    robot.wait(lambda: base.moving, "motion")
    person.close_terminal()
    robot.wait(lambda: not base.moving, "standstill")
    robot.spin(0.3)
    assert [command[1:] for command in base.commands[-3:]] == [(0.0, 0.0)] * 3
    person.process.wait(PATIENCE)


@pytest.mark.ros
@pytest.mark.usefixtures("hearing_hangups")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_told_to_stop_it_sends_zeros_first(
    robot: Robot, people: list[Person], number: int
) -> None:
    person, base = sit_down(robot, people, "hold:=2.0", "first_hold:=2.0")
    person.press("r")
    robot.wait(lambda: base.moving, "motion")
    person.process.send_signal(number)
    robot.wait(lambda: not base.moving, "standstill")
    assert person.process.wait(PATIENCE) == 0


@pytest.mark.ros
def test_without_a_terminal_it_says_so_and_does_not_start(ros_domain: int) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "mobile_vla_ros.nodes.teleop_node"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        start_new_session=True,
        timeout=PATIENCE,
        check=False,
    )
    assert result.returncode == 2
    assert "start this in a terminal" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.ros
def test_a_session_of_keys_names_drives_saves_and_throws_away_episodes(
    robot: Robot, people: list[Person], tmp_path: Path
) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(
        "scenarios:\n  1box_left: {target: 2, instruction: go left}\n"
        "  1box_right: {target: 2, instruction: go right}\n",
        encoding="utf-8",
    )
    folder = tmp_path / "episodes"
    recorder = start_node(
        "recorder_node", f"directory:={folder}", f"plan:={plan}", "mode:=key_press"
    )
    try:
        robot.wait(lambda: robot.images.get_subscription_count() and robot.status, "the recorder")
        person, _ = sit_down(robot, people)
        robot.publish_frames(3, 0.05)
        robot.wait(lambda: "1box_left" in person.screen, "the proposal on the screen")

        def recording() -> bool:
            robot.publish_frames(1)  # a camera that stands still is refused
            return robot.status["state"] == "recording"

        robot.publish_frames(2)
        person.press("n")
        robot.wait(recording, "the start")
        driven = ("w", "q", "r", " ")
        for count, key in enumerate(driven, 1):
            robot.publish_frames(2)
            person.press(key)

            def row_is_made(wanted: int = count) -> bool:
                robot.publish_frames(1)
                return robot.status["frames"] == wanted

            robot.wait(row_is_made, f"the row of {key!r}")
        person.press("m")
        robot.wait(lambda: robot.status["message"].startswith("saved"), "the save")
        (first,) = find_episodes(folder)
        with open_episode(first) as episode:
            expected = [[0.3, 0, 0], [0.3, 0.3, 0], [0, 0, 1.0], [0, 0, 0]]
            np.testing.assert_allclose(episode.actions, expected, atol=1e-6)
            assert episode.events == [
                "episode_start",
                "start_action",
                "start_action",
                "stop_action",
            ]
            assert episode.instruction == "go left"

        robot.wait(lambda: robot.status["scenario"] == "1box_right", "the next proposal")
        assert (robot.status["left"], robot.status["right"]) == (1, 0)
        person.press("i")
        person.press("\x15컵으로 가세요\n")
        robot.wait(lambda: robot.status["instruction"] == "컵으로 가세요", "the instruction")
        robot.publish_frames(2)
        person.press("n")
        robot.wait(recording, "the second start")
        person.press("\x7f")
        robot.spin(0.3)
        assert robot.status["state"] == "recording"
        person.press("\x7f")
        robot.wait(lambda: robot.status["message"] == "discarded", "the discarding")
        assert find_episodes(folder) == [first]

        person.press("[")
        robot.wait(lambda: robot.status["scenario"] == "1box_left", "the scenario before")
        assert robot.status["instruction"] == "go left"
    finally:
        end(recorder)


def test_a_typed_line_is_edited_taken_or_left() -> None:
    line = TextLine("instruction", "old")
    for key in "\x15go lefx\x7ft":
        assert line.press(key) is None
    assert line.press("\n") is True
    assert line.text == "go left"
    assert TextLine("scenario").press("\x1b") is False


def test_a_status_line_is_cut_by_columns_not_by_characters() -> None:
    assert cut_to_width("abc", 2) == "ab"
    assert cut_to_width("컵으로", 4) == "컵으"
    assert cut_to_width("컵으로", 5) == "컵으"
