"""Old and foreign files: written here as the old collector and others wrote them."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from mobile_vla_ros.episodes import EpisodeError, open_episode

NAME = "episode_20250917_103000_1box_hori_left_core_medium.h5"


def write_legacy(
    path: Path,
    rows: int = 18,
    columns: int = 3,
    events: str = "str",
    instruction: str | None = None,
    compression: str | None = "gzip",
    **attributes: object,
) -> np.ndarray:
    """A file as the lab's old collector wrote it; returns its frames."""
    images = np.random.default_rng(5).integers(0, 256, (rows, 36, 64, 3), dtype=np.uint8)
    names = ["episode_start"] + ["start_action"] * (rows - 2) + ["stop_action"]
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=images, compression=compression)
        actions = np.arange(rows * columns, dtype=np.float32).reshape(rows, columns) / 10
        file.create_dataset("actions", data=actions)
        if events == "str":
            kind = h5py.string_dtype("utf-8")
            file.create_dataset("action_event_types", data=names, dtype=kind)
        elif events == "bytes":
            file.create_dataset("action_event_types", data=np.array(names, dtype="S"))
        if instruction is not None:
            file.create_dataset("language_instruction", data=[instruction.encode()])
        file.attrs["episode_name"] = path.stem
        file.attrs["num_frames"] = rows
        file.attrs["total_duration"] = 7.2
        file.attrs["action_chunk_size"] = 10
        for name, value in attributes.items():
            file.attrs[name] = value
    return images


@pytest.mark.parametrize("events", ["str", "bytes"])
@pytest.mark.parametrize("compression", ["gzip", None])
@pytest.mark.parametrize("rows", [18, 7])
def test_an_old_file_opens(tmp_path: Path, events: str, compression: str, rows: int) -> None:
    images = write_legacy(tmp_path / NAME, rows=rows, events=events, compression=compression)
    with open_episode(tmp_path / NAME) as episode:
        assert len(episode) == rows
        assert np.array_equal(episode.images(slice(None)), images)
        assert np.array_equal(episode.images([2, 0, -1]), images[[2, 0, -1]])
        assert episode.action_axes == ("linear.x", "linear.y", "angular.z")
        assert not episode.action_axes_confirmed
        assert episode.velocities(["linear.x", "angular.z"])[1].tolist() == [
            np.float32(0.3),
            np.float32(0.5),
        ]
        assert np.allclose(episode.image_stamps, np.arange(rows) * 0.4)
        assert not episode.stamped
        assert episode.events[0] == "episode_start"
        assert episode.events[-1] == "stop_action"
        assert episode.odom is None
        assert episode.complete
        assert episode.image_format == "raw"
        assert episode.jpeg(0) is None
        assert episode.attributes["action_chunk_size"] == 10


def test_scenario_side_and_instruction_follow_from_the_name(tmp_path: Path) -> None:
    write_legacy(tmp_path / NAME)
    episode = open_episode(tmp_path / NAME)
    assert episode.scenario == "1box_hori_left_core_medium"
    assert episode.side == "left"
    assert "left" in episode.instruction
    assert episode.instruction_source == "scenario"
    assert open_episode(tmp_path / NAME, instruction="go").instruction == "go"


def test_an_instruction_in_the_file_comes_first(tmp_path: Path) -> None:
    write_legacy(tmp_path / NAME, instruction="왼쪽으로 가세요")
    episode = open_episode(tmp_path / NAME, instruction="something else")
    assert (episode.instruction, episode.instruction_source) == ("왼쪽으로 가세요", "file")


def test_without_instruction_and_scenario_there_is_none(tmp_path: Path) -> None:
    write_legacy(tmp_path / "recording.h5")
    episode = open_episode(tmp_path / "recording.h5")
    assert (episode.instruction, episode.scenario, episode.side) == ("", "", None)


def test_two_columns_are_forward_speed_and_turning(tmp_path: Path) -> None:
    write_legacy(tmp_path / NAME, columns=2)
    episode = open_episode(tmp_path / NAME)
    assert episode.action_axes == ("linear.x", "angular.z")
    with pytest.raises(EpisodeError, match=r"no action column 'linear.y'"):
        episode.velocities(["linear.y"])


def test_columns_can_be_named_by_the_caller_or_the_file(tmp_path: Path) -> None:
    write_legacy(tmp_path / NAME, columns=2)
    axes = ["linear.x", "linear.y"]
    episode = open_episode(tmp_path / NAME, action_axes=axes)
    assert (list(episode.action_axes), episode.action_axes_confirmed) == (axes, True)
    for number, stored in enumerate((axes, '["linear.x", "linear.y"]', "linear.x, linear.y")):
        path = tmp_path / f"{number}.h5"
        write_legacy(path, columns=2, action_axes=stored)
        assert list(open_episode(path).action_axes) == axes


def test_an_old_file_may_say_its_own_frame_period(tmp_path: Path) -> None:
    write_legacy(tmp_path / NAME)
    assert open_episode(tmp_path / NAME, frame_period=0.2).image_stamps[2] == 0.4
    write_legacy(tmp_path / "a.h5", frame_period=0.5)
    assert open_episode(tmp_path / "a.h5", frame_period=0.2).image_stamps[2] == 1.0


def test_events_may_be_missing(tmp_path: Path) -> None:
    write_legacy(tmp_path / NAME, events="none")
    assert open_episode(tmp_path / NAME).events == ["start_action"] * 18


def test_rows_outside_the_episode_are_an_index_error(tmp_path: Path) -> None:
    write_legacy(tmp_path / NAME)
    with open_episode(tmp_path / NAME) as episode:
        for row in (18, -19):
            with pytest.raises(IndexError):
                episode.image(row)
        assert episode.images(slice(3, 3)).shape == (0, 36, 64, 3)


def broken(path: Path, kind: str) -> None:
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("an HTML page, say")
    elif kind == "truncated":
        write_legacy(path)
        path.write_bytes(path.read_bytes()[:-9000])
    elif kind == "damaged":
        write_legacy(path)
        content = bytearray(path.read_bytes())
        content[100:2000] = bytes(1900)
        path.write_bytes(bytes(content))
    elif kind == "folder":
        path.mkdir()
    else:
        with h5py.File(path, "w") as file:
            if kind == "no images":
                file["actions"] = np.zeros((18, 3), "f4")
            if kind == "no actions":
                file["images"] = np.zeros((18, 4, 4, 3), "u1")
            if kind == "grey":
                file["images"], file["actions"] = np.zeros((18, 4, 4), "u1"), np.zeros((18, 3))
            if kind == "float":
                file["images"], file["actions"] = np.zeros((2, 4, 4, 3), "f4"), np.zeros((2, 3))
            if kind == "shorter":
                file["images"], file["actions"] = np.zeros((9, 4, 4, 3), "u1"), np.zeros((18, 3))
            if kind == "flat":
                file["images"], file["actions"] = np.zeros((18, 4, 4, 3), "u1"), np.zeros(18)
            if kind == "words":
                file["images"], file["actions"] = np.zeros((1, 4, 4, 3), "u1"), [[b"left"]]
            if kind == "no rows":
                file["images"], file["actions"] = np.zeros((0, 4, 4, 3), "u1"), np.zeros((0, 3))
            if kind == "five columns":
                file["images"], file["actions"] = np.zeros((2, 4, 4, 3), "u1"), np.zeros((2, 5))
            if kind == "ends only":
                file["images_jpeg"], file["actions"] = np.zeros(9, "u1"), np.zeros((2, 3))


BROKEN = {
    "empty": "is empty",
    "text": "is not an HDF5 file",
    "truncated": "is truncated",
    "damaged": "damaged|opened|no images",
    "folder": "is a folder",
    "nothing": "has no images",
    "no images": "has no images",
    "no actions": "has no actions",
    "grey": r"uint8 \[18, 4, 4\] instead",
    "float": r"float32 \[2, 4, 4, 3\] instead",
    "shorter": "9 images but 18 actions",
    "flat": r"float64 \[18\] instead",
    "words": "instead of",
    "no rows": "has no frames",
    "five columns": "has 5 columns",
    "ends only": "without images_jpeg_end",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_file_that_is_no_episode_gets_one_sentence(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.h5"
    broken(path, kind)
    with pytest.raises(EpisodeError, match=BROKEN[kind]) as error:
        open_episode(path)
    assert "x.h5" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(EpisodeError, match="does not exist"):
        open_episode(tmp_path / "x.h5")
