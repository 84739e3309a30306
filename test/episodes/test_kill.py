"""Kills a recording process and looks at what it left with plain h5py."""

import random
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from kill_target import blob, frame

from mobile_vla_ros.episodes import open_episode, recover

TARGET = Path(__file__).with_name("kill_target.py")
HEIGHT, WIDTH = 60, 80


def record_and_kill(path: Path, image_format: str, after: int, delay: float) -> int:
    """Starts a recording, kills it ``delay`` seconds after a row; the acknowledged rows."""
    arguments = [str(path), image_format, str(HEIGHT), str(WIDTH), "100000"]
    process = subprocess.Popen(
        [sys.executable, str(TARGET), *arguments], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == str(after):
            break
    time.sleep(delay)
    process.kill()
    rest = process.stdout.read().split("\n")
    process.wait()
    whole = [line for line in rest[:-1] if line]
    return int(whole[-1]) if whole else after


@pytest.mark.parametrize("image_format", ["raw", "jpeg"])
@pytest.mark.parametrize("after", [1, 63, 190])
def test_a_killed_recording_has_every_acknowledged_frame(
    tmp_path: Path, image_format: str, after: int
) -> None:
    path = tmp_path / "episode_20250101_120000_1box_left.h5"
    acknowledged = record_and_kill(path, image_format, after, random.Random(after).random() * 0.02)
    part = path.with_name(path.name + ".part")
    assert not path.exists()
    with h5py.File(part) as file:
        committed = int(file["committed_rows"][()])
        assert acknowledged <= committed <= acknowledged + 1
        assert np.array_equal(file["actions"][:committed, 0], np.arange(committed))
        ends = [0, *(file["images_jpeg_end"][:committed] if image_format == "jpeg" else [])]
        for row in range(committed):
            if image_format == "raw":
                assert np.array_equal(file["images"][row], frame(row, HEIGHT, WIDTH))
            else:
                found = file["images_jpeg"][ends[row] : ends[row + 1]].tobytes()
                assert found == blob(row)
    result = recover(part)
    assert (result.path, result.frames, result.lost) == (path, committed, 0)
    with open_episode(path) as episode:
        assert len(episode) == committed
        assert not episode.complete
        assert episode.instruction == "왼쪽으로 가"
        assert np.array_equal(episode.odom[:, 2], np.arange(committed))
    assert not part.exists()
