from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import pytest
from installation import LAUNCHER, NODES, install
from std_msgs.msg import String

from mobile_vla_ros.nodes.wiring.qos import latched

sys.path.insert(0, str(NODES))

from rig import Rig

pytestmark = [pytest.mark.ros, pytest.mark.launch_ros, pytest.mark.egl]


@pytest.fixture
def prefix(tmp_path, monkeypatch) -> Path:
    """An installed package whose inference_node has the double for a model."""
    return install(
        tmp_path,
        monkeypatch,
        "sim_node",
        programs={"inference_node": str(NODES / "driven_by_double.py")},
    )


@pytest.mark.parametrize(
    ("arguments", "scenario"),
    [(["scenario:=2box_right"], "2box_right"), (["field:=open", "tier:=hard"], "open_hard")],
)
def test_the_launch_file_joins_field_and_policy_and_gives_the_instruction(
    ros_domain, tmp_path, prefix, arguments, scenario
) -> None:
    outcomes: list[dict] = []
    with Rig(tmp_path) as rig:
        rig.node.create_subscription(
            String, "sim/outcome", lambda m: outcomes.append(json.loads(m.data)), latched()
        )
        path = prefix / "share" / "mobile_vla_ros" / "launch" / "sim.launch.py"
        process = rig.start(
            *("-c", LAUNCHER, str(path), f"checkpoint:={rig.behaviour('forward:0.2')}"),
            *(*arguments, "seed:=4", "width:=160", "height:=90"),
            name="node",
        )
        rig.wait_until_moving()
        rig.wait(lambda: outcomes and outcomes[-1]["path_length"] > 0.1, "the field's robot moves")
        assert outcomes[-1]["scenario"] == scenario
        process.send_signal(signal.SIGINT)
        assert rig.wait_for_exit(process, 20.0) == 0
