"""`checkpoint:=hf://ORG/NAME`: the launched node drives by what it fetched from a hub."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest
from installation import LAUNCHER, NODES, REPOSITORY, install

sys.path.insert(0, str(NODES))
sys.path.insert(0, str(REPOSITORY / "test"))

from hub_stand_in import StandIn
from rig import Rig

from mobile_vla_ros.bundled import demo_policy

pytestmark = [pytest.mark.ros, pytest.mark.launch_ros]


def test_a_policy_on_a_hub_drives_by_its_address_and_its_commit_is_said(
    ros_domain: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = install(tmp_path, monkeypatch, "inference_node")
    with StandIn() as hub, Rig(tmp_path) as rig:
        files = {
            str(path.relative_to(demo_policy())): path.read_bytes()
            for path in demo_policy().rglob("*")
            if path.is_file()
        }
        commit = hub.repository("lab/policy").commit(files)
        for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        launch = prefix / "share" / "mobile_vla_ros" / "launch" / "inference.launch.py"
        process = rig.start(
            *("-c", LAUNCHER, str(launch), "checkpoint:=hf://lab/policy"),
            *("image_topic:=image", "instruction:=go to the bottle", "dry_run:=true"),
            name="node",
        )
        rig.start_camera()
        rig.wait(lambda: rig.chunks, "what the policy wants", 150.0)
        assert f"hf://lab/policy@{commit}" in rig.log()
        process.send_signal(signal.SIGINT)
        assert rig.wait_for_exit(process, 30.0) == 0
