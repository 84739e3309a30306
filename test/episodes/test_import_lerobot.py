"""Data sets as other people write them: version 2.1 and 3, with every quirk met so far."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from mobile_vla_ros.episodes import EpisodeError, find_episodes, open_episode
from mobile_vla_ros.episodes.import_lerobot import LerobotOptions, import_lerobot
from mobile_vla_ros.episodes.lerobot.velocities import find_velocities

FRAMES = np.random.default_rng(3).integers(0, 256, (12, 16, 24, 3), dtype=np.uint8)
CAMERA = "observation.images.front"
NAMES = ["x.vel", "y.vel", "theta.vel"]


def png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image[..., ::-1])[1].tobytes()


class Foreign:
    """A data set of version 2.1 with pictures, to be spoilt."""

    def __init__(self, root: Path, episodes: int = 3, fps: float = 10, **info: Any) -> None:
        self.root = root
        self.fps = fps
        (root / "meta").mkdir(parents=True)
        self.info = {
            "codebase_version": "v2.1",
            "robot_type": "lekiwi",
            "fps": fps,
            "chunks_size": 1000,
            "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
            "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/"
            "episode_{episode_index:06d}.mp4",
            "features": {
                CAMERA: {"dtype": "image", "shape": [16, 24, 3], "names": None},
                "action": {"dtype": "float32", "shape": [3], "names": NAMES},
                "observation.state": {"dtype": "float32", "shape": [2], "names": None},
            },
            **info,
        }
        self.tasks = {0: "go left"}
        self.listed = [
            {"episode_index": i, "tasks": ["go left"], "length": 12} for i in range(episodes)
        ]
        for index in range(episodes):
            self.table(index)
        self.describe()

    def describe(self) -> None:
        (self.root / "meta/info.json").write_text(json.dumps(self.info))
        rows = [{"task_index": i, "task": text} for i, text in self.tasks.items()]
        for name, lines in (("tasks", rows), ("episodes", self.listed)):
            text = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
            (self.root / f"meta/{name}.jsonl").write_text(text, encoding="utf-8")

    def table(self, index: int, **changed: Any) -> Path:
        columns: dict[str, Any] = {
            CAMERA: [{"bytes": png(image), "path": None} for image in FRAMES],
            "action": [[0.1, 0.0, 90.0]] * 12,
            "observation.state": [[1.0, 2.0]] * 12,
            "timestamp": (np.arange(12) / self.fps).tolist(),
            "frame_index": list(range(12)),
            "episode_index": [index] * 12,
            "index": list(range(12)),
            "task_index": [0] * 12,
            **changed,
        }
        path = self.root / f"data/chunk-000/episode_{index:06d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = {name: values for name, values in columns.items() if values is not None}
        parquet.write_table(pa.table(kept), path)
        return path


def reasons(root: Path, out: Path, **options: Any) -> dict[int, str]:
    return dict(import_lerobot(root, out, LerobotOptions(**options)).refused)


def test_version_2_1_with_pictures_comes_in_exactly(tmp_path: Path) -> None:
    Foreign(tmp_path / "a set 로봇")
    result = import_lerobot(tmp_path / "a set 로봇", tmp_path / "out")
    assert (len(result.files), result.frames, result.refused) == (3, 36, ())
    assert result.columns == {"linear.x": "x.vel", "linear.y": "y.vel", "angular.z": "theta.vel"}
    assert any("degrees/s" in note for note in result.notes)
    assert any("does not say when it was recorded" in note for note in result.notes)
    with open_episode(result.files[1]) as episode:
        assert np.array_equal(episode.images(slice(None)), FRAMES)
        assert episode.actions[0] == pytest.approx([0.1, 0.0, np.pi / 2])
        assert np.diff(episode.image_stamps) == pytest.approx(0.1)
        assert episode.instruction == "go left"
        assert episode.odom is None
    with open_episode(result.files[0]) as first, open_episode(result.files[1]) as second:
        assert second.image_stamps[0] > first.image_stamps[-1]


def test_a_line_ends_at_a_newline_alone(tmp_path: Path) -> None:
    data = Foreign(tmp_path / "data")
    data.tasks[0] = "go\u2028left\x85now"
    for entry in data.listed:
        entry["tasks"] = list(data.tasks.values())
    data.describe()
    result = import_lerobot(tmp_path / "data", tmp_path / "out")
    assert len(result.files) == 3
    with open_episode(result.files[0]) as episode:
        assert episode.instruction == "go\u2028left\x85now"


def test_a_rate_that_is_no_whole_number_gives_its_own_stamps(tmp_path: Path) -> None:
    Foreign(tmp_path / "set", 1, fps=12.5)
    with open_episode(import_lerobot(tmp_path / "set", tmp_path / "out").files[0]) as episode:
        assert np.diff(episode.image_stamps) == pytest.approx(0.08)


def test_each_spoilt_episode_ends_in_a_sentence_and_the_others_come_in(tmp_path: Path) -> None:
    data = Foreign(tmp_path / "set", 10)
    nan = [[0.1, 0.0, 0.0]] * 5 + [[0.1, float("nan"), 0.0]] * 7
    data.table(1, action=nan)
    data.table(2, task_index=[9] * 12)
    data.listed[2]["tasks"] = []
    data.table(3, **{CAMERA: [{"bytes": None, "path": "/etc/hostname"}] * 12})
    data.table(4, **{CAMERA: [{"bytes": None, "path": "../../x.png"}] * 12})
    data.table(5, **{CAMERA: [{"bytes": b"not a picture", "path": None}] * 12})
    data.listed[6]["length"] = 15
    (tmp_path / "set/data/chunk-000/episode_000007.parquet").unlink()
    (tmp_path / "set/data/chunk-000/episode_000007.parquet").symlink_to(tmp_path / "gone")
    (tmp_path / "set/data/chunk-000/episode_000008.parquet").write_bytes(b"PAR1 cut off")
    data.describe()
    refused = reasons(tmp_path / "set", tmp_path / "out")
    for index, sentence in {
        1: "linear.y is not a number in row 5",
        2: "no task; give one with --instruction",
        3: "lies outside the data set",
        4: "lies outside the data set",
        5: "picture in row 0 cannot be read",
        6: "12 rows of it, but 15 are listed",
        7: "a link to nothing",
        8: "cannot be read",
    }.items():
        assert sentence in refused[index], (index, refused[index])
    assert sorted(refused) == list(range(1, 9))
    assert len(list((tmp_path / "out").iterdir())) == 2  # and no half-written file


def test_a_missing_task_can_be_given(tmp_path: Path) -> None:
    data = Foreign(tmp_path / "set", 1)
    data.table(0, task_index=None)
    data.listed[0]["tasks"] = []
    data.describe()
    options = LerobotOptions(instruction="오른쪽")
    result = import_lerobot(tmp_path / "set", tmp_path / "out", options)
    with open_episode(result.files[0]) as episode:
        assert episode.instruction == "오른쪽"


def test_a_linked_data_set_is_followed_as_a_hub_cache_is(tmp_path: Path) -> None:
    data = Foreign(tmp_path / "set", 1)
    table = tmp_path / "set/data/chunk-000/episode_000000.parquet"
    table.rename(tmp_path / "blob")
    table.symlink_to(tmp_path / "blob")
    assert not reasons(data.root, tmp_path / "out")


def test_velocities_nobody_named_are_asked_for(tmp_path: Path) -> None:
    data = Foreign(tmp_path / "set", 1)
    data.info["features"]["action"]["names"] = ["motor_1", "motor_2", "motor_3"]
    data.describe()
    with pytest.raises(EpisodeError, match=r"\(motor_1, motor_2, motor_3\).*--columns"):
        import_lerobot(data.root, tmp_path / "out")
    columns = {"linear.x": "motor_1", "angular.z": "2"}
    result = import_lerobot(data.root, tmp_path / "out", LerobotOptions(columns=columns))
    with open_episode(result.files[0]) as episode:
        assert episode.action_axes == ("linear.x", "angular.z")
        assert episode.actions[0] == pytest.approx([0.1, 90.0])
    with pytest.raises(EpisodeError, match="there is no such column"):
        import_lerobot(data.root, tmp_path / "o2", LerobotOptions(columns={"linear.x": "wheel"}))
    with pytest.raises(EpisodeError, match="is no axis"):
        import_lerobot(data.root, tmp_path / "o3", LerobotOptions(columns={"forward": "0"}))


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ({"axes": ["linear_velocity", "angular_velocity"]}, {"linear.x": 0, "angular.z": 1}),
        ({"vx": 0, "wz": 1}, {"linear.x": 0, "angular.z": 1}),
        (["action.angular.z", "action.linear.x"], {"linear.x": 1, "angular.z": 0}),
        (["base_vx", "arm"], {"linear.x": 0}),
    ],
)
def test_names_are_read_however_they_are_written(names: Any, found: dict[str, int]) -> None:
    features = {"action": {"dtype": "float32", "shape": [2], "names": names}}
    columns = find_velocities(features, {}, None)
    assert {axis: column.index for axis, column in columns.items()} == found


def test_two_columns_of_one_meaning_are_asked_about() -> None:
    features = {"action": {"dtype": "float32", "shape": [2], "names": ["x.vel", "vx"]}}
    with pytest.raises(EpisodeError, match=r"x.vel and vx are both called like linear.x"):
        find_velocities(features, {}, None)


def test_several_cameras_have_to_be_chosen_from(tmp_path: Path) -> None:
    data = Foreign(tmp_path / "set", 1)
    data.info["features"]["observation.images.wrist"] = dict(data.info["features"][CAMERA])
    data.describe()
    with pytest.raises(EpisodeError, match=r"several cameras .*name one by --camera"):
        import_lerobot(data.root, tmp_path / "out")
    assert not reasons(data.root, tmp_path / "out", camera="front")


def test_what_is_no_data_set_is_said(tmp_path: Path) -> None:
    with pytest.raises(EpisodeError, match="is not a folder"):
        import_lerobot(tmp_path / "none", tmp_path / "out")
    with pytest.raises(EpisodeError, match=r"no LeRobotDataset: it has no meta/info.json"):
        import_lerobot(tmp_path, tmp_path / "out")
    data = Foreign(tmp_path / "set", 1, codebase_version="v1.6")
    with pytest.raises(EpisodeError, match=r"version v1.6; 2.0, 2.1 and 3.0 are read"):
        import_lerobot(data.root, tmp_path / "out")
    data.info |= {"codebase_version": "v2.1", "fps": "many"}
    data.describe()
    with pytest.raises(EpisodeError, match="fps is 'many'"):
        import_lerobot(data.root, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_video_shorter_than_its_table_is_said(tmp_path: Path) -> None:
    pytest.importorskip("av")
    from mobile_vla_ros.episodes.lerobot.video import VideoSettings, encode

    data = Foreign(tmp_path / "set", 2)
    data.info["features"][CAMERA]["dtype"] = "video"
    data.describe()
    for index, frames in ((0, 12), (1, 7)):
        data.table(index, **{CAMERA: None})
        path = data.root / f"videos/chunk-000/{CAMERA}/episode_{index:06d}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        smooth = [cv2.GaussianBlur(image, (0, 0), 3) for image in FRAMES[:frames]]
        encode(path, smooth, frames, 10, VideoSettings())
    result = import_lerobot(data.root, tmp_path / "out")
    assert len(result.files) == 1
    assert "shorter than its table: it ends after 7 of 12 rows" in dict(result.refused)[1]


def test_a_data_set_given_in_place_of_episodes_says_what_to_do(tmp_path: Path) -> None:
    Foreign(tmp_path / "set", 1)
    with pytest.raises(EpisodeError, match="is a LeRobotDataset; make episodes of it"):
        find_episodes(tmp_path / "set")
