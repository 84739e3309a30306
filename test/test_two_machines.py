"""Robot and station in two network namespaces, joined by a link that loses packets."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "scripts" / "two_machines.py"


def namespaces_can_be_made() -> bool:
    if os.geteuid() != 0 or shutil.which("ip") is None or not os.path.exists("/dev/net/tun"):
        return False
    made = subprocess.run(["ip", "netns", "add", "mvla_probe"], capture_output=True)
    subprocess.run(["ip", "netns", "del", "mvla_probe"], capture_output=True)
    return made.returncode == 0


@pytest.mark.ros
@pytest.mark.egl
@pytest.mark.skipif(not namespaces_can_be_made(), reason="no network namespaces (root, ip, TUN)")
def test_it_drives_with_the_policy_elsewhere_while_one_packet_in_twenty_is_lost(
    tmp_path: Path, ros_domain: int
) -> None:
    command = [sys.executable, str(SCRIPT), "--way", "server", "--conditions", "loss5"]
    command += ["--seeds", "1", "--out", str(tmp_path), "--domain", str(ros_domain)]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr
    [run] = json.loads((tmp_path / "server_loss5" / "runs.json").read_text())
    assert run["late_moves"] == 0
    assert run["chunks"] > 20
    assert "driving" in run["states"]
    left = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout
    assert "mvla_" not in left
