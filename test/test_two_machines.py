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


needs_namespaces = pytest.mark.skipif(
    not namespaces_can_be_made(), reason="no network namespaces (root, ip, TUN)"
)


def run_bed(tmp_path: Path, domain: int, *arguments: str) -> None:
    command = [sys.executable, str(SCRIPT), *arguments]
    command += ["--out", str(tmp_path), "--domain", str(domain)]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    left = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout
    assert "mvla_" not in left


@pytest.mark.ros
@pytest.mark.egl
@needs_namespaces
def test_it_drives_with_the_policy_elsewhere_while_one_packet_in_twenty_is_lost(
    tmp_path: Path, ros_domain: int
) -> None:
    run_bed(tmp_path, ros_domain, "--way", "server", "--conditions", "loss5", "--seeds", "1")
    [run] = json.loads((tmp_path / "server_loss5" / "runs.json").read_text())
    assert run["late_moves"] == 0
    assert run["chunks"] > 20
    assert "driving" in run["states"]


@pytest.mark.ros
@pytest.mark.egl
@needs_namespaces
def test_it_stands_in_a_break_and_drives_again(tmp_path: Path, ros_domain: int) -> None:
    run_bed(tmp_path, ros_domain, "--events", "cut:2")
    seen = json.loads((tmp_path / "server_events" / "events.json").read_text())
    [one] = seen["events"]
    assert one["moving"]
    assert one["late"] == 0
    assert one["zero"] is not None
    assert one["again"] is not None
    assert {"node", "link", "server", "model"} <= set(seen["memory"])


@pytest.fixture
def figures(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPT.parent)
    from two_machine_bed import figures

    return figures


def a_log(**changes) -> dict:
    """Frames each 0.1 s, answered 0.05 s later, until 1.0; commands until 3.0."""
    times = [tick / 20 for tick in range(60)]
    log = {
        "states": [(0.0, "driving"), (1.8, "stopped: server lost")],
        "chunks": [(index / 10 + 0.05, index / 10) for index in range(11)],
        "moves": [(at, 0.1 <= at < 1.8) for at in times],
        "wishes": [(at, 0.1 <= at < 1.8) for at in times],
        "end": 3.0,
    }
    return {**log, **changes}


def test_a_robot_that_stands_when_its_last_chunk_ends_violates_nothing(figures) -> None:
    drive = figures.Drive(a_log())
    seen = drive.around(figures.Event("cut", 1.1, 2.5, 3.0))
    assert seen["moving"]
    assert seen["late"] == 0
    assert seen["zero"] == pytest.approx(0.0, abs=0.051)
    assert seen["again"] is None
    assert drive.summary()["driving_share"] == pytest.approx(1.8 / 3.0)


def test_commands_on_a_frame_beyond_its_limits_are_counted(figures) -> None:
    moves = [(tick / 20, 2 <= tick < 46) for tick in range(60)]
    drive = figures.Drive(a_log(moves=moves))
    # The base may hear zero 0.25 s and a period after the chunk's end at 1.8.
    assert drive.late(0.0, 3.0) == sum(at > 2.1 + 1e-9 for at, moving in moves if moving)
    wishes = [(tick / 20, 2 <= tick < 40) for tick in range(60)]
    assert figures.Drive(a_log(wishes=wishes)).late(0.0, 3.0) == 2


def test_a_chunk_of_an_old_frame_makes_no_command_young(figures) -> None:
    chunks = [*a_log()["chunks"], (2.5, 0.5)]
    moves = [*a_log()["moves"][:52], (2.6, True)]
    assert figures.Drive(a_log(chunks=chunks, moves=moves)).late(0.0, 3.0) == 1
    fresh = [*a_log()["chunks"], (2.5, 2.45)]
    seen = figures.Drive(a_log(chunks=fresh, moves=moves)).around(
        figures.Event("held", 1.1, 2.4, 3.0)
    )
    assert seen["late"] == 0
    assert seen["again"] == pytest.approx(0.2)
