"""Camera, policy, guard, recorder and trial manager around a rig, for tests of trials."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

from rig import Rig
from std_msgs.msg import String
from std_srvs.srv import Trigger

from mobile_vla_ros.trials.log import read_trials
from mobile_vla_ros.trials.record import TrialRecord

FORWARD = "forward:0.2"


class Field:
    """Camera, policy, guard, recorder and trial manager around a rig."""

    def __init__(self, rig: Rig, tmp_path: Path, **parameters) -> None:
        self.rig = rig
        self.folder = tmp_path / "trials"
        self.status: dict = {}
        rig.node.create_subscription(String, "trial_manager/status", self._hear, 50)
        self.start_camera()
        self.start_policy()
        self.start_guard()
        self.start_recorder()
        self.settings = {
            "directory": str(self.folder),
            "scenario": "1box_left",
            "instruction": "go left",
            "incident_before": 3.0,
            "incident_after": 0.5,
            **parameters,
        }
        self.start_manager()

    def start_camera(self) -> None:
        self.camera = self.rig.start_camera("--rate", "20")

    def start_policy(self) -> None:
        self.policy = self.rig.start_node(
            FORWARD,
            "-r",
            "cmd_vel:=policy_cmd_vel",
            enabled=False,
            image_timeout=1.0,
            chunk_timeout=0.9,
        )

    def start_guard(self) -> None:
        self.guard = self.start("cmd_vel_guard", deadman_required=True)

    def start_recorder(self) -> None:
        self.recorder = self.start(
            "recorder_node", directory=str(self.folder / "episodes"), image_format="jpeg"
        )

    def start_manager(self) -> None:
        self.status = {}
        self.manager = self.start("trial_node", **self.settings)
        self.rig.wait(lambda: self.status, "the trial manager's status")

    def start(self, name: str, **parameters) -> subprocess.Popen:
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

    def finished(self, count: int) -> list[TrialRecord]:
        log = self.folder / "trials.jsonl"
        self.rig.wait(
            lambda: log.exists() and len(read_trials(log)[0]) >= count, f"{count} trials written"
        )
        return read_trials(log)[0]

    def _hear(self, message: String) -> None:
        self.status = json.loads(message.data)
