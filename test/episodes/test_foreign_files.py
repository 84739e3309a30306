"""Files of other programs and other places: what they say is read as what it means, or named."""

import os
import struct
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from h5py import h5a, h5d, h5p, h5s, h5t

from mobile_vla_ros.episodes import EpisodeError, check_episode, find_episodes, open_episode
from mobile_vla_ros.episodes.check_limits import CheckLimits
from mobile_vla_ros.episodes.writer import EpisodeWriter

IMAGES = np.random.default_rng(0).integers(1, 256, (5, 8, 8, 3), dtype=np.uint8)


def write(path: Path, change=lambda file: None, **options) -> Path:
    with h5py.File(path, "w", **options) as file:
        file["images"] = IMAGES
        file["actions"] = np.full((5, 3), 0.1, "f4")
        change(file)
    return path


def null(file: h5py.File, name: str) -> None:
    """An attribute of no value, as netCDF writes an empty text."""
    kind = h5t.C_S1.copy()
    kind.set_size(1)
    h5a.create(file.id, name.encode(), kind, h5s.create(h5s.NULL))


@pytest.mark.parametrize(
    "stored",
    [
        "go left",
        b"go left",
        np.array([b"go left"]),
        np.array([["go left"]], dtype=h5py.string_dtype()),
        np.array(["go left"], dtype=h5py.string_dtype("utf-8", 9)),
    ],
)
def test_an_instruction_is_read_however_it_is_wrapped(tmp_path: Path, stored) -> None:
    path = write(tmp_path / "e.h5", lambda file: file.attrs.update(instruction=stored))
    with open_episode(path) as episode:
        assert episode.instruction == "go left"
        assert episode.instruction_source == "file"


@pytest.mark.parametrize("name", ["instruction", "scenario", "outcome", "camera", "num_frames"])
def test_a_null_says_nothing(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "e.h5", lambda file: null(file, name))
    with open_episode(path) as episode:
        assert (episode.instruction, episode.scenario, episode.outcome) == ("", "", "")
        assert episode.complete
        assert name not in episode.attributes
        assert not episode.problems


def test_a_null_instruction_leaves_the_scenarios_own(tmp_path: Path) -> None:
    path = tmp_path / "episode_20250101_120000_1box_left.h5"
    with open_episode(write(path, lambda file: null(file, "instruction"))) as episode:
        assert episode.instruction_source == "scenario"
        assert "left" in episode.instruction


@pytest.mark.parametrize("stored", ["False", "false", b"no", "0", 0, False, np.array([0]), 0.0])
def test_a_word_for_false_is_false(tmp_path: Path, stored) -> None:
    path = write(tmp_path / "e.h5", lambda file: file.attrs.update(complete=stored))
    with open_episode(path) as episode:
        assert episode.complete is False


@pytest.mark.parametrize("stored", ["True", b"yes", 1, True, np.array([[1]]), 1.0])
def test_a_word_for_true_is_true(tmp_path: Path, stored) -> None:
    path = write(tmp_path / "e.h5", lambda file: file.attrs.update(complete=stored))
    with open_episode(path) as episode:
        assert episode.complete is True


@pytest.mark.parametrize("stored", [np.array([[0.2]]), np.array(["0.2"], "S"), "0.2", 0.2])
def test_a_number_is_read_however_it_is_wrapped(tmp_path: Path, stored) -> None:
    path = write(tmp_path / "e.h5", lambda file: file.attrs.update(frame_period=stored))
    with open_episode(path) as episode:
        assert episode.frame_period == 0.2


@pytest.mark.parametrize("stored", ["soon", np.nan, np.inf, 0.0, -1.0, [0.2, 0.4], 1e300])
def test_a_frame_period_that_is_no_time_is_refused(tmp_path: Path, stored) -> None:
    path = write(tmp_path / "e.h5", lambda file: file.attrs.update(frame_period=stored))
    with pytest.raises(EpisodeError, match=r"frame_period is .* positive"):
        open_episode(path)


@pytest.mark.parametrize(
    ("name", "stored", "said"),
    [
        ("complete", "perhaps", "not true or false"),
        ("instruction", np.array(["a", "b"], "S"), "not one text"),
        ("instruction", 7, "not one text"),
        ("num_frames", "many", "not a whole number"),
        ("num_frames", np.array([5, 5]), "not a whole number"),
        ("frames_lost", 0.5, "not a whole number"),
    ],
)
def test_what_an_attribute_cannot_mean_is_a_problem_not_an_end(
    tmp_path: Path, name: str, stored, said: str
) -> None:
    path = write(tmp_path / "e.h5", lambda file: file.attrs.update({name: stored}))
    report = check_episode(path)
    assert any(name in problem and said in problem for problem in report.problems)
    assert report.frames == 5
    with open_episode(path) as episode:
        assert "[" not in episode.instruction
        assert episode.complete == (name != "complete")


def test_a_file_behind_a_user_block_opens(tmp_path: Path) -> None:
    with open_episode(write(tmp_path / "e.h5", userblock_size=1024)) as episode:
        assert np.array_equal(episode.image(3), IMAGES[3])


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "e.h5")
    with pytest.raises(EpisodeError, match="pipe"):
        open_episode(tmp_path / "e.h5")


def test_a_link_to_nothing_is_found_and_named(tmp_path: Path) -> None:
    (tmp_path / "e.h5").symlink_to("/media/usb/e.h5")
    assert find_episodes(tmp_path) == [tmp_path / "e.h5"]
    with pytest.raises(EpisodeError, match=r"link to /media/usb/e.h5, which is not there"):
        open_episode(tmp_path / "e.h5")


def test_a_virtual_data_set_whose_source_is_gone_is_no_row_of_zeros(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "source.h5", "w") as file:
        file["images"] = IMAGES
    layout = h5py.VirtualLayout(IMAGES.shape, np.uint8)
    layout[...] = h5py.VirtualSource("source.h5", "images", IMAGES.shape)
    with h5py.File(tmp_path / "e.h5", "w") as file:
        file.create_virtual_dataset("images", layout)
        file["actions"] = np.ones((5, 3), "f4")
    with open_episode(tmp_path / "e.h5") as episode:
        assert np.array_equal(episode.image(2), IMAGES[2])
    (tmp_path / "source.h5").rename(tmp_path / "elsewhere.h5")
    with pytest.raises(EpisodeError, match=r"images is kept in source\.h5, which is not there"):
        open_episode(tmp_path / "e.h5")


def test_frames_in_a_file_that_is_gone_are_named(tmp_path: Path) -> None:
    def link(file: h5py.File) -> None:
        del file["images"]
        file["images"] = h5py.ExternalLink("other.h5", "/images")

    with pytest.raises(EpisodeError, match=r"images is kept in other\.h5"):
        open_episode(write(tmp_path / "e.h5", link))


def test_frames_that_were_never_written_are_not_black_frames(tmp_path: Path) -> None:
    def lay_out(file: h5py.File) -> None:
        del file["images"]
        file.create_dataset("images", IMAGES.shape, np.uint8)

    with pytest.raises(EpisodeError, match="never written"):
        open_episode(write(tmp_path / "e.h5", lay_out))


def test_a_filter_that_is_not_installed_is_named(tmp_path: Path) -> None:
    def pack(file: h5py.File) -> None:
        del file["images"]
        settings = h5p.create(h5p.DATASET_CREATE)
        settings.set_chunk((1, 8, 8, 3))
        # An optional filter may be unknown while the file is written; a row is stored as it is.
        settings.set_filter(32015, h5py.h5z.FLAG_OPTIONAL)
        space = h5s.create_simple(IMAGES.shape)
        data = h5d.create(file.id, b"images", h5t.NATIVE_UINT8, space, settings)
        data.write_direct_chunk((0, 0, 0, 0), IMAGES[0].tobytes())

    with pytest.raises(EpisodeError, match=r"Zstandard \(HDF5 filter 32015\).*not installed"):
        open_episode(write(tmp_path / "e.h5", pack))


def test_a_size_that_no_recording_has_is_not_allocated(tmp_path: Path) -> None:
    def claim(file: h5py.File) -> None:
        del file["actions"]
        file.create_dataset("actions", (5, 1 << 40), "f4", chunks=(1, 1024))
        file["actions"][0, 0] = 1

    with pytest.raises(EpisodeError, match="damaged"):
        open_episode(write(tmp_path / "e.h5", claim))


def with_orientation(jpeg: bytes, orientation: int) -> bytes:
    entry = struct.pack("<HHIHH", 0x112, 3, 1, orientation, 0)
    tiff = b"II*\0\x08\0\0\0" + struct.pack("<H", 1) + entry + b"\0\0\0\0"
    block = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + jpeg[2:]


def jpeg_episode(path: Path, frames: list[bytes]) -> Path:
    with EpisodeWriter(
        path, scenario="1box_left", instruction="go", image_format="jpeg", flush=False
    ) as writer:
        for row, frame in enumerate(frames):
            writer.append(
                jpeg=frame,
                action=[0.1, 0.0, 0.0],
                event="start_action",
                image_stamp=row * 0.4,
                received_stamp=row * 0.4,
                action_stamp=row * 0.4,
            )
        return writer.finish()


def photographs(count: int) -> list[bytes]:
    random = np.random.default_rng(1)
    pictures = []
    for _ in range(count):
        coarse = random.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        picture = cv2.resize(coarse, (320, 240), interpolation=cv2.INTER_CUBIC)
        pictures.append(cv2.imencode(".jpg", picture)[1].tobytes())
    return pictures


def test_shape_and_pixels_agree_under_an_orientation_tag(tmp_path: Path) -> None:
    top_blue = np.zeros((24, 32, 3), np.uint8)
    top_blue[:12] = (255, 0, 0)
    top_blue[12:] = (0, 0, 255)
    tagged = with_orientation(cv2.imencode(".jpg", top_blue)[1].tobytes(), 6)
    with open_episode(jpeg_episode(tmp_path / "e.h5", [tagged] * 3)) as episode:
        # Turned upright, as every viewer and the ROS image transport show it.
        assert episode.image_shape == (32, 24, 3)
        assert episode.images(slice(None)).shape == (3, 32, 24, 3)
        assert episode.image(0)[2, 2, 0] > 200


def test_frames_that_change_size_are_found_and_named(tmp_path: Path) -> None:
    frames = photographs(4)
    frames[2] = with_orientation(frames[2], 6)
    path = jpeg_episode(tmp_path / "e.h5", frames)
    assert any("change size, first in row 2" in said for said in check_episode(path).problems)
    with open_episode(path) as episode, pytest.raises(EpisodeError, match="change size"):
        episode.images(slice(None))


def test_a_picture_that_lost_bytes_in_the_middle_is_found(tmp_path: Path, capfd) -> None:
    frames = photographs(6)
    middle = len(frames[3]) // 2
    frames[3] = frames[3][: middle - 400] + frames[3][middle + 400 :]
    frames[5] = frames[5][:middle]
    report = check_episode(jpeg_episode(tmp_path / "e.h5", frames))
    assert any(
        "1 frame is damaged: bytes are missing, first row 3" in said for said in report.problems
    )
    assert any("1 of 6 frames cannot be decoded, first row 5" in s for s in report.problems)
    assert capfd.readouterr().err == ""


def odometry_episode(path: Path, odometry: list) -> Path:
    with EpisodeWriter(
        path, scenario="1box_left", instruction="go", odom=True, flush=False
    ) as writer:
        for row, odom in enumerate(odometry):
            writer.append(
                image=np.full((8, 8, 3), 50 + row, np.uint8),
                action=[0.1, 0.0, 0.0],
                event="start_action",
                image_stamp=100 + row * 0.4,
                received_stamp=100 + row * 0.4,
                action_stamp=100 + row * 0.4,
                odom=odom,
            )
        return writer.finish()


def pose(row: int, stamp: float | None = None, x: float | None = None) -> np.ndarray:
    time = 100 + row * 0.4 if stamp is None else stamp
    return np.array([row * 0.1 if x is None else x, 0, 0, 0.1, 0, 0, time])


def test_odometry_is_looked_at(tmp_path: Path) -> None:
    def problems(odometry: list) -> tuple[str, ...]:
        path = tmp_path / "e.h5"
        path.unlink(missing_ok=True)
        return check_episode(odometry_episode(path, odometry), CheckLimits()).problems

    assert problems([pose(row) for row in range(6)]) == ()
    assert problems([None, None, *(pose(row) for row in range(2, 6))]) == ()
    assert "2 of 6 rows of odometry are not numbers" in problems(
        [pose(row, x=np.nan if row in (2, 4) else None) for row in range(6)]
    )
    assert any("not one row" in said for said in problems([None] * 6))
    assert any(
        "out of date in 3 of 6 rows, first row 3: up to 2.0 s older" in said
        for said in problems([pose(row, stamp=min(100 + row * 0.4, 100.0)) for row in range(6)])
    )
    assert any("6 of 6" in said for said in problems([pose(row, stamp=5.0) for row in range(6)]))


def test_text_that_hdf5_cannot_hold_is_kept_as_far_as_it_can(tmp_path: Path) -> None:
    with EpisodeWriter(
        tmp_path / "e.h5",
        scenario="1box_left",
        instruction="go\0left \ud800",
        attributes={"note": "a\0b"},
        flush=False,
    ) as writer:
        writer.append(
            image=IMAGES[0], action=[0, 0, 0], image_stamp=1, received_stamp=1, action_stamp=1
        )
        path = writer.finish()
    with open_episode(path) as episode:
        assert episode.attributes["note"] == "a\ufffdb"
        assert episode.instruction.startswith("go")
