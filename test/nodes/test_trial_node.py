import json
import time
from pathlib import Path

import pytest
from rig import Rig
from std_msgs.msg import String
from std_srvs.srv import Trigger

from mobile_vla_ros.episodes import open_episode
from mobile_vla_ros.episodes.incident import read_incident
from mobile_vla_ros.trials.log import read_trials

pytestmark = pytest.mark.ros

FORWARD = "forward:0.2"


class Field:
    """Camera, policy, guard, recorder and trial manager around a rig."""

    def __init__(self, rig: Rig, tmp_path: Path, **parameters) -> None:
        self.rig = rig
        self.folder = tmp_path / "trials"
        self.status: dict = {}
        rig.node.create_subscription(String, "trial_manager/status", self._hear, 50)
        self.camera = rig.start_camera("--rate", "20")
        self.policy = rig.start_node(
            FORWARD,
            "-r",
            "cmd_vel:=policy_cmd_vel",
            enabled=False,
            image_timeout=1.0,
            chunk_timeout=0.9,
        )
        self.guard = self.start("cmd_vel_guard", deadman_required=True)
        self.recorder = self.start(
            "recorder_node", directory=str(self.folder / "episodes"), image_format="jpeg"
        )
        self.settings = {
            "directory": str(self.folder),
            "scenario": "1box_left",
            "instruction": "go left",
            "incident_before": 3.0,
            "incident_after": 0.5,
            **parameters,
        }
        self.manager = self.start("trial_node", **self.settings)
        rig.wait(lambda: self.status, "the trial manager's status")

    def start(self, name: str, **parameters):
        file = self.rig.write_parameters(parameters)
        command = ["-m", f"mobile_vla_ros.nodes.{name}", "--ros-args", "--params-file", str(file)]
        return self.rig.start(*command, name=name)

    def call(self, name: str) -> Trigger.Response:
        return self.rig.call(Trigger, f"trial_manager/{name}", Trigger.Request())

    def begin(self) -> None:
        """Starts a trial, as soon as camera and recorder are ready for it."""
        deadline = time.monotonic() + 40
        while not (answer := self.call("start")).success:
            assert time.monotonic() < deadline, answer.message
            time.sleep(0.3)

    def finished(self, count: int):
        log = self.folder / "trials.jsonl"
        self.rig.wait(
            lambda: log.exists() and len(read_trials(log)[0]) >= count, f"{count} trials written"
        )
        return read_trials(log)[0]

    def _hear(self, message: String) -> None:
        self.status = json.loads(message.data)


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
    field.status = {}
    field.manager = field.start("trial_node", **field.settings)
    rig.wait(lambda: field.status, "the manager is back")
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
