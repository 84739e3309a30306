"""The picture of a demo: frames of every episode at their times, in either field."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from mobile_vla_ros.cli import demo_pictures
from mobile_vla_ros.episodes import EpisodeWriter


def episode(path: Path, shade: int, rows: int = 6) -> Path:
    with EpisodeWriter(path, scenario="open_easy_change", instruction="go", flush=False) as writer:
        for row in range(rows):
            writer.append(
                image=np.full((24, 32, 3), shade, np.uint8),
                action=(0.1, 0.0, 0.0),
                image_stamp=50.0 + 0.1 * row,
                received_stamp=50.0 + 0.1 * row,
                action_stamp=50.0 + 0.1 * row,
            )
        return writer.finish(outcome="success")


def trace(*told: tuple[float, str]) -> dict[str, object]:
    time = np.arange(0.0, 4.0, 0.05)
    still = np.zeros_like(time)
    return {
        "told": [list(one) for one in told],
        "reason": "reached",
        "states": [(0.1, "driving")],
        "odometry": np.stack([time, 0.3 * time, still, still, still, still], axis=1).tolist(),
        "commands": np.stack([time, still + 0.3, still, still], axis=1).tolist(),
    }


def test_frames_of_two_instructions_follow_each_other_in_time(tmp_path: Path) -> None:
    episodes = [episode(tmp_path / "a.h5", 60), episode(tmp_path / "b.h5", 180)]
    frames = demo_pictures._frames(trace((0.0, "go"), (2.5, "come back")), episodes)
    assert [round(when, 3) for when, _, _ in frames] == pytest.approx(
        [0.1 * row for row in range(6)] + [2.5 + 0.1 * row for row in range(6)]
    )
    shades = [int(image.mean()) for _, image in demo_pictures._pictures(frames[4:8])]
    assert shades == [60, 60, 180, 180]


@pytest.mark.parametrize("scenario", ["2box_left", "open_easy_change"])
def test_a_drive_in_either_field_is_one_picture(tmp_path: Path, scenario: str) -> None:
    told = [(0.0, "go"), (2.5, "come back")] if scenario.startswith("open") else [(0.0, "go")]
    episodes = [episode(tmp_path / f"{at}.h5", 90) for at in range(len(told))]
    picture = tmp_path / "demo.png"
    demo_pictures.draw(trace(*told), scenario, 4, episodes, picture)
    drawn = cv2.imread(str(picture))
    assert drawn.shape[0] > 500
    assert drawn.std() > 20


def test_an_open_field_can_be_filmed(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    film = tmp_path / "drive.mp4"
    episodes = [episode(tmp_path / "a.h5", 60), episode(tmp_path / "b.h5", 180)]
    demo_pictures.film(trace((0.0, "go"), (2.5, "back")), "open_hard_change", 3, episodes, film)
    with av.open(str(film)) as read:
        assert len(list(read.decode(video=0))) == 12
