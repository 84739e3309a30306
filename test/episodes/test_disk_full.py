"""A full disk: recording stops with a sentence, and what was recorded is a valid episode.

Two kinds of limit: a file-size limit, which needs no rights, and, where this process may mount
one, a small memory disk.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mobile_vla_ros.episodes import open_episode, recover

PROGRAM = """
import resource, signal, sys
import numpy as np
from mobile_vla_ros.episodes import EpisodeError, EpisodeWriter

path, image_format, limit = sys.argv[1], sys.argv[2], int(sys.argv[3])
if limit:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
writer = EpisodeWriter(path, scenario="x", instruction="go", image_format=image_format)
row = 0
try:
    while row < 5000:
        frame = np.random.default_rng(row).integers(0, 256, (50, 50, 3), dtype=np.uint8)
        picture = {"image": frame} if image_format == "raw" else {"jpeg": frame.tobytes()}
        writer.append(
            **picture, action=[row, 0, 0], image_stamp=row, received_stamp=0, action_stamp=0
        )
        row += 1
except EpisodeError as error:
    print(row, error)
if len(sys.argv) < 5:
    print(writer.finish(outcome="disk full"))
"""


def run(path: Path, image_format: str, limit: int, *more: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path), image_format, str(limit), *more],
        capture_output=True,
        text=True,
        check=True,
    )
    first = done.stdout.split("\n")[0]
    return int(first.split()[0]), first


def check(path: Path, rows: int, image_format: str, complete: bool) -> None:
    with open_episode(path) as episode:
        assert len(episode) == rows
        assert episode.complete is complete
        assert episode.actions[-1, 0] == rows - 1
        if image_format == "raw":
            assert episode.image(-1).shape == (50, 50, 3)
        else:
            assert len(episode.jpeg(-1) or b"") == 7500


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only a process that may mount can make a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("image_format", ["raw", "jpeg"])
def test_at_a_file_size_limit_the_episode_so_far_is_finished(
    tmp_path: Path, image_format: str
) -> None:
    path = tmp_path / "a.h5"
    rows, sentence = run(path, image_format, 5_000_000)
    assert rows > 300
    assert "disk is full" in sentence
    assert f"a.h5.part holds {rows} valid frames" in sentence
    check(path, rows, image_format, complete=True)
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]


@pytest.mark.parametrize("image_format", ["raw", "jpeg"])
def test_on_a_full_disk_the_episode_so_far_is_finished(
    small_disk: Path, image_format: str
) -> None:
    path = small_disk / "a.h5"
    rows, sentence = run(path, image_format, 0)
    assert rows > 300
    assert "disk is full" in sentence
    check(path, rows, image_format, complete=True)


def test_what_a_process_left_on_a_full_disk_is_recovered(small_disk: Path) -> None:
    path = small_disk / "a.h5"
    rows, _ = run(path, "jpeg", 0, "leave it")
    assert recover(f"{path}.part").frames == rows
    check(path, rows, "jpeg", complete=False)


def test_a_disk_that_is_full_from_the_start_is_said_and_leaves_nothing(small_disk: Path) -> None:
    with pytest.raises(OSError, match="space"):
        (small_disk / "filler").write_bytes(bytes(7_000_000))
    rows, sentence = run(small_disk / "a.h5", "raw", 0, "leave it")
    assert rows == 0
    assert "disk is full" in sentence
    assert [p.name for p in small_disk.iterdir()] == ["filler"]
