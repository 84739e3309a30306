import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from test_reader import NAME, write_legacy

from mobile_vla_ros.episodes import EpisodeError, EpisodeWriter, open_episode
from mobile_vla_ros.episodes.editing import gather, join, relabel, trim

FRAMES = np.random.default_rng(2).integers(0, 256, (12, 20, 30, 3), dtype=np.uint8)


def episode(path: Path, start: float = 0.0, rows: int = 12, **options: Any) -> Path:
    given = {"scenario": "1box_left", "instruction": "go", "odom": True, **options}
    axes = given.get("action_axes", ("linear.x", "linear.y", "angular.z"))
    with EpisodeWriter(path, **given, flush=False) as writer:
        for row in range(rows):
            time = start + row * 0.1
            writer.append(
                image=FRAMES[row],
                action=np.arange(len(axes)) + row,
                event="episode_start" if row == 0 else "start_action",
                image_stamp=time,
                received_stamp=time + 0.01,
                action_stamp=time - 0.02,
                odom=np.full(7, row),
            )
        return writer.finish(outcome="success")


def test_a_relabelled_episode_keeps_its_frames_and_gets_a_fitting_name(tmp_path: Path) -> None:
    path = episode(tmp_path / "episode_20250101_120000_1box_left.h5")
    new = relabel(path, instruction="오른쪽으로", scenario="1box_right", outcome="collision")
    assert [p.name for p in tmp_path.iterdir()] == ["episode_20250101_120000_1box_right.h5"]
    with open_episode(new) as changed:
        assert changed.instruction == "오른쪽으로"
        assert (changed.scenario, changed.side) == ("1box_right", "right")
        assert changed.outcome == "collision"
        assert changed.attributes["episode_name"] == new.stem
        assert np.array_equal(changed.images(slice(None)), FRAMES)
    with h5py.File(new) as file:
        assert file["language_instruction"][0].decode() == "오른쪽으로"


def test_an_old_file_is_relabelled_in_its_own_layout(tmp_path: Path) -> None:
    images = write_legacy(tmp_path / NAME)
    assert relabel(tmp_path / NAME, instruction="왼쪽").name == NAME
    with open_episode(tmp_path / NAME) as changed:
        assert (changed.instruction, changed.instruction_source) == ("왼쪽", "file")
        assert np.array_equal(changed.images(slice(None)), images)
    assert [p.name for p in tmp_path.iterdir()] == [NAME]


def test_a_relabelled_episode_overwrites_no_other(tmp_path: Path) -> None:
    path = episode(tmp_path / "episode_20250101_120000_1box_left.h5")
    episode(tmp_path / "episode_20250101_120000_1box_right.h5")
    assert relabel(path, scenario="1box_right").stem.endswith("1box_right-2")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [({}, "what is to change"), ({"scenario": "../x"}, "letters, digits")],
)
def test_a_wrong_relabel_changes_nothing(tmp_path: Path, change: dict, sentence: str) -> None:
    path = episode(tmp_path / "episode_20250101_120000_1box_left.h5")
    before = path.read_bytes()
    with pytest.raises(EpisodeError, match=sentence):
        relabel(path, **change)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("image_format", ["raw", "jpeg"])
def test_a_trimmed_copy_has_the_rows_between(tmp_path: Path, image_format: str) -> None:
    states = np.arange(12.0)
    path = episode(
        tmp_path / "a.h5", image_format=image_format, attributes={"states": states, "seed": 3}
    )
    new = trim(path, tmp_path / "b.h5", first=2, last=3)
    with open_episode(path) as old, open_episode(new) as cut:
        assert len(cut) == 7
        assert np.array_equal(cut.images(slice(None)), old.images(slice(2, 9)))
        assert cut.jpeg(0) == old.jpeg(2)
        for name in ("actions", "image_stamps", "received_stamps", "action_stamps", "odom"):
            assert np.array_equal(getattr(cut, name), getattr(old, name)[2:9])
        assert cut.events == old.events[2:9]
        assert (cut.instruction, cut.outcome) == ("go", "success")
        assert np.array_equal(cut.attributes["states"], states[2:9])
        assert (cut.attributes["seed"], cut.attributes["trimmed_from"]) == (3, "a.h5")
    assert path.exists()


def test_an_old_file_can_be_trimmed(tmp_path: Path) -> None:
    images = write_legacy(tmp_path / NAME)
    with open_episode(trim(tmp_path / NAME, tmp_path / "b.h5", first=1)) as cut:
        assert np.array_equal(cut.images(slice(None)), images[1:])
        assert np.allclose(np.diff(cut.image_stamps), 0.4)


@pytest.mark.parametrize(("first", "last"), [(12, 0), (6, 6), (-1, 0)])
def test_nothing_left_is_refused(tmp_path: Path, first: int, last: int) -> None:
    path = episode(tmp_path / "a.h5")
    with pytest.raises(EpisodeError, match="cannot be cut off"):
        trim(path, tmp_path / "b.h5", first=first, last=last)
    assert not (tmp_path / "b.h5").exists()


def test_parts_of_one_recording_are_joined_in_the_order_of_their_stamps(tmp_path: Path) -> None:
    late = episode(tmp_path / "late.h5", start=5.0)
    early = episode(tmp_path / "early.h5", rows=4)
    with open_episode(join([late, early], tmp_path / "both.h5")) as both:
        assert len(both) == 16
        assert np.array_equal(both.images(slice(None)), np.concatenate([FRAMES[:4], FRAMES]))
        assert (np.diff(both.image_stamps) > 0).all()


def test_overlapping_episodes_are_not_joined(tmp_path: Path) -> None:
    parts = [episode(tmp_path / "a.h5"), episode(tmp_path / "b.h5", start=0.5)]
    with pytest.raises(EpisodeError, match="overlap in time"):
        join(parts, tmp_path / "c.h5")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"action_axes": ["linear.x", "angular.z"]}, "differ in action axes"),
        ({"frame_period": 0.2}, "differ in frame period: 0.4 and 0.2"),
        ({"camera": {"topic": "rear"}}, "differ in camera: topic front and topic rear"),
    ],
)
def test_different_episodes_are_not_put_together(
    tmp_path: Path, change: dict, sentence: str
) -> None:
    one = episode(tmp_path / "one.h5", camera={"topic": "front", "rate": 30})
    other = episode(tmp_path / "other.h5", start=9, **{"camera": {"topic": "front"}, **change})
    out = tmp_path / "all"
    for put, target in ((join, tmp_path / "c.h5"), (gather, out)):
        with pytest.raises(EpisodeError, match=sentence) as error:
            put([one, other], target)
        assert "one.h5 and other.h5" in str(error.value)
    assert not out.exists()


def test_gathering_copies_each_episode_once_and_overwrites_none(tmp_path: Path) -> None:
    monday, tuesday, out = (tmp_path / name for name in ("monday", "tuesday", "out"))
    monday.mkdir()
    tuesday.mkdir()
    paths = [episode(monday / "a.h5"), episode(tuesday / "a.h5", start=9)]
    copies, skipped = gather(paths, out)
    assert sorted(path.name for path in copies) == ["a-2.h5", "a.h5"]
    assert skipped == []
    copies, skipped = gather([*paths, episode(monday / "b.h5", start=20)], out)
    assert [path.name for path in copies] == ["b.h5"]
    assert skipped == paths
    assert sorted(p.name for p in out.iterdir()) == ["a-2.h5", "a.h5", "b.h5"]


def test_relabelling_through_a_link_changes_the_file_and_keeps_the_link(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    real = episode(disk / "episode_20250101_120000_1box_left.h5")
    link = tmp_path / real.name
    link.symlink_to(real)
    assert relabel(link, instruction="go there", outcome="success") == link
    assert link.is_symlink()
    with open_episode(real) as changed:
        assert (changed.instruction, changed.outcome) == ("go there", "success")
    moved = relabel(link, scenario="1box_right")
    assert moved.name == "episode_20250101_120000_1box_right.h5"
    assert moved.is_symlink()
    assert not link.is_symlink()
    with open_episode(real) as changed:
        assert changed.scenario == "1box_right"


def test_a_name_that_is_not_utf8_can_be_edited(tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"episode_20250101_120000_1box_left\xff.h5")
    path = episode(tmp_path / "plain.h5").rename(odd)
    relabel(path, outcome="success")
    cut = trim(path, tmp_path / os.fsdecode(b"cut_\xfe.h5"), last=1)
    with open_episode(cut) as changed:
        assert changed.outcome == "success"
        changed.attributes["trimmed_from"].encode("utf-8")
