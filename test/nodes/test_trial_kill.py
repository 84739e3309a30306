"""A few rounds of the kill campaign; scripts/trial_kill_campaign.py runs the long one."""

import importlib.util
from pathlib import Path

import pytest

pytestmark = pytest.mark.ros

SCRIPT = Path(__file__).parents[2] / "scripts" / "trial_kill_campaign.py"


def test_killing_any_program_in_mid_trial_leaves_log_and_robot_in_order(
    ros_domain, tmp_path
) -> None:
    spec = importlib.util.spec_from_file_location("trial_kill_campaign", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    campaign = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(campaign)
    result = campaign.run(7, 0, tmp_path)
    assert not result["failures"]
    assert set(result["kills"]) == set(campaign.VICTIMS)
    assert result["trials_written"] == 7
