import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from mobile_vla_ros.episodes import EpisodeError, EpisodeWriter, open_episode

KOREAN = "왼쪽 상자를 돌아서 컵까지 가"


def frames(count: int, height: int = 24, width: int = 32) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def record(writer: EpisodeWriter, images: np.ndarray) -> None:
    for row, image in enumerate(images):
        writer.append(
            image=image,
            action=[row, -row, 0.5],
            event="episode_start" if row == 0 else "start_action",
            image_stamp=100 + row * 0.1,
            received_stamp=100.02 + row * 0.1,
            action_stamp=99.9 + row * 0.1,
        )


@pytest.mark.parametrize("count", [1, 18, 64, 65, 300])
def test_a_raw_episode_reads_back_as_it_was_written(tmp_path: Path, count: int) -> None:
    images = frames(count)
    writer = EpisodeWriter(tmp_path / "a.h5", scenario="1box_left", instruction=KOREAN)
    record(writer, images)
    path = writer.finish(outcome="success", frames_dropped=2, frames_lost=1)
    with open_episode(path) as episode:
        assert len(episode) == count
        assert np.array_equal(episode.images(slice(None)), images)
        assert np.array_equal(episode.actions[:, 0], np.arange(count, dtype=np.float32))
        assert np.array_equal(episode.velocities(["angular.z"])[:, 0], np.full(count, 0.5, "f4"))
        assert np.array_equal(episode.image_stamps, 100 + np.arange(count) * 0.1)
        assert np.array_equal(episode.received_stamps, 100.02 + np.arange(count) * 0.1)
        assert np.array_equal(episode.action_stamps, 99.9 + np.arange(count) * 0.1)
        assert episode.events[0] == "episode_start"
        assert (episode.instruction, episode.side, episode.outcome) == (KOREAN, "left", "success")
        assert episode.complete
        numbers = [episode.attributes[f"frames_{n}"] for n in ("received", "written", "dropped")]
        assert numbers == [count + 2, count, 2]
        assert episode.attributes["frames_lost"] == 1
        assert episode.attributes["num_frames"] == count


def test_compressed_frames_are_stored_byte_for_byte(tmp_path: Path) -> None:
    import cv2

    blobs = [cv2.imencode(".jpg", image)[1].tobytes() for image in frames(150, 48, 64)]
    big = np.random.default_rng(0).integers(0, 256, (900, 900, 3), dtype=np.uint8)
    blobs.append(cv2.imencode(".png", big)[1].tobytes())  # longer than a chunk
    writer = EpisodeWriter(
        tmp_path / "a.h5", scenario="x", instruction="go", image_format="jpeg", odom=True
    )
    for row, blob in enumerate(blobs):
        writer.append(
            jpeg=blob,
            action=[0, 0, 0],
            image_stamp=row,
            received_stamp=row,
            action_stamp=row,
            odom=np.full(7, row) if row else None,
        )
    with open_episode(writer.finish()) as episode:
        assert [episode.jpeg(row) for row in range(len(blobs))] == blobs
        assert episode.image(0).shape == (48, 64, 3)
        assert np.array_equal(episode.image(-1), big[..., ::-1])
        assert np.isnan(episode.odom[0]).all()
        assert np.array_equal(episode.odom[1:, 3], np.arange(1, 151))


def test_an_image_becomes_a_jpeg_of_the_same_colours(tmp_path: Path) -> None:
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 200
    writer = EpisodeWriter(
        tmp_path / "a.h5", scenario="x", instruction="go", image_format="jpeg", jpeg_quality=95
    )
    record(writer, red[None])
    with open_episode(writer.finish()) as episode:
        assert np.abs(episode.image(0).astype(int) - red).max() < 6


def test_a_program_that_knows_only_the_old_layout_reads_a_raw_episode(tmp_path: Path) -> None:
    images = frames(18)
    writer = EpisodeWriter(tmp_path / "episode_20250101_120000_1box_left.h5", scenario="1box_left",
                           instruction=KOREAN)  # fmt: skip
    record(writer, images)
    path = writer.finish()
    # What old readers do, in ten lines.
    with h5py.File(path, "r") as f:
        pictures = f["images"][:]
        actions = f["actions"][:]
        events = [e.decode() if isinstance(e, bytes) else e for e in f["action_event_types"]]
        text = f["language_instruction"][0].decode("utf-8")
        name, duration = f.attrs["episode_name"], f.attrs["total_duration"]
        count, chunk = f.attrs["num_frames"], f.attrs["action_chunk_size"]
    assert pictures.dtype == np.uint8
    assert np.array_equal(pictures, images)
    assert (actions.shape, actions.dtype) == ((18, 3), np.float32)
    assert events == ["episode_start"] + ["start_action"] * 17
    assert text == KOREAN
    assert (name, count, chunk) == ("episode_20250101_120000_1box_left", 18, 10)
    assert duration == pytest.approx(1.7)


def test_a_long_instruction_is_cut_at_a_character_and_kept_whole_beside(
    tmp_path: Path,
) -> None:
    text = "a" + "가" * 200
    writer = EpisodeWriter(tmp_path / "a.h5", scenario="x", instruction=text)
    record(writer, frames(1))
    path = writer.finish()
    with h5py.File(path, "r") as file:
        field = bytes(file["language_instruction"][0])
        assert field.decode("utf-8") == "a" + "가" * 85
        assert file["language_instruction"].dtype.itemsize == 256
        assert file.attrs["instruction"] == text
    assert open_episode(path).instruction == text


def test_while_recording_the_file_has_another_name_and_afterwards_none_is_left(
    tmp_path: Path,
) -> None:
    writer = EpisodeWriter(tmp_path / "a.h5", scenario="x", instruction="go")
    record(writer, frames(2))
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5.part"]
    writer.finish()
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]


def test_a_discarded_episode_leaves_nothing(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path / "a.h5", scenario="x", instruction="go")
    record(writer, frames(2))
    writer.discard()
    assert list(tmp_path.iterdir()) == []


def test_finishing_never_overwrites_but_counts(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path / "a.h5", scenario="x", instruction="go")
    record(writer, frames(2))
    (tmp_path / "a.h5").write_text("somebody else's")
    path = writer.finish()
    assert path.name == "a-2.h5"
    assert open_episode(path).attributes["episode_name"] == "a-2"
    assert (tmp_path / "a.h5").read_text() == "somebody else's"


def test_two_recorders_that_chose_one_name_both_keep_their_frames(tmp_path: Path) -> None:
    images = frames(6)
    # both before either has a file: two recorders started in the same second
    writers = [EpisodeWriter(tmp_path / "a.h5", scenario="x", instruction="go") for _ in range(3)]
    for at, writer in enumerate(writers):
        record(writer, images[at : at + 4])
    paths = [writer.finish() for writer in reversed(writers)][::-1]
    assert len(set(paths)) == 3
    for at, path in enumerate(paths):
        with open_episode(path) as episode:
            assert np.array_equal(episode.images(slice(None)), images[at : at + 4])
            assert episode.attributes["episode_name"] == path.stem
    assert not list(tmp_path.glob("*.part"))


def test_a_taken_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_text("")
    with pytest.raises(EpisodeError, match="not overwritten"):
        EpisodeWriter(tmp_path / "a.h5", scenario="x", instruction="go")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"image_format": "gif"}, "raw or jpeg"),
        ({"jpeg_quality": 0}, "jpeg_quality"),
        ({"action_axes": ["linear.x", "gripper"]}, "action_axes"),
        ({"action_axes": []}, "action_axes"),
        ({"frame_period": 0.0}, "frame_period"),
    ],
)
def test_a_wrong_argument_is_said_at_once(tmp_path: Path, change: dict, sentence: str) -> None:
    with pytest.raises(EpisodeError, match=sentence):
        EpisodeWriter(tmp_path / "a.h5", scenario="x", instruction="go", **change)


def test_a_missing_folder_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(EpisodeError, match="does not exist"):
        EpisodeWriter(tmp_path / "no" / "a.h5", scenario="x", instruction="go")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"action": [0, 0]}, "3 values"),
        ({"event": "jump"}, "event"),
        ({"image": np.zeros((8, 8, 3), np.uint8)}, "size changed"),
        ({"image": np.zeros((24, 32, 3), np.float32)}, "uint8"),
        ({"image": None}, "image or as jpeg"),
        ({"image": None, "jpeg": b"no jpeg"}, "cannot be decoded"),
    ],
)
def test_a_row_that_does_not_fit_is_refused_and_the_episode_goes_on(
    tmp_path: Path, change: dict, sentence: str
) -> None:
    writer = EpisodeWriter(tmp_path / "a.h5", scenario="x", instruction="go")
    stamps = {f"{name}_stamp": 0 for name in ("image", "received", "action")}
    row = {"image": frames(1)[0], "action": [0, 0, 0], **stamps}
    writer.append(**row)
    with pytest.raises(EpisodeError, match=sentence):
        writer.append(**{**row, **change})
    writer.append(**row)
    assert len(open_episode(writer.finish())) == 2


def test_an_episode_without_frames_is_not_finished(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path / "a.h5", scenario="x", instruction="go")
    with pytest.raises(EpisodeError, match="no frame"):
        writer.finish()
    writer.discard()
    with pytest.raises(EpisodeError, match="finished or closed"):
        writer.finish()


def test_attributes_and_camera_come_back(tmp_path: Path) -> None:
    camera = {"topic": "/camera/이미지", "size": [640, 480]}
    writer = EpisodeWriter(
        tmp_path / "a.h5", scenario="x", instruction="go", camera=camera,
        attributes={"operator": "민수", "seed": 4, "layout": {"boxes": 2}, "pose": [0.5, 1.0]},
    )  # fmt: skip
    record(writer, frames(1))
    with open_episode(writer.finish()) as episode:
        assert episode.camera == camera
        assert (episode.attributes["operator"], episode.attributes["seed"]) == ("민수", 4)
        assert json.loads(episode.attributes["layout"]) == {"boxes": 2}
        assert list(episode.attributes["pose"]) == [0.5, 1.0]


def test_leaving_the_block_by_an_exception_keeps_the_part_file(tmp_path: Path) -> None:
    def interrupted() -> None:
        with EpisodeWriter(tmp_path / "a.h5", scenario="x", instruction="go") as writer:
            record(writer, frames(5))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        interrupted()
    assert len(open_episode(tmp_path / "a.h5.part")) == 5
