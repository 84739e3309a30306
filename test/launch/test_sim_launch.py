from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest
from std_msgs.msg import String

from mobile_vla_ros.nodes.qos import latched

REPOSITORY = Path(__file__).parents[2]
NODES = REPOSITORY / "test" / "nodes"
sys.path.insert(0, str(NODES))

from rig import Rig  # noqa: E402

pytestmark = [pytest.mark.ros, pytest.mark.launch_ros, pytest.mark.egl]

LAUNCHER = """
import sys
from launch import LaunchService
from launch.actions import IncludeLaunchDescription
from launch import LaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
arguments = [tuple(argument.split(":=", 1)) for argument in sys.argv[2:]]
source = PythonLaunchDescriptionSource(sys.argv[1])
service = LaunchService()
service.include_launch_description(
    LaunchDescription([IncludeLaunchDescription(source, launch_arguments=arguments)])
)
sys.exit(service.run())
"""


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
    programs = {
        "inference_node": str(NODES / "driven_by_double.py"),
        "sim_node": "-m mobile_vla_ros.nodes.sim_node",
    }
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


def test_the_launch_file_joins_field_and_policy_and_gives_the_instruction(
    ros_domain, tmp_path, prefix
) -> None:
    outcomes: list[dict] = []
    with Rig(tmp_path) as rig:
        rig.node.create_subscription(
            String, "sim/outcome", lambda m: outcomes.append(json.loads(m.data)), latched()
        )
        path = prefix / "share" / "mobile_vla_ros" / "launch" / "sim.launch.py"
        process = rig.start(
            *("-c", LAUNCHER, str(path), f"checkpoint:={rig.behaviour('forward:0.2')}"),
            *("scenario:=2box_right", "seed:=4", "width:=160", "height:=90"),
            name="node",
        )
        rig.wait_until_moving()
        rig.wait(lambda: outcomes and outcomes[-1]["path_length"] > 0.1, "the field's robot moves")
        assert outcomes[-1]["scenario"] == "2box_right"
        process.send_signal(signal.SIGINT)
        assert rig.wait_for_exit(process, 20.0) == 0
