import contextlib
import os
import subprocess
import time

import pytest
from geometry_msgs.msg import Twist
from nav_msgs.msg import Odometry
from rig import Rig
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger
from trial_rig import Field

from mobile_vla_ros.episodes import open_episode
from mobile_vla_ros.episodes.incident import read_incident

pytestmark = pytest.mark.ros


@pytest.fixture
def rig(ros_domain, tmp_path):
    with Rig(tmp_path) as rig:
        yield rig


def test_a_trial_is_driven_judged_recorded_and_written_down(rig, tmp_path) -> None:
    field = Field(rig, tmp_path)
    field.begin()
    rig.wait(lambda: rig.moving, "the robot moves")
    time.sleep(1.5)
    reason = rig.node.create_publisher(String, "trial_manager/reason", 1)
    rig.wait(lambda: reason.get_subscription_count() > 0, "somebody hears the reason")
    reason.publish(String(data="reached the bottle"))
    time.sleep(0.3)
    assert field.call("success").success
    record = field.finished(1)[0]
    assert (record.outcome, record.cause) == ("success", "reached the bottle")
    assert record.driving_time > 1.0
    assert record.path_source == "commands"
    assert record.path_length == pytest.approx(0.2 * record.driving_time, rel=0.5)
    assert record.latency["p50"] > 0
    assert len(record.checkpoint_sha256) == 64
    rig.wait(lambda: not rig.moving, "the robot stands")
    assert record.episode is not None
    with open_episode(field.folder / "episodes" / record.episode) as episode:
        assert (episode.scenario, episode.instruction) == ("1box_left", "go left")
        assert episode.outcome == "success"
        assert len(episode) > 5
    # The next trial can begin at once.
    field.begin()
    assert field.call("abort").success
    assert [r.outcome for r in field.finished(2)] == ["success", "abort"]


def test_a_killed_manager_stops_the_robot_and_its_trial_is_offered_again(rig, tmp_path) -> None:
    field = Field(rig, tmp_path)
    field.begin()
    rig.wait(lambda: rig.moving, "the robot moves")
    field.manager.kill()
    field.manager.wait()
    rig.wait(lambda: not rig.moving, "the robot stands", 5.0)
    moved = len(rig.commands)
    field.start_manager()
    # Its heartbeat is back, but the policy that it had enabled has been told to stand first.
    time.sleep(2.0)
    assert not any(any(velocities) for _, velocities in rig.commands[moved:])
    assert field.status["broken"]["scenario"] == "1box_left"
    assert field.call("failure").success
    record = field.finished(1)[0]
    assert (record.outcome, record.scenario) == ("failure", "1box_left")


def test_an_unordered_stop_leaves_a_capsule(rig, tmp_path) -> None:
    field = Field(rig, tmp_path)
    field.begin()
    rig.wait(lambda: rig.moving, "the robot moves")
    time.sleep(1.0)
    field.camera.kill()
    rig.wait_for_state("stopped: camera silent")
    incidents = field.folder / "incidents"

    def capsule():
        # A busy machine may have caused another stop, and another capsule, before this one.
        for path in sorted(incidents.glob("*.h5")):
            incident = read_incident(path)
            if "stopped: camera silent" in [text for _, text in incident.events]:
                return incident
        return None

    rig.wait(capsule, "a capsule of the silent camera")
    incident = capsule()
    assert incident is not None
    assert len(incident.jpegs) > 5
    assert len(incident.chunks) > 5
    assert incident.image(0).shape == (48, 64, 3)
    assert incident.attributes["instruction"] == "go left"
    assert incident.chunks[-1, 0, 0] == pytest.approx(0.2)
    assert len(incident.features) > 5
    # The double's feature is its frame's own stamp.
    assert incident.features[-1, 0] == pytest.approx(incident.feature_stamps[-1] % 1000, abs=1e-3)
    assert field.call("failure").success
    reasons = [stop["reason"] for stop in field.finished(1)[0].stops]
    assert "camera silent" in reasons


def test_time_out_is_a_failure_and_a_verdict_without_a_trial_is_refused(rig, tmp_path) -> None:
    field = Field(rig, tmp_path, time_limit=2.0, arrival="success")
    answer = field.call("success")
    assert not answer.success
    assert "no trial" in answer.message
    field.begin()
    record = field.finished(1)[0]
    assert (record.outcome, record.cause) == ("failure", "time-out")


def drive_by_hand(rig: Rig, publisher, seconds: float, speed: float = 0.1) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        twist = Twist()
        twist.angular.z = speed
        publisher.publish(twist)
        time.sleep(0.05)


def test_a_takeover_drives_is_counted_and_marked_until_the_policy_is_released(
    rig, tmp_path
) -> None:
    field = Field(rig, tmp_path)
    stick = rig.node.create_publisher(Twist, "teleop_cmd_vel", 1)
    rig.wait(lambda: stick.get_subscription_count() > 0, "the guard hears the joystick")
    field.begin()
    rig.wait(lambda: rig.moving, "the robot moves")
    time.sleep(0.5)
    drive_by_hand(rig, stick, 1.5)
    assert rig.commands[-1][1] == pytest.approx((0.0, 0.0, 0.1))
    rig.wait(lambda: not rig.moving, "the robot stands when the person lets go")
    time.sleep(0.7)
    assert not rig.moving
    assert rig.call(Trigger, "cmd_vel_guard/release", Trigger.Request()).success
    rig.wait(lambda: rig.moving, "the policy drives again")
    time.sleep(0.5)
    assert field.call("success").success
    record = field.finished(1)[0]
    assert record.interventions == 1
    assert record.episode is not None
    with open_episode(field.folder / "episodes" / record.episode) as episode:
        taken = episode.taken_over
        assert taken is not None
        # Before, during and after, in one stretch each.
        assert (taken[0], taken[-1]) == (False, False)
        assert 10 <= taken.sum() < len(episode)
        assert abs(taken.astype(int)[1:] - taken.astype(int)[:-1]).sum() == 2
        turning = episode.actions[:, episode.action_axes.index("angular.z")] > 0.05
        # The guard says so right behind its first command: one row may lie between the two.
        assert taken[turning][1:].all()
    rig.wait(lambda: list((field.folder / "incidents").glob("*.h5")), "a capsule")
    assert read_incident(next((field.folder / "incidents").glob("*.h5"))).reason == "takeover"


def test_nothing_strange_moves_the_robot_and_the_trial_goes_on(rig, tmp_path) -> None:
    field = Field(rig, tmp_path)
    odometry = rig.node.create_publisher(Odometry, "odom", 5)
    button = rig.node.create_publisher(Bool, "operator_deadman", 1)
    stop = rig.node.create_publisher(Bool, "estop", 1)
    sticks = [rig.node.create_publisher(Twist, "teleop_cmd_vel", 1) for _ in range(2)]
    for publisher in (odometry, button, stop, *sticks):
        rig.wait(lambda p=publisher: p.get_subscription_count() > 0, "a listener")
    field.begin()
    rig.wait(lambda: rig.moving, "the robot moves")

    # Odometry that jumps by a kilometre is cut out of the path.
    for step in range(40):
        message = Odometry()
        message.pose.pose.position.x = 0.01 * step + (1000.0 if step >= 20 else 0.0)
        message.pose.pose.orientation.w = 1.0
        odometry.publish(message)
        time.sleep(0.05)

    # Two joysticks at once: neither drives.
    before = len(rig.commands)
    for _ in range(20):
        for sign, stick in zip((1.0, -1.0), sticks, strict=True):
            twist = Twist()
            twist.linear.y = sign
            stick.publish(twist)
        time.sleep(0.05)
    assert all(velocities[1] == 0.0 for _, velocities in rig.commands[before:])
    rig.wait(lambda: not rig.moving, "the robot stands")
    rig.node.destroy_publisher(sticks.pop())
    assert rig.call(Trigger, "cmd_vel_guard/release", Trigger.Request()).success
    rig.wait(lambda: rig.moving, "the policy drives again")

    # A deadman's joystick that disconnects while pressed.
    for _ in range(10):
        button.publish(Bool(data=True))
        time.sleep(0.05)
    assert rig.moving
    rig.wait(lambda: not rig.moving, "the robot stands without the deadman", 5.0)
    time.sleep(0.5)
    assert not rig.moving
    holding = rig.node.create_timer(0.05, lambda: button.publish(Bool(data=True)))
    rig.wait(lambda: rig.moving, "held again, it goes on")

    # The emergency stop latches until it is let go and released.
    stop.publish(Bool(data=True))
    rig.wait(lambda: not rig.moving, "the emergency stop", 5.0)
    stop.publish(Bool(data=False))
    time.sleep(0.5)
    assert not rig.moving
    assert field.call("failure").success
    rig.node.destroy_timer(holding)
    record = field.finished(1)[0]
    assert record.path_source == "odometry"
    assert record.path_length == pytest.approx(0.38, abs=0.02)
    assert record.interventions == 2


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "trials"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only a process that may mount can make a small disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(path) -> None:
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


def test_a_disk_that_fills_up_stops_the_robot_and_the_trial_is_kept(
    small_disk, rig, tmp_path
) -> None:
    field = Field(rig, tmp_path, record=False, incidents=False)
    field.begin()
    rig.wait(lambda: rig.moving, "the robot moves")
    filler = small_disk / "filler"
    fill(filler)
    assert field.call("success").success
    rig.wait(lambda: "NOT WRITTEN DOWN" in field.status["message"], "the alarm")
    rig.wait(lambda: not rig.moving, "the robot stands")
    # No other trial begins meanwhile.
    assert not field.call("start").success
    assert not rig.moving
    filler.unlink()
    record = field.finished(1)[0]
    assert record.outcome == "success"
    # On a full disk from the start no trial begins at all.
    fill(filler)
    rig.wait(lambda: field.status["phase"] == "waiting", "the manager waits")
    answer = field.call("start")
    assert not answer.success
    assert "No space left" in answer.message
    time.sleep(0.5)
    assert not rig.moving
    filler.unlink()


def test_in_shadow_mode_a_person_drives_and_the_agreement_is_written_down(rig, tmp_path) -> None:
    field = Field(rig, tmp_path, shadow=True, time_limit=60.0)
    # The policy wants (0.2, 0); it may publish nothing.
    field.policy.kill()
    field.policy.wait()
    rig.states.clear()
    field.policy = rig.start_node(
        "forward:0.2", dry_run=True, image_timeout=1.0, chunk_timeout=0.9
    )
    rig.wait(lambda: rig.states, "the watching policy")
    person = rig.node.create_publisher(Twist, "teleop_cmd_vel", 1)
    rig.wait(lambda: person.get_subscription_count() > 0, "the guard hears the person")
    field.begin()
    rig.wait(lambda: rig.chunks, "predictions")
    for forward, turn in ((0.2, 0.0), (0.0, 0.3)):
        end = time.monotonic() + 2.0
        while time.monotonic() < end:
            twist = Twist()
            twist.linear.x, twist.angular.z = forward, turn
            person.publish(twist)
            time.sleep(0.05)
    assert field.call("success").success
    record = field.finished(1)[0]
    assert record.shadow
    assert not record.counts
    agreement = record.agreement
    assert agreement["frames"] > 10
    assert agreement["agree forward"] > 0.8
    assert agreement["agree left"] < 0.3
    assert agreement["rmse linear.x"] > 0
    # The base heard the person and nobody else.
    assert {velocities for _, velocities in rig.commands} == {
        (0.0, 0.0, 0.0),
        (0.2, 0.0, 0.0),
        (0.0, 0.0, 0.3),
    }
