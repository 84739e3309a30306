"""Every state of the file between two writes is readable: the file is copied after each step."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from mobile_vla_ros.episodes import EpisodeError, EpisodeWriter, open_episode, recover, structure
from mobile_vla_ros.episodes.structure import edit_structure


class Camera:
    """Looks at the part file after each structural write."""

    def __init__(self, part: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.part = part
        self.copy = part.with_name("copy.h5")
        self.rows = 0
        self.looks = 0
        self.check = lambda file, rows: None
        monkeypatch.setattr(structure, "apply", self.apply)

    def apply(self, descriptor: int, step: structure.Step) -> None:
        halves = [step]
        if step.data is not None and step.offset >= os.fstat(descriptor).st_size:
            middle = len(step.data) // 2  # a write into new space may also be cut in two
            halves = [
                structure.Step(step.offset, step.data[:middle]),
                structure.Step(step.offset + middle, step.data[middle:]),
            ]
        for half in halves:
            _plain_apply(descriptor, half)
            self.look()

    def look(self) -> None:
        if not self.part.exists():
            return
        self.looks += 1
        sparse_copy(self.part, self.copy)
        with h5py.File(self.copy, "r") as file:
            assert self.rows <= int(file["committed_rows"][()]) <= self.rows + 1
            self.check(file, self.rows)


def _plain_apply(descriptor: int, step: structure.Step) -> None:
    if step.data is None:
        os.ftruncate(descriptor, step.offset)
    else:
        os.pwrite(descriptor, step.data, step.offset)


def sparse_copy(source: Path, target: Path) -> None:
    """Copies only what is not a hole."""
    with source.open("rb") as old, target.open("wb") as new:
        size, position = os.fstat(old.fileno()).st_size, 0
        new.truncate(size)
        while position < size:
            try:
                start = os.lseek(old.fileno(), position, os.SEEK_DATA)
            except OSError:
                break
            position = os.lseek(old.fileno(), start, os.SEEK_HOLE)
            os.pwrite(new.fileno(), os.pread(old.fileno(), position - start, start), start)


def test_growing_and_cutting_a_raw_episode_is_readable_at_every_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 2600  # more index nodes than one index node holds
    images = np.random.default_rng(1).integers(0, 256, (count, 2, 3, 3), dtype=np.uint8)
    camera = Camera(tmp_path / "a.h5.part", monkeypatch)

    def check(file: h5py.File, rows: int) -> None:
        assert np.array_equal(file["images"][:rows], images[:rows])
        assert np.array_equal(file["actions"][:rows, 0], np.arange(rows, dtype=np.float32))
        assert np.array_equal(file["stamps/image"][:rows], np.arange(rows) * 0.1)

    camera.check = check
    writer = EpisodeWriter(tmp_path / "a.h5", scenario="x", instruction="go", flush=False)
    for row, image in enumerate(images):
        writer.append(
            image=image,
            action=[row, 0, 0],
            image_stamp=row * 0.1,
            received_stamp=0,
            action_stamp=0,
        )
        camera.rows = writer.rows
    path = writer.finish(outcome="success")
    assert camera.looks > 150
    with open_episode(path) as episode:
        assert np.array_equal(episode.images(slice(None)), images)
    assert path.stat().st_size < 2600 * (18 + 3 * 8 + 16 + 12 + 120) + 200_000


def test_growing_and_cutting_a_jpeg_episode_is_readable_at_every_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(1)
    blobs = [b"\xff\xd8" + rng.bytes(int(rng.integers(1, 70_000))) for _ in range(400)]
    camera = Camera(tmp_path / "a.h5.part", monkeypatch)

    def check(file: h5py.File, rows: int) -> None:
        ends = file["images_jpeg_end"][:rows]
        assert np.array_equal(ends, np.cumsum([len(blob) for blob in blobs[:rows]]))
        assert file["images_jpeg"][: ends[-1] if rows else 0].tobytes() == b"".join(blobs[:rows])

    camera.check = check
    writer = EpisodeWriter(
        tmp_path / "a.h5", scenario="x", instruction="go", image_format="jpeg", flush=False
    )
    for row, blob in enumerate(blobs):
        writer.append(
            jpeg=blob, action=[row, 0, 0], image_stamp=row, received_stamp=0, action_stamp=0
        )
        camera.rows = writer.rows
    path = writer.finish(outcome="success")
    assert camera.looks > 50
    assert [open_episode(path).jpeg(row) for row in (0, 399)] == [blobs[0], blobs[399]]


def test_a_step_that_cannot_be_written_leaves_the_rows_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever step of growing is the first to fail, the file then recovers with every row."""
    images = np.random.default_rng(1).integers(0, 256, (65, 2, 3, 3), dtype=np.uint8)
    row = {"action": [0, 0, 0], "image_stamp": 0, "received_stamp": 0, "action_stamp": 0}
    for failing in range(100):
        path = tmp_path / f"{failing}.h5"
        writer = EpisodeWriter(path, scenario="x", instruction="go", flush=False)
        for image in images[:64]:
            writer.append(image=image, **row)
        done = 0

        def apply(descriptor: int, step: structure.Step) -> None:
            nonlocal done
            if done == failing:  # noqa: B023
                raise OSError(28, "No space left on device")
            done += 1
            _plain_apply(descriptor, step)

        said = ""
        with monkeypatch.context() as patch:
            patch.setattr(structure, "apply", apply)
            try:
                writer.append(image=images[64], **row)
            except EpisodeError as error:
                said = str(error)
        if not said:
            break
        assert "64 valid frames" in said
        with writer:
            pass
        assert recover(f"{path}.part").frames == 64
        assert np.array_equal(open_episode(path).images(slice(None)), images[:64])
    assert failing > 10


def test_an_exception_inside_an_edit_leaves_the_file_untouched(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver="earliest") as file:
        file["x"] = np.arange(10)
    before = path.read_bytes()
    descriptor = os.open(path, os.O_RDWR)

    def edit() -> None:
        with edit_structure(descriptor) as file:
            del file["x"]
            raise RuntimeError

    with pytest.raises(RuntimeError):
        edit()
    os.close(descriptor)
    assert path.read_bytes() == before


@pytest.mark.parametrize("rows", [60, 64, 100, 119, 121, 177])
def test_index_nodes_that_split_keep_the_rows_they_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    path = tmp_path / "a.h5"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    with edit_structure(descriptor, "w") as file:
        data = file.create_dataset("x", (0,), "i8", maxshape=(None,), chunks=(1,))
        for size in range(1, rows + 1):
            data.resize(size, 0)
            data[size - 1] = size
    looks = 0

    def apply(descriptor: int, step: structure.Step) -> None:
        nonlocal looks
        _plain_apply(descriptor, step)
        looks += 1
        with h5py.File(path, "r") as file:
            assert np.array_equal(file["x"][:rows], np.arange(1, rows + 1))

    monkeypatch.setattr(structure, "apply", apply)
    with edit_structure(descriptor) as file:
        for size in range(rows + 1, rows + 200):
            file["x"].resize(size, 0)
            file["x"][size - 1] = size
    with edit_structure(descriptor) as file:
        file["x"].resize(rows, 0)
    os.close(descriptor)
    assert looks > 20
