"""The trial launch file as it is, with a model of a few lines, in the simulated field."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import pytest
from installation import LAUNCHER, NODES, install
from rcl_interfaces.srv import GetParameters

sys.path.insert(0, str(NODES))

from rig import Rig

from mobile_vla_ros.trials.log import read_trials
from mobile_vla_ros.trials.plan import make_plan, plan_to_json

pytestmark = [pytest.mark.ros, pytest.mark.launch_ros, pytest.mark.egl]

PROGRAMS = ("sim_node", "cmd_vel_guard", "recorder_node", "trial_node")


@pytest.fixture
def prefix(tmp_path, monkeypatch) -> Path:
    """An installed package whose inference_node has the double for a model."""
    return install(
        tmp_path,
        monkeypatch,
        *PROGRAMS,
        programs={"inference_node": str(NODES / "driven_by_double.py")},
    )


def test_one_launch_file_drives_a_plan_in_the_field_and_ends_cleanly(
    ros_domain, tmp_path, prefix
) -> None:
    directory = tmp_path / "trials"
    log = directory / "trials.jsonl"
    with Rig(tmp_path) as rig:
        path = rig.behaviour("forward:0.3")
        plan, _ = make_plan({"1box_left_close": "go left"}, {"straight": path}, repeats=1)
        (tmp_path / "plan.json").write_text(json.dumps(plan_to_json(plan)))
        launch = prefix / "share" / "mobile_vla_ros" / "launch" / "trial.launch.py"
        process = rig.start(
            *("-c", LAUNCHER, str(launch), f"checkpoint:={path}"),
            *(f"plan:={tmp_path / 'plan.json'}", f"directory:={directory}"),
            *("field:=sim", "unattended:=true", "time_limit:=60.0"),
            name="node",
        )
        rig.wait(lambda: log.exists() and read_trials(log)[0], "a trial written down", 90.0)
        (record,), problems = read_trials(log)
        assert not problems
        assert (record.outcome, record.cause) == ("failure", "touched a box")
        assert record.path_source == "odometry"
        assert record.episode is not None
        assert (directory / "episodes" / record.episode).exists()
        process.send_signal(signal.SIGINT)
        assert rig.wait_for_exit(process, 30.0) == 0


def test_a_plan_that_cannot_be_read_ends_the_launch_at_once(ros_domain, tmp_path, prefix) -> None:
    with Rig(tmp_path) as rig:
        launch = prefix / "share" / "mobile_vla_ros" / "launch" / "trial.launch.py"
        process = rig.start(
            *("-c", LAUNCHER, str(launch), f"checkpoint:={rig.behaviour('forward:0.3')}"),
            *(f"plan:={tmp_path / 'nowhere.json'}", f"directory:={tmp_path / 'trials'}"),
            name="node",
        )
        rig.wait_for_exit(process, 30.0)


def test_a_trial_without_a_plan_takes_instruction_and_scenario_from_the_launch(
    ros_domain, tmp_path, prefix
) -> None:
    with Rig(tmp_path) as rig:
        launch = prefix / "share" / "mobile_vla_ros" / "launch" / "trial.launch.py"
        process = rig.start(
            *("-c", LAUNCHER, str(launch), f"checkpoint:={rig.behaviour('forward:0.3')}"),
            *(f"directory:={tmp_path / 'trials'}", "scenario:=2box_left", "instruction:=go: left"),
            name="node",
        )
        request = GetParameters.Request(names=["scenario", "instruction"])
        answer = rig.call(GetParameters, "trial_manager/get_parameters", request)
        assert [value.string_value for value in answer.values] == ["2box_left", "go: left"]
        process.send_signal(signal.SIGINT)
        assert rig.wait_for_exit(process, 30.0) == 0
