"""A trimmed copy beside its recording is one episode."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mobile_vla_ros.cli.main import main
from mobile_vla_ros.episodes import EpisodeWriter
from mobile_vla_ros.episodes.editing import trim
from mobile_vla_ros.episodes.trimmed import superseded


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two episodes, the first with a trimmed copy beside it."""
    place = tmp_path / "episodes"
    place.mkdir()
    rng = np.random.default_rng(0)
    for number in (1, 2):
        path = place / f"episode_20250101_12000{number}_1box_left.h5"
        with EpisodeWriter(
            path,
            scenario="1box_left",
            instruction="go",
            action_axes=("linear.x", "angular.z"),
            frame_period=0.1,
            image_shape=(24, 32),
        ) as writer:
            for row in range(12):
                pixels = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
                stamps = dict.fromkeys(
                    ("image_stamp", "received_stamp", "action_stamp"), 0.1 * row
                )
                writer.append(image=pixels, action=[0.1, 0.0], **stamps)
            writer.finish()
    trim(place / "episode_20250101_120001_1box_left.h5", place / "cut.h5", first=2)
    return place


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    return int(end.value.code or 0)


def test_the_copy_stands_for_its_recording(folder: Path) -> None:
    files = sorted(folder.glob("*.h5"))
    assert superseded(files) == {
        folder / "episode_20250101_120001_1box_left.h5": folder / "cut.h5"
    }
    assert superseded([path for path in files if path.name != "cut.h5"]) == {}


def test_list_counts_it_once_and_merge_takes_the_copy_alone(folder, tmp_path, capsys) -> None:
    assert run("episodes", "list", folder, "--json", tmp_path / "list.json") == 0
    assert "counts in their place" in " ".join(capsys.readouterr().out.split())
    assert '"done": 2' in (tmp_path / "list.json").read_text()
    assert run("episodes", "merge", folder, "--out", tmp_path / "week") == 0
    assert "cut.h5 is trimmed from it" in capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / "week").glob("*.h5")) == [
        "cut.h5",
        "episode_20250101_120002_1box_left.h5",
    ]
