"""Recordings written for Rerun, read back by its own command line.

Rerun is large and an extra of its own (`pip install 'mobile_vla_ros[view]'`): skipped where it is
not installed.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_export_mcap import episode, incident

from mobile_vla_ros.episodes import EpisodeError
from mobile_vla_ros.episodes.rerun_view import Wish, view

pytest.importorskip("rerun")


def entities(path: Path) -> str:
    said = subprocess.run(
        [sys.executable, "-m", "rerun", "rrd", "print", "-v", str(path)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert said.returncode == 0, said.stderr
    return said.stdout


def test_an_episode_and_what_a_policy_would_have_done_are_on_one_timeline(tmp_path: Path) -> None:
    source = episode(tmp_path / "drive.h5")
    wish = Wish(
        1_700_000_000.35, np.full((10, 2), 0.1, np.float32), ("linear.x", "angular.z"), 0.4
    )
    written = view([source], tmp_path / "drive.rrd", {source: [wish]})
    found = entities(written or Path())
    for name in ("camera", "commands/linear", "instruction", "floor/driven", "floor/policy"):
        assert f"/drive/{name}" in found, name


def test_a_capsule_shows_the_plans_that_were_never_driven(tmp_path: Path) -> None:
    source = incident(tmp_path / "stop.h5")
    found = entities(view([source], tmp_path / "stop.rrd") or Path())
    for name in ("camera", "floor/planned", "commands/linear", "events"):
        assert f"/stop/{name}" in found, name


def test_what_goes_wrong_leaves_no_file(tmp_path: Path) -> None:
    source = episode(tmp_path / "drive.h5")
    (tmp_path / "broken.h5").write_bytes(source.read_bytes()[:3000])
    with pytest.raises(EpisodeError, match="truncated"):
        view([tmp_path / "broken.h5"], tmp_path / "x.rrd")
    with pytest.raises(EpisodeError, match=r"must end in .rrd"):
        view([source], tmp_path / "x.txt")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.h5", "drive.h5"]
