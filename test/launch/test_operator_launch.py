"""The launch files serve the operator's page."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from installation import LAUNCHER, NODES, install

pytestmark = [pytest.mark.ros, pytest.mark.launch_ros]

PATIENCE = 60.0
NODES_OF_OURS = (
    "cmd_vel_guard",
    "gamepad_node",
    "operator_node",
    "recorder_node",
    "sim_node",
    "trial_node",
)
SMALL = ("width:=160", "height:=90")
RECORD = ("camera:=false", "teleop:=false", "operator:=true", "operator_port:=0")


@pytest.mark.parametrize(
    ("file", "arguments"),
    [
        ("operator", ("port:=0", "deadman:=true")),
        ("record", (*RECORD, "teleop_topic:=teleop_cmd_vel", "gamepad:=true")),
        (
            "inference",
            ("checkpoint:=steady", "operator:=true", "operator_port:=0", "gamepad:=true"),
        ),
        pytest.param(
            "sim",
            ("checkpoint:=steady", "operator:=true", "operator_port:=0", *SMALL),
            marks=pytest.mark.egl,
        ),
        ("trial", ("checkpoint:=steady", "operator:=true", "operator_port:=0")),
    ],
)
def test_a_launch_file_serves_the_page(
    file: str,
    arguments: tuple[str, ...],
    ros_domain: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    programs = {"inference_node": str(NODES / "driven_by_double.py")}
    prefix = install(tmp_path, monkeypatch, *NODES_OF_OURS, programs=programs)
    own_folder = file in ("record", "trial")
    given = [*arguments, *([f"directory:={tmp_path}/episodes"] if own_folder else [])]
    if given[0].startswith("checkpoint:="):
        checkpoint = tmp_path / "steady.policy"
        checkpoint.write_text("steady")
        given[0] = f"checkpoint:={checkpoint}"
    launch_file = prefix / "share" / "mobile_vla_ros" / "launch" / f"{file}.launch.py"
    log = tmp_path / "launch.log"
    process = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, str(launch_file), *given],
        stdout=log.open("w"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        address = None
        end = time.monotonic() + PATIENCE
        while address is None:
            address = re.search(r"page: (http://127\.0\.0\.1:\d+/)", log.read_text())
            alive = time.monotonic() < end and process.poll() is None
            assert alive, log.read_text()[-3000:]
            time.sleep(0.1)
        with urllib.request.urlopen(address[1], timeout=10.0) as answer:
            assert b"STOP" in answer.read()
        while "gamepad:=true" in arguments and "waiting for a gamepad" not in log.read_text():
            assert time.monotonic() < end, log.read_text()[-3000:]
            time.sleep(0.1)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        process.wait(30.0)
