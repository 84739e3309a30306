"""The recorder as a process beside a robot in another: what is sent is what is in the file."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
from nav_msgs.msg import Odometry
from rclpy.qos import ReliabilityPolicy
from recorder_harness import Robot, end, start_node
from sensor_msgs.msg import Image

from mobile_vla_ros.episodes import find_episodes, open_episode
from mobile_vla_ros.episodes.recovery import being_recorded
from mobile_vla_ros.nodes.wiring.image_message import image_message

pytestmark = pytest.mark.ros

LEFT = ("scenario:=1box_left", "instruction:='go left'")


@pytest.fixture
def record(ros_domain: int, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Starts a recorder (in mode frame, if nothing else is said) and a robot beside it."""
    processes: list[subprocess.Popen] = []
    robots: list[Robot] = []

    def start(*parameters: str, robot: Robot | None = None, frame: bool = True, **options: Any):
        if not any(parameter.startswith("mode:") for parameter in parameters):
            parameters = ("mode:=frame", *parameters)
        process = start_node(
            "recorder_node", f"directory:={tmp_path / 'episodes'}", *parameters, **options
        )
        processes.append(process)
        robot = robot or Robot(ros_domain)
        robots.append(robot)
        robot.wait_for_recorder()
        if frame:
            robot.publish_frames(3, 0.05)
        return robot, process

    yield start
    for process in processes:
        end(process)
    for robot in robots:
        robot.close()


def test_what_was_published_is_in_the_file_bit_by_bit_with_the_command_at_capture(record) -> None:
    robot, _ = record(*LEFT)
    robot.start()
    expected = []
    rng = np.random.default_rng(0)
    for k in range(15):
        robot.drive(0.01 * k, -0.02 * k)
        # A command counts from its arrival, which takes its time on a busy machine.
        robot.spin(0.1)
        stamp = robot.publish_image(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8))
        expected.append((stamp, (0.01 * k, 0.0, -0.02 * k)))
        robot.spin(0.02)
    path = robot.save()
    with open_episode(path) as episode:
        assert [stamp for stamp, _ in expected] == pytest.approx(list(episode.image_stamps))
        for row, (stamp, action) in enumerate(expected):
            np.testing.assert_array_equal(episode.image(row), robot.sent[stamp])
            np.testing.assert_allclose(episode.actions[row], action, atol=1e-7)
        age = episode.image_stamps - episode.action_stamps
        assert np.all((age > 0) & (age < 0.5))
        assert np.all(episode.received_stamps >= episode.image_stamps)
        assert episode.instruction == "go left"
        assert episode.scenario == "1box_left"
        assert episode.complete
        assert episode.attributes["frames_received"] == 15
        assert episode.attributes["frames_dropped"] == 0
        assert episode.attributes["frames_lost"] == 0


def test_a_command_that_came_after_the_capture_is_not_paired_with_the_frame(record) -> None:
    robot, _ = record(*LEFT)
    robot.start()
    robot.drive(0.1)
    robot.spin(0.1)
    captured = robot.now()
    robot.spin(0.05)
    robot.drive(0.2)
    robot.spin(0.1)
    robot.publish_image(np.zeros((48, 64, 3), np.uint8), stamp=captured)
    robot.publish_frames(1)
    with open_episode(robot.save()) as episode:
        np.testing.assert_allclose(episode.actions[:, 0], [0.1, 0.2], atol=1e-7)


def test_stamped_commands_and_best_effort_topics_are_recorded_too(record, ros_domain: int) -> None:
    robot = Robot(ros_domain, stamped=True, reliability=ReliabilityPolicy.BEST_EFFORT)
    record(*LEFT, robot=robot)
    robot.start()
    robot.drive(0.3, 0.4)
    robot.spin(0.1)
    robot.publish_frames(3)
    with open_episode(robot.save()) as episode:
        np.testing.assert_allclose(episode.actions, [[0.3, 0.0, 0.4]] * 3, atol=1e-6)


def test_a_compressed_topic_is_stored_as_it_came(record, ros_domain: int) -> None:
    robot = Robot(ros_domain, compressed=True)
    rng = np.random.default_rng(0)
    pictures = [
        cv2.imencode(".jpg", rng.integers(0, 256, (48, 64, 3), dtype=np.uint8))[1].tobytes()
        for _ in range(8)
    ]
    record(*LEFT, "image_transport:=compressed", robot=robot, frame=False)
    robot.publish_jpeg(pictures[0])
    robot.spin(0.1)
    robot.start()
    for picture in pictures:
        robot.publish_jpeg(picture)
        robot.spin(0.02)
    with open_episode(robot.save()) as episode:
        assert [episode.jpeg(row) for row in range(len(episode))] == pictures


def test_odometry_stands_beside_the_frames(record) -> None:
    robot, _ = record(*LEFT)
    message = Odometry()
    message.pose.pose.position.x = 1.5
    message.pose.pose.orientation.z = np.sin(0.3)
    message.pose.pose.orientation.w = np.cos(0.3)
    message.twist.twist.linear.x = 0.25
    robot.wait(robot.odometry.get_subscription_count, "the odometry subscription")
    message.header.stamp = robot.node.get_clock().now().to_msg()
    stamp = message.header.stamp.sec + message.header.stamp.nanosec * 1e-9
    robot.odometry.publish(message)
    robot.spin(0.1)
    robot.start()
    robot.publish_frames(3)
    with open_episode(robot.save()) as episode:
        np.testing.assert_allclose(episode.odom[0], [1.5, 0, 0.6, 0.25, 0, 0, stamp], atol=1e-9)


def test_rows_at_a_rate_an_episode_of_given_length_and_a_discarded_one(record) -> None:
    robot, _ = record(*LEFT, "mode:=rate", "rate:=10.0", "episode_length:=6")
    robot.publish_frames(10, 0.02)
    robot.start()
    robot.publish_frames(5, 0.02)
    response = robot.call("discard")
    assert response.success
    directory = Path(robot.status["path"]).parent
    assert find_episodes(directory) == []
    robot.start()
    while robot.status["state"] != "idle" or not robot.status["message"].startswith("saved"):
        robot.publish_frames(1, 0.02)
    assert not robot.call("save").success
    (path,) = find_episodes(directory)
    with open_episode(path) as episode:
        assert len(episode) == 6
        # A row that a busy machine made late may be followed by one in time, never by two at once.
        assert np.all(np.diff(episode.image_stamps) > 0.05)
        assert episode.attributes["recording_rate"] == 10.0
    assert [name.name for name in directory.iterdir()] == [path.name]


def test_a_new_instruction_waits_until_the_episode_is_over_and_no_frame_crosses(record) -> None:
    robot, _ = record(*LEFT)
    robot.start()
    left = robot.publish_frames(5)
    refused = robot.set_parameters(scenario="1box_right", instruction="go right")
    assert not refused.successful
    assert "save or discard it" in refused.reason
    left += robot.publish_frames(2)
    first = robot.save()
    between = robot.publish_frames(5)
    assert robot.set_parameters(scenario="1box_right", instruction="go right 오른쪽").successful
    robot.start()
    late = robot.publish_image(np.zeros((48, 64, 3), np.uint8), stamp=between[-1])
    right = robot.publish_frames(4)
    second = robot.save()
    with open_episode(first) as episode:
        assert list(episode.image_stamps) == pytest.approx(left)
        assert (episode.scenario, episode.instruction) == ("1box_left", "go left")
    with open_episode(second) as episode:
        assert list(episode.image_stamps) == pytest.approx(right)
        assert late not in episode.image_stamps
        assert (episode.scenario, episode.instruction) == ("1box_right", "go right 오른쪽")
    assert second.name.endswith("_1box_right.h5")


def test_start_is_refused_with_a_sentence_when_something_is_missing(record) -> None:
    robot, _ = record(frame=False)
    assert "scenario" in robot.call("start").message
    robot.set_parameters(scenario="1box_left")
    assert "instruction" in robot.call("start").message
    robot.set_parameters(instruction="go")
    assert "no image has arrived" in robot.call("start").message
    robot.publish_image(np.zeros((48, 64, 3), np.uint8), stamp=robot.now() - 7.0)
    robot.spin(0.2)
    assert "clock" in robot.call("start").message
    robot.publish_frames(1)
    robot.set_parameters(episode_length=10_000_000)
    robot.publish_frames(1, size=(2000, 2000))
    response = robot.call("start")
    assert not response.success
    assert "GB left" in response.message
    assert not robot.call("save").success


def test_after_a_kill_the_next_start_finishes_what_was_interrupted(record, tmp_path: Path) -> None:
    robot, process = record(*LEFT)
    robot.start()
    stamps = robot.publish_frames(20)
    robot.wait(lambda: robot.status["frames_written"] == 20, "twenty written frames")
    os.killpg(process.pid, signal.SIGKILL)  # the node and its writer
    process.wait()
    folder = tmp_path / "episodes"
    assert find_episodes(folder) == []
    (part,) = folder.glob("*.part")
    robot.wait(lambda: not being_recorded(part), "the end of the killed writer")
    with h5py.File(part, "r") as file:
        assert "images" in file
    robot.status = {}
    record(*LEFT, robot=robot, frame=False)
    robot.wait(lambda: find_episodes(folder), "the recovered file")
    (path,) = find_episodes(folder)
    with open_episode(path) as episode:
        assert not episode.complete
        assert list(episode.image_stamps) == pytest.approx(stamps)
        for row, stamp in enumerate(stamps):
            np.testing.assert_array_equal(episode.image(row), robot.sent[stamp])
    robot.wait(
        lambda: any(
            path.name in s["message"] or "recovered" in s["message"] for s in robot.statuses[-20:]
        ),
        "the word that a file was recovered",
    )


def test_a_node_that_is_killed_leaves_a_writer_that_finishes_the_file(
    record, tmp_path: Path
) -> None:
    robot, process = record(*LEFT)
    robot.start()
    robot.publish_frames(10)
    robot.wait(lambda: robot.status["frames_received"] == 10, "ten frames")
    process.kill()
    folder = tmp_path / "episodes"
    robot.wait(lambda: folder.is_dir() and find_episodes(folder), "the finished file")
    with open_episode(find_episodes(folder)[0]) as episode:
        assert len(episode) == 10
        assert not episode.complete


@pytest.mark.usefixtures("hearing_hangups")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_told_to_stop_while_recording_it_finishes_the_file(
    record, tmp_path: Path, number: int
) -> None:
    robot, process = record(*LEFT)
    robot.start()
    robot.publish_frames(5)
    robot.wait(lambda: robot.status["frames_received"] == 5, "five frames")
    process.send_signal(number)
    assert process.wait(20) == 0
    (path,) = find_episodes(tmp_path / "episodes")
    with open_episode(path) as episode:
        assert len(episode) == 5
        assert not episode.complete


def test_a_disk_that_hangs_costs_frames_that_are_counted_and_nothing_else(record) -> None:
    robot, _ = record(*LEFT, "queue_frames:=4")
    robot.start()
    robot.publish_frames(5)
    robot.wait(lambda: robot.status["frames_written"] == 5, "five written frames")
    writer = robot.status["writer_process"]
    os.kill(writer, signal.SIGSTOP)
    robot.publish_frames(10)
    robot.wait(lambda: robot.status["frames_dropped"] == 6, "six dropped frames")
    os.kill(writer, signal.SIGCONT)
    robot.wait(lambda: robot.status["queued"] == 0, "an empty queue")
    robot.publish_frames(3)
    with open_episode(robot.save()) as episode:
        counts = episode.attributes
        assert (counts["frames_received"], counts["frames_dropped"]) == (18, 6)
        assert len(episode) == counts["frames_written"] == 12
        assert len(set(episode.image_stamps)) == 12
        for row, stamp in enumerate(episode.image_stamps):
            np.testing.assert_array_equal(episode.image(row), robot.sent[stamp])


def test_a_writer_that_dies_is_replaced_and_its_episode_recovered(record, tmp_path: Path) -> None:
    robot, _ = record(*LEFT)
    robot.start()
    robot.publish_frames(5)
    robot.wait(lambda: robot.status["frames_written"] == 5, "five written frames")
    os.kill(robot.status["writer_process"], signal.SIGKILL)
    robot.wait(lambda: "writer process" in robot.status["error"], "the error")
    robot.wait(lambda: find_episodes(tmp_path / "episodes"), "the recovered file")
    robot.publish_frames(1)
    robot.start()
    robot.publish_frames(3)
    with open_episode(robot.save()) as episode:
        assert len(episode) == 3


def test_a_full_disk_stops_the_recording_and_the_episode_so_far_is_valid(
    record, tmp_path: Path
) -> None:
    def limit_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 20, 4 << 20))

    robot, _ = record(*LEFT, preexec_fn=limit_files)
    robot.publish_frames(1, size=(120, 160))
    robot.start()
    while robot.status["state"] != "idle" or not robot.status["error"]:
        robot.publish_frames(1, 0.01, size=(120, 160))
    assert "recording stopped" in robot.status["error"]
    (path,) = find_episodes(tmp_path / "episodes")
    with open_episode(path) as episode:
        assert not episode.complete
        assert 20 < len(episode) < 80
        for row, stamp in enumerate(episode.image_stamps):
            np.testing.assert_array_equal(episode.image(row), robot.sent[stamp])


def test_frames_that_never_arrive_are_counted_from_the_stamps(record) -> None:
    robot, _ = record(*LEFT)
    start = robot.now()
    robot.spin(1.0)
    picture = np.zeros((48, 64, 3), np.uint8)
    robot.publish_image(picture)
    robot.spin(0.2)
    robot.start()
    time.sleep(1.5)
    start = robot.now() - 1.0
    for k in [*range(12), *range(15, 20)]:
        robot.publish_image(picture, stamp=start + k * 0.04)
        robot.spin(0.01)
    with open_episode(robot.save()) as episode:
        assert len(episode) == 17
        assert episode.attributes["frames_lost"] == 3


def test_a_folder_that_cannot_be_made_is_named_before_anything_is_recorded(
    ros_domain: int, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    place = tmp_path / "file" / "episodes"
    result = subprocess.run(
        [
            *(sys.executable, "-m", "mobile_vla_ros.nodes.recorder_node"),
            *("--ros-args", "-p", f"directory:={place}"),
        ],
        capture_output=True,
        text=True,
        timeout=60.0,
        check=False,
    )
    assert result.returncode == 2
    assert f"cannot write episodes to {place}: Not a directory" in result.stderr
    assert "Traceback" not in result.stderr


def test_two_cameras_that_speak_in_turns_are_refused_and_end_a_recording(record) -> None:
    robot, _ = record(*LEFT)
    other = robot.node.create_publisher(Image, "image", 5)
    robot.start()  # one that says nothing is no camera
    robot.publish_frames(4)

    def in_turns() -> None:
        for _ in range(6):
            robot.publish_frames(1)
            picture = image_message(np.zeros((48, 64, 3), np.uint8))
            picture.header.stamp = robot.node.get_clock().now().to_msg()
            other.publish(picture)
            robot.spin(0.02)

    robot.wait(lambda: other.get_subscription_count(), "somebody hears the other camera")
    in_turns()
    robot.wait(lambda: robot.status["state"] == "idle", "the recording has ended")
    assert "2 nodes publish /image in mid-episode" in robot.status["error"]
    in_turns()
    answer = robot.call("start")
    assert not answer.success
    assert "2 nodes publish /image: record one camera" in answer.message


def test_pictures_that_are_cut_off_are_left_out_and_counted(record, ros_domain: int) -> None:
    robot = Robot(ros_domain, compressed=True)
    record(*LEFT, "image_transport:=compressed", robot=robot, frame=False)
    whole = cv2.imencode(".jpg", np.zeros((48, 64, 3), np.uint8))[1].tobytes()
    for data in (b"", b"\0\0\0\1\x67", whole[:100]):
        robot.publish_jpeg(data)
        robot.spin(0.05)
    answer = robot.call("start")
    assert not answer.success
    assert "cut off" in answer.message
    robot.publish_jpeg(whole)
    robot.spin(0.05)
    robot.start()
    for data in (whole, b"", whole, whole[:100], whole):
        robot.publish_jpeg(data)
        robot.spin(0.05)
    with open_episode(robot.save()) as episode:
        assert len(episode) == 3
        assert episode.attributes["frames_received"] == 5
        assert episode.attributes["frames_dropped"] == 2
        assert episode.complete
