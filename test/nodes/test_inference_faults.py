from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from rig import Rig

pytestmark = pytest.mark.ros

# Real processes on a machine that may be busy: the exact times are proved on a virtual clock.
SOON = 2.0
# The double's policy drives slowly enough to go on for ever and fast enough not to have arrived.
FORWARD = "forward:0.2"


@pytest.fixture
def rig(ros_domain, tmp_path):
    with Rig(tmp_path) as rig:
        yield rig


def drive(rig: Rig, checkpoint: str = FORWARD, **parameters):
    parameters = {"instruction": "go", "image_timeout": 0.5, "chunk_timeout": 0.9, **parameters}
    node = rig.start_node(checkpoint, **parameters)
    return node


def zero_from(rig: Rig, begin: float) -> float:
    """Seconds from `begin` to the first zero after which everything heard is zero."""
    first = None
    for when, velocities in rig.commands:
        if any(velocities):
            first = None
        elif first is None:
            first = when
    assert first is not None
    return first - begin


def worker_of(node) -> int:
    """Process id of the node's worker."""
    for thread in Path(f"/proc/{node.pid}/task").iterdir():
        for child in (thread / "children").read_text().split():
            if "worker_double" in Path(f"/proc/{child}/cmdline").read_text():
                return int(child)
    raise AssertionError("no worker")


def test_a_stopped_camera_means_zero_and_a_living_one_drives_on(rig) -> None:
    drive(rig)
    camera = rig.start_camera()
    rig.wait_until_moving()
    camera.send_signal(signal.SIGSTOP)
    begin = time.monotonic()
    rig.wait_for_state("stopped: camera silent")
    rig.wait(lambda: not rig.moving, "standing")
    assert zero_from(rig, begin) < SOON
    before = len(rig.commands)
    rig.wait(lambda: len(rig.commands) > before + 5, "zeros that keep coming")
    assert not any(any(velocities) for _, velocities in rig.commands[before:])
    camera.send_signal(signal.SIGCONT)
    rig.wait_until_moving()


def test_a_killed_camera_that_comes_back_otherwise_drives_on(rig) -> None:
    drive(rig)
    camera = rig.start_camera()
    rig.wait_until_moving()
    camera.kill()
    rig.wait_for_state("stopped: camera silent")
    rig.start_camera("--best-effort", "--size", "96x80")
    rig.wait_until_moving()


def test_a_frozen_camera_stops_the_robot(rig) -> None:
    drive(rig, frozen_timeout=0.5)
    rig.start_camera("--frozen")
    rig.wait_for_state("stopped: camera frozen")
    rig.wait(lambda: rig.commands and not rig.moving, "standing")


def test_a_worker_that_holds_the_interpreter_in_c_is_replaced_while_zeros_keep_their_period(
    rig,
) -> None:
    node = drive(rig, "held_after:20", worker_timeout=1.0)
    rig.start_camera()
    rig.wait_until_moving()
    first = worker_of(node)
    rig.wait(lambda: "stopped: model hung" in rig.states, "a hang that is noticed")
    rig.wait(lambda: len(rig.commands) > 20, "commands")
    # the model drives again, from a new process
    rig.wait(lambda: rig.states.count("driving") > 1, "driving again")
    assert worker_of(node) != first
    times = np.array([when for when, _ in rig.commands])
    assert np.diff(times).max() < 0.9 * SOON, "cmd_vel stood still while the model hung"
    assert np.median(np.diff(times)) == pytest.approx(0.05, abs=0.02)
    rig.wait(lambda: rig.diagnosis("worker_restarts") > "0", "a count")


def test_a_killed_worker_stops_the_robot_and_three_in_ten_seconds_latch(rig) -> None:
    node = drive(rig)
    rig.start_camera()
    for kill in (1, 2, 3):
        rig.wait_until_moving()
        os.kill(worker_of(node), signal.SIGKILL)
        rig.wait(lambda: rig.state != "driving", "noticing")
        if kill < 3:
            rig.wait(lambda: "SIGKILL" in rig.log(), "the reason in the log")
    rig.wait_for_state("stopped: model failed")
    stuck = len(rig.commands)
    rig.wait(lambda: len(rig.commands) > stuck + 30, "zeros")
    assert rig.state == "stopped: model failed"
    assert not any(any(velocities) for _, velocities in rig.commands[stuck:])
    assert rig.enable(True).success
    rig.wait_until_moving()


@pytest.mark.parametrize(
    ("checkpoint", "reason"),
    [
        ("nan_after:10", "bad output"),
        ("raise_after:10", "model failed"),
        ("slow:0.7", "model too slow"),
    ],
)
def test_a_bad_model_means_zero_with_its_reason(rig, checkpoint, reason) -> None:
    drive(rig, checkpoint, worker_timeout=3.0, chunk_timeout=0.4)
    rig.start_camera()
    rig.wait(lambda: f"stopped: {reason}" in rig.states, reason)
    at = len(rig.commands)
    rig.wait(lambda: len(rig.commands) > at + 3, "commands")
    assert all(np.isfinite(velocities).all() for _, velocities in rig.commands)
    if reason == "bad output":
        # what cannot be driven is never sent, and never shown as a plan either
        assert all(len(chunk.points) == 10 for chunk in rig.chunks)


@pytest.mark.usefixtures("hearing_hangups")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_sends_zeros_first_and_ends_in_time_though_the_worker_hangs(rig, number) -> None:
    node = drive(rig)
    rig.start_camera()
    rig.wait_until_moving()
    worker = worker_of(node)
    os.kill(worker, signal.SIGSTOP)
    begin = time.monotonic()
    node.send_signal(number)
    # Ctrl-C under a launch file comes twice
    time.sleep(0.05)
    node.send_signal(number)
    assert rig.wait_for_exit(node, 10.0) == 0
    assert time.monotonic() - begin < 3.0 + SOON
    assert not Path(f"/proc/{worker}").exists()
    rig.wait(lambda: not rig.moving, "standing")
    last = [velocities for _, velocities in rig.commands[-3:]]
    assert last == [(0.0, 0.0, 0.0)] * 3


def test_without_clock_a_node_on_simulation_time_stands(rig) -> None:
    drive(rig, use_sim_time=True)
    rig.start_camera()
    rig.wait(lambda: rig.state.startswith("stopped: "), "a stop")
    assert rig.state == "stopped: clock jumped"
    before = len(rig.commands)
    rig.wait(lambda: len(rig.commands) > before + 10, "zeros that keep coming")
    assert not any(any(velocities) for _, velocities in rig.commands)


def test_with_exclusive_a_second_publisher_stops_it_until_it_goes(rig) -> None:
    from geometry_msgs.msg import Twist

    drive(rig, exclusive=True)
    rig.start_camera()
    rig.wait_until_moving()
    other = rig.node.create_publisher(Twist, "cmd_vel", 1)
    rig.wait_for_state("stopped: taken over")
    rig.wait(lambda: not rig.moving, "standing")
    assert "/rig publishes on /cmd_vel too" in rig.log()
    rig.wait(lambda: rig.diagnosis("other_publishers") == "/rig", "a diagnosis")
    rig.node.destroy_publisher(other)
    rig.wait_until_moving()


def test_two_robots_in_two_namespaces_do_not_hear_each_other(ros_domain, tmp_path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with Rig(tmp_path / "a", "robot_a") as a, Rig(tmp_path / "b", "robot_b") as b:
        drive(a, "forward:0.1")
        drive(b, "forward:0.2")
        a.start_camera()
        a.wait_until_moving()
        b.wait_for_state("waiting_for_camera")
        b.start_camera()
        b.wait_until_moving()
        a.wait(lambda: a.commands[-1][1][0] == pytest.approx(0.1), "robot_a's own speed")
        b.wait(lambda: b.commands[-1][1][0] == pytest.approx(0.2), "robot_b's own speed")
        assert a.trigger("stop").success
        a.wait_for_state("stopped: stop service")
        assert b.state == "driving"


def test_images_of_no_size_and_of_another_size_do_no_harm(rig) -> None:
    drive(rig, "steady", max_linear=1.0)
    rig.wait_for_state("waiting_for_camera")
    rig.wait(lambda: rig.camera.get_subscription_count() == 1, "a subscription")
    empty = np.zeros((0, 0, 3), np.uint8)
    for number in range(200):
        if number < 5:
            rig.publish_image(empty)
        elif number == 20:
            rig.publish_image(np.zeros((10, 10, 3), np.uint8), step=31)
        elif number == 21:
            rig.publish_image(np.zeros((10, 10, 3), np.uint8), encoding="nonsense")
        else:
            side = 48 + 16 * (number // 10 % 3)
            image = np.full((side, side + 16, 3), 100 + number % 50, np.uint8)
            rig.publish_image(image)
        time.sleep(0.02)
        if number > 40 and rig.moving and len(rig.chunks) > 30:
            break
    assert rig.state == "driving"
    assert "the image is 0x0" in rig.log()
    assert all(0.1 <= c.points[0].velocities[0].linear.x <= 0.15 for c in rig.chunks)


@pytest.mark.parametrize(
    ("checkpoint", "parameters", "sentence"),
    [
        ("refuse", {}, "the test says that it is no good"),
        ("", {}, "no checkpoint is given"),
        (FORWARD, {"max_linear": -1.0}, "max_linear is -1.0: it must lie between"),
        (FORWARD, {"instruction": False}, "parameter instruction must be text"),
    ],
)
def test_what_cannot_work_ends_the_node_with_one_sentence(
    rig, checkpoint, parameters, sentence
) -> None:
    node = rig.start_node(checkpoint, **parameters)
    assert rig.wait_for_exit(node) == 2
    said = [line for line in rig.log().splitlines() if sentence in line]
    assert len(said) == 1
    assert "Traceback" not in rig.log()
    assert not rig.commands


def test_a_missing_checkpoint_file_is_named(rig) -> None:
    node = rig.start_node("/nowhere/at_all.ckpt", double=False)
    assert rig.wait_for_exit(node) == 2
    assert "/nowhere/at_all.ckpt" in rig.log()
    assert "Traceback" not in rig.log()


def test_when_configuring_fails_no_publisher_is_left(rig) -> None:
    rig.start_node("refuse", autostart=False)
    rig.wait_for_state("unconfigured")
    assert not rig.transition("configure")
    assert rig.lifecycle() == "unconfigured"
    assert rig.node.count_publishers("/cmd_vel") == 0
    assert rig.node.count_publishers("/mobile_vla/chunk") == 0
    # the reason can be mended without starting anew
    assert rig.set_parameter("checkpoint", rig.behaviour(FORWARD)) == ""
    assert rig.transition("configure")
    assert rig.lifecycle() == "inactive"
