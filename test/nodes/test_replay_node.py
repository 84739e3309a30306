"""An episode played back and recorded again is the same episode."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from recorder_harness import PATIENCE, Robot, end, start_node

from mobile_vla_ros.episodes import EpisodeWriter, open_episode
from mobile_vla_ros.nodes.replay_node import timeline


def write_episode(path: Path, rows: int = 12, image_format: str = "raw") -> Path:
    rng = np.random.default_rng(3)
    with EpisodeWriter(
        path, scenario="1box_left", instruction="go left", image_format=image_format
    ) as writer:
        for row in range(rows):
            picture = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
            stamp = 1000.0 + row * 0.1
            frame = {"image": picture}
            if image_format == "jpeg":
                frame = {"jpeg": cv2.imencode(".jpg", picture)[1].tobytes()}
            writer.append(
                **frame,
                action=[0.1 * (row // 3), 0.0, -0.2 * (row // 3)],
                image_stamp=stamp,
                received_stamp=stamp + 0.01,
                action_stamp=1000.0 + (row // 3) * 0.3 - 0.05,
            )
        return writer.finish()


def test_commands_come_at_their_own_times_but_in_time_for_their_frames() -> None:
    images = np.array([5.0, 5.1, 5.2, 5.3])
    moments = timeline(images, np.array([4.9, 5.05, 5.05, 5.3]), lead=0.02)
    assert [(round(m.time - 0.02, 6), m.row, m.is_frame) for m in moments] == [
        (-0.02, 0, False),
        (0.0, 0, True),
        (0.05, 1, False),
        (0.1, 1, True),
        (0.2, 2, True),
        (0.28, 3, False),
        (0.3, 3, True),
    ]
    alone = timeline(images[:1], np.array([np.nan]), lead=0.1)
    assert [(m.is_frame, m.time) for m in alone] == [
        (False, pytest.approx(0.0)),
        (True, pytest.approx(0.1)),
    ]


@pytest.mark.ros
@pytest.mark.parametrize("compressed", [False, True])
def test_an_episode_played_back_twice_as_fast_and_recorded_again_is_the_same(
    ros_domain: int, tmp_path: Path, compressed: bool
) -> None:
    original = write_episode(
        tmp_path / "original.h5", image_format="jpeg" if compressed else "raw"
    )
    robot = Robot(ros_domain)
    processes = []
    try:
        recorder = start_node(
            "recorder_node",
            f"directory:={tmp_path / 'episodes'}",
            "mode:=frame",
            "scenario:=1box_left",
            "instruction:='go left'",
            f"image_transport:={'compressed' if compressed else 'raw'}",
        )
        processes.append(recorder)
        robot.wait(lambda: robot.status, "the recorder")
        # Two rounds: the first shows the recorder that there is a camera.
        player = start_node(
            "replay_node",
            f"episode:={original}",
            "rate:=2.0",
            "loop:=true",
            f"compressed:={'true' if compressed else 'false'}",
        )
        processes.append(player)

        def started() -> bool:
            return robot.call("start").success

        robot.wait(started, "an episode in progress")
        robot.wait(lambda: robot.status["frames"] >= 30, "thirty frames")
        path = robot.save()
        with open_episode(path) as again, open_episode(original) as first:
            pictures = [first.image(row).tobytes() for row in range(len(first))]
            rows = [pictures.index(again.image(row).tobytes()) for row in range(len(again))]
            assert rows == [(rows[0] + k) % len(first) for k in range(len(rows))]
            np.testing.assert_array_equal(again.actions, first.actions[rows])
            if compressed:
                assert [again.jpeg(k) for k in range(len(rows))] == [first.jpeg(r) for r in rows]
            gaps = np.diff(again.image_stamps)
            # Twice as fast, on a machine that may be busy.
            assert np.median(gaps) == pytest.approx(0.05, abs=0.02)
    finally:
        for process in processes:
            end(process)
        robot.close()


@pytest.mark.ros
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "name the file"),
        (["-p", "episode:=/nowhere/x.h5"], "/nowhere/x.h5"),
        (["-p", "episode:=ORIGINAL", "-p", "compressed:=true"], "compressed:=false"),
    ],
)
def test_an_episode_that_cannot_be_played_is_refused_in_one_sentence(
    ros_domain: int, tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    original = write_episode(tmp_path / "original.h5", rows=2)
    arguments = [argument.replace("ORIGINAL", str(original)) for argument in arguments]
    result = subprocess.run(
        [sys.executable, "-m", "mobile_vla_ros.nodes.replay_node", "--ros-args", *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=os.environ,
        check=False,
    )
    assert result.returncode == 2
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr
