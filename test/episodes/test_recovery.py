import fcntl
import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from mobile_vla_ros.episodes import (
    EpisodeError,
    EpisodeWriter,
    find_interrupted,
    open_episode,
    recover,
    recover_folder,
)


def interrupted(path: Path, rows: int = 5, image_format: str = "raw") -> Path:
    """An episode whose process went away."""
    with EpisodeWriter(
        path, scenario="1box_left", instruction="go", image_format=image_format
    ) as writer:
        for row in range(rows):
            writer.append(
                image=np.full((20, 30, 3), 10 * row + 5, np.uint8),
                action=[row, 0, 0],
                image_stamp=row,
                received_stamp=row,
                action_stamp=row,
            )
        writer.count(dropped=2, lost=3)
    return path.with_name(path.name + ".part")


def test_recovery_marks_the_episode_incomplete_and_keeps_the_counts(tmp_path: Path) -> None:
    result = recover(interrupted(tmp_path / "a.h5"))
    assert "5 frames recovered" in result.note
    with open_episode(result.path) as episode:
        assert not episode.complete
        counts = [episode.attributes[f"frames_{n}"] for n in ("received", "written", "dropped")]
        assert counts == [7, 5, 2]
        assert episode.attributes["frames_lost"] == 3


def test_a_file_that_a_living_process_records_is_left_alone(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path / "a.h5", scenario="x", instruction="go")
    frame = np.zeros((8, 8, 3), np.uint8)
    writer.append(image=frame, action=[0] * 3, image_stamp=0, received_stamp=0, action_stamp=0)
    assert find_interrupted(tmp_path) == []
    assert recover_folder(tmp_path) == []
    with pytest.raises(EpisodeError, match="being recorded"):
        recover(tmp_path / "a.h5.part")
    assert len(open_episode(writer.finish())) == 1


def test_a_recovered_file_gets_a_counter_when_its_name_is_taken(tmp_path: Path) -> None:
    part = interrupted(tmp_path / "a.h5")
    (tmp_path / "a.h5").write_text("somebody else's")
    assert recover(part).path == tmp_path / "a-2.h5"


def test_rows_whose_data_never_reached_the_disk_are_given_up_and_counted(tmp_path: Path) -> None:
    part = interrupted(tmp_path / "a.h5", image_format="jpeg")
    with h5py.File(part) as file:
        jpeg = file["images_jpeg"].id.get_chunk_info_by_coord((0,)).byte_offset
        end = int(file["images_jpeg_end"][3])
    with part.open("r+b") as stream:  # as after a power failure: the count is there, data is not
        stream.seek(jpeg + end)
        stream.write(bytes(5000))
    result = recover(part)
    assert (result.frames, result.lost) == (4, 1)
    assert "1 more had not reached the disk" in result.note
    assert len(open_episode(result.path)) == 4


def test_a_finish_that_was_cut_off_between_its_two_names_is_completed(tmp_path: Path) -> None:
    part = interrupted(tmp_path / "a.h5")
    path = recover(part).path
    os.link(path, part)
    result = recover(part)
    assert result.path == path
    assert "finished already" in result.note
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]


def test_one_damaged_file_does_not_keep_the_others_from_recovery(tmp_path: Path) -> None:
    (tmp_path / "a.h5.part").write_bytes(b"no HDF5 at all")
    interrupted(tmp_path / "b.h5")
    damaged, good = recover_folder(tmp_path)
    assert damaged.path is None
    assert "damaged and was left as it is" in damaged.note
    assert (tmp_path / "a.h5.part").exists()
    assert good.frames == 5


def test_a_layout_that_was_never_recorded_into_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".episode_new_x").write_bytes(b"")
    with (tmp_path / ".episode_new_y").open("wb") as living:
        fcntl.flock(living, fcntl.LOCK_EX)
        recover_folder(tmp_path)
        assert [p.name for p in tmp_path.iterdir()] == [".episode_new_y"]


@pytest.mark.parametrize(
    ("name", "sentence"), [("a.h5", "no interrupted recording"), ("a.h5.part", "does not exist")]
)
def test_other_files_are_refused(tmp_path: Path, name: str, sentence: str) -> None:
    with pytest.raises(EpisodeError, match=sentence):
        recover(tmp_path / name)
