"""The trial launch file as it is, with a model of a few lines, in the simulated field."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
NODES = REPOSITORY / "test" / "nodes"
sys.path.insert(0, str(NODES))

from rig import Rig  # noqa: E402

from mobile_vla_ros.trials.log import read_trials  # noqa: E402
from mobile_vla_ros.trials.plan import make_plan, plan_to_json  # noqa: E402

pytestmark = [pytest.mark.ros, pytest.mark.launch_ros, pytest.mark.egl]

LAUNCHER = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
arguments = [tuple(argument.split(":=", 1)) for argument in sys.argv[2:]]
source = PythonLaunchDescriptionSource(sys.argv[1])
service = LaunchService()
service.include_launch_description(
    LaunchDescription([IncludeLaunchDescription(source, launch_arguments=arguments)])
)
sys.exit(service.run())
"""
PROGRAMS = ("sim_node", "cmd_vel_guard", "recorder_node", "trial_node")


@pytest.fixture
def prefix(tmp_path, monkeypatch) -> Path:
    """An installed package whose inference_node has the double for a model."""
    prefix = tmp_path / "install"
    share = prefix / "share" / "mobile_vla_ros"
    share.mkdir(parents=True)
    for folder in ("launch", "config"):
        (share / folder).symlink_to(REPOSITORY / folder)
    index = prefix / "share" / "ament_index" / "resource_index" / "packages"
    index.mkdir(parents=True)
    (index / "mobile_vla_ros").touch()
    programs = {name: f"-m mobile_vla_ros.nodes.{name}" for name in PROGRAMS}
    programs["inference_node"] = str(NODES / "driven_by_double.py")
    executables = prefix / "lib" / "mobile_vla_ros"
    executables.mkdir(parents=True)
    for name, program in programs.items():
        script = executables / name
        script.write_text(f'#!/bin/sh\nexec {sys.executable} {program} "$@"\n')
        script.chmod(0o755)
    others = os.environ.get("AMENT_PREFIX_PATH", "")
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{prefix}:{others}" if others else str(prefix))
    monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path / "log"))
    return prefix


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
