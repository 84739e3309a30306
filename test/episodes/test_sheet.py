from pathlib import Path

import numpy as np
import pytest
from test_reader import NAME, write_legacy

from mobile_vla_ros.episodes import EpisodeWriter, open_episode
from mobile_vla_ros.episodes.sheet import draw_episode, driven_path


def test_the_path_is_from_odometry_where_there_is_one(tmp_path: Path) -> None:
    with EpisodeWriter(tmp_path / "a.h5", scenario="x", instruction="가", odom=True) as writer:
        for row in range(5):
            writer.append(
                image=np.zeros((20, 30, 3), np.uint8),
                action=[0.3, 0, 0],
                image_stamp=row,
                received_stamp=row,
                action_stamp=row,
                odom=[2.0, 1.0 + row, np.pi / 2, 0, 0, 0, row],
            )
        path = writer.finish()
    with open_episode(path) as episode:
        route, source = driven_path(episode)
        sheet = draw_episode(episode, tmp_path / "a.png")
    assert source == "odometry"
    assert route[-1] == pytest.approx([4, 0, 0])
    assert sheet.stat().st_size > 10_000


@pytest.mark.parametrize(("rows", "pictures"), [(1, 18), (7, 3), (18, 18)])
def test_an_old_file_is_drawn(tmp_path: Path, rows: int, pictures: int) -> None:
    path = tmp_path / NAME
    write_legacy(path, rows=max(rows, 2))
    with open_episode(path) as episode:
        route, source = driven_path(episode)
        draw_episode(episode, tmp_path / "a.png", pictures)
    assert source == "commands"
    assert len(route) == max(rows, 2) + 1
