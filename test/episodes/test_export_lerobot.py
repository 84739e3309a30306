"""The LeRobotDataset layout, version 3.0, read back with pyarrow and pandas."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas
import pyarrow as pa
import pytest
from pyarrow import parquet
from test_reader import NAME, write_legacy

from mobile_vla_ros.episodes import EpisodeError, EpisodeWriter, open_episode
from mobile_vla_ros.episodes.export_lerobot import choose_rows, export

FRAMES = np.random.default_rng(2).integers(0, 256, (40, 24, 32, 3), dtype=np.uint8)
START = 1_700_000_000.0


def episode(path: Path, stamps: np.ndarray | None = None, **options: Any) -> Path:
    stamps = START + np.arange(40) * 0.1 if stamps is None else stamps
    given = {"scenario": "1box_left", "instruction": "왼쪽", "odom": True, **options}
    with EpisodeWriter(path, **given, flush=False) as writer:
        for row, stamp in enumerate(stamps):
            writer.append(
                image=FRAMES[row],
                action=[row / 10, 0, -row / 20],
                image_stamp=stamp,
                received_stamp=stamp,
                action_stamp=stamp,
                odom=np.arange(7) + row,
            )
        return writer.finish(outcome="success")


def read(root: Path, path: str) -> pa.Table:
    return parquet.read_table(root / path)


def test_the_layout_is_that_of_version_3(tmp_path: Path) -> None:
    files = [episode(tmp_path / "a.h5"), episode(tmp_path / "b.h5", instruction="go")]
    result = export(files, tmp_path / "set")
    assert (result.episodes, result.frames, result.fps) == (2, 80, 10)
    root = tmp_path / "set"
    assert sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()) == [
        "data/chunk-000/file-000.parquet",
        "meta/episodes/chunk-000/file-000.parquet",
        "meta/info.json",
        "meta/stats.json",
        "meta/tasks.parquet",
    ]
    info = json.loads((root / "meta/info.json").read_text())
    expected = {
        "codebase_version": "v3.0",
        "total_episodes": 2,
        "total_frames": 80,
        "total_tasks": 2,
        "chunks_size": 1000,
        "fps": 10,
        "splits": {"train": "0:2"},
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": None,
    }
    assert {name: info[name] for name in expected} == expected
    table = read(root, "data/chunk-000/file-000.parquet")
    types = {name: table.schema.field(name).type for name in table.column_names}
    picture = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    assert types == {
        "observation.images.camera": picture,
        "action": pa.list_(pa.float32(), 3),
        "observation.stamp": pa.float64(),
        "timestamp": pa.float32(),
        "frame_index": pa.int64(),
        "episode_index": pa.int64(),
        "index": pa.int64(),
        "task_index": pa.int64(),
        "observation.state": pa.list_(pa.float32(), 6),
    }
    assert set(info["features"]) == set(types)
    for name, entry in info["features"].items():
        assert entry.keys() == {"dtype", "shape", "names"}, name
    assert info["features"]["action"]["names"] == ["linear.x", "linear.y", "angular.z"]
    assert info["features"]["observation.images.camera"]["shape"] == [24, 32, 3]


def test_the_rows_are_the_episodes_in_order(tmp_path: Path) -> None:
    files = [episode(tmp_path / "a.h5"), episode(tmp_path / "b.h5", instruction="go")]
    export(files, tmp_path / "set")
    table = read(tmp_path / "set", "data/chunk-000/file-000.parquet").to_pydict()
    assert table["index"] == list(range(80))
    assert table["frame_index"] == [*range(40), *range(40)]
    assert table["episode_index"] == table["task_index"] == [0] * 40 + [1] * 40
    assert np.allclose(table["timestamp"], np.tile(np.arange(40) / 10, 2))
    assert np.allclose(table["observation.stamp"], np.tile(np.arange(40) / 10, 2), atol=1e-6)
    assert np.allclose(np.array(table["action"])[:40, 0], np.arange(40) / 10)
    assert np.allclose(np.array(table["observation.state"])[5], np.arange(6) + 5)
    images = [
        cv2.imdecode(np.frombuffer(picture["bytes"], np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        for picture in table["observation.images.camera"][:40]
    ]
    assert np.array_equal(images, FRAMES)  # PNG: not a pixel is lost
    episodes = read(tmp_path / "set", "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    first, second = episodes
    assert (first["tasks"], second["tasks"]) == (["왼쪽"], ["go"])
    assert [second[f"dataset_{end}_index"] for end in ("from", "to")] == [40, 80]
    assert (second["length"], second["data/chunk_index"], second["data/file_index"]) == (40, 0, 0)
    assert (first["start_stamp"], first["source"]) == (START, "a.h5")
    assert np.allclose(first["stats/action/max"], [3.9, 0, 0])
    tasks = pandas.read_parquet(tmp_path / "set/meta/tasks.parquet")
    assert tasks.loc["go"].task_index == 1
    assert tasks.iloc[0].name == "왼쪽"


def test_the_statistics_are_those_of_the_frames(tmp_path: Path) -> None:
    export([episode(tmp_path / "a.h5")], tmp_path / "set")
    stats = json.loads((tmp_path / "set/meta/stats.json").read_text())
    actions = np.stack([np.arange(40) / 10, np.zeros(40), -np.arange(40) / 20], axis=1)
    for name, value in (
        ("min", actions.min(0)),
        ("max", actions.max(0)),
        ("mean", actions.mean(0)),
        ("std", actions.std(0)),
        ("q50", np.median(actions, axis=0)),
    ):
        assert np.allclose(stats["action"][name], value)
    assert stats["action"]["count"] == [40]
    camera = stats["observation.images.camera"]
    assert np.shape(camera["mean"]) == (3, 1, 1)
    assert np.allclose(np.ravel(camera["mean"]), FRAMES.mean(axis=(0, 1, 2)) / 255, atol=0.01)


def test_compressed_frames_stay_as_they_are_unless_resized(tmp_path: Path) -> None:
    path = episode(tmp_path / "a.h5", image_format="jpeg")
    export([path], tmp_path / "same")
    export([path], tmp_path / "small", size=(12, 16))
    data = "data/chunk-000/file-000.parquet"
    same = read(tmp_path / "same", data)["observation.images.camera"].to_pylist()
    with open_episode(path) as source:
        assert [picture["bytes"] for picture in same] == [source.jpeg(row) for row in range(40)]
    small = read(tmp_path / "small", data)["observation.images.camera"].to_pylist()
    assert cv2.imdecode(np.frombuffer(small[0]["bytes"], np.uint8), 1).shape == (12, 16, 3)


def test_old_files_are_taken_at_a_whole_rate_below_theirs(tmp_path: Path) -> None:
    images = write_legacy(tmp_path / NAME, rows=18)  # 2.5 frames per second
    result = export([tmp_path / NAME], tmp_path / "set")
    assert (result.fps, result.frames) == (2, 15)
    assert result.tasks == ("Navigate around the box on the left side and reach the cup",)
    table = read(tmp_path / "set", "data/chunk-000/file-000.parquet")
    stamps = np.array(table["observation.stamp"])
    assert np.abs(stamps - np.arange(15) / 2).max() <= 0.2 + 1e-9
    assert (np.diff(stamps) > 0).all()
    second = cv2.imdecode(
        np.frombuffer(table["observation.images.camera"][1]["bytes"].as_py(), np.uint8), 1
    )
    assert np.array_equal(second[..., ::-1], images[1])
    assert "observation.state" not in table.column_names


def test_an_episode_with_a_gap_becomes_two_and_no_frame_is_repeated(tmp_path: Path) -> None:
    stamps = START + np.arange(40) * 0.1
    stamps[25:] += 2.0
    result = export([episode(tmp_path / "a.h5", stamps)], tmp_path / "set")
    assert (result.episodes, result.frames) == (2, 40)


def test_rows_are_chosen_by_stride_where_the_clock_only_runs_slow() -> None:
    slow = np.arange(3000) * 0.1002  # 10 frames per second in name, three fewer in 150 s
    assert np.array_equal(choose_rows(slow, 10)[0], np.arange(3000))
    assert np.array_equal(choose_rows(slow, 5)[0], np.arange(0, 3000, 2))
    assert len(choose_rows(np.arange(31) * 0.1, 3)[0]) == 10
    assert choose_rows(np.zeros(1), 3) == []


def test_a_rate_beyond_the_recorded_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EpisodeError, match="--fps 30 would repeat frames"):
        export([episode(tmp_path / "a.h5")], tmp_path / "set", fps=30)
    assert not (tmp_path / "set").exists()


def test_different_episodes_a_taken_folder_and_nothing_long_enough_are_said(
    tmp_path: Path,
) -> None:
    one = episode(tmp_path / "a.h5")
    other = episode(tmp_path / "b.h5", camera={"topic": "rear"}, frame_period=0.2)
    with pytest.raises(EpisodeError, match=r"a.h5 and b.h5 differ in frame period"):
        export([one, other], tmp_path / "set")
    with pytest.raises(EpisodeError, match="exists already"):
        export([one], tmp_path)
    single = episode(tmp_path / "c.h5", stamps=np.array([START]))
    with pytest.raises(EpisodeError, match="2 frames or more"):
        export([single], tmp_path / "set")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5", "b.h5", "c.h5"]
