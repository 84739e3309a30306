import os
import subprocess
import sys
from pathlib import Path

import mujoco
import numpy as np
import pytest

from mobile_vla_ros.errors import InputError
from mobile_vla_ros.sim.camera import CameraSettings
from mobile_vla_ros.sim.field import Field
from mobile_vla_ros.sim.layout import BOTTLE_HEIGHT

REPOSITORY = Path(__file__).parents[2]
SMALL = CameraSettings(width=320, height=180)


@pytest.mark.egl
@pytest.mark.parametrize(("width", "height"), [(640, 360), (1280, 720)])
def test_a_frame_is_rgb_of_the_size_asked_for(width, height) -> None:
    with Field("1box_left", 0, CameraSettings(width=width, height=height)) as sim:
        frame = sim.render()
    assert frame.shape == (height, width, 3)
    assert frame.dtype == np.uint8
    assert frame.std() > 10


@pytest.mark.egl
def test_box_and_bottle_are_seen_where_they_stand_and_in_their_colours() -> None:
    for seed in range(4):
        with Field("1box_left", seed, SMALL) as sim:
            box, bottle = sim.layout.boxes[0], sim.layout.bottle
            # Before the bottle, then before the box: each fills the middle of its place.
            for place, point in (
                ((bottle[0] - 0.5, bottle[1]), (*bottle, 0.62 * BOTTLE_HEIGHT)),
                ((box.x - 0.8, box.y), (box.x, box.y, box.height / 2)),
            ):
                sim._data.qpos[:2] = place
                sim._data.qpos[3:7] = (1, 0, 0, 0)
                mujoco.mj_forward(sim._model, sim._data)
                frame = sim.render().astype(int)
                [[u, v]] = SMALL.project((*place, 0.0), np.array([point]))
                patch = frame[
                    round(v * 180) - 2 : round(v * 180) + 3,
                    round(u * 320) - 2 : round(u * 320) + 3,
                ]
                red, green, blue = patch.reshape(-1, 3).mean(0)
                if point[0] == bottle[0]:
                    assert green > 1.5 * max(red, blue)
                else:
                    assert red > green > blue
                    assert red > 1.25 * blue


@pytest.mark.egl
def test_a_standing_robots_frames_differ_as_a_real_cameras_do() -> None:
    with Field("1box_left", 0, SMALL) as sim:
        frames = [sim.render().copy() for _ in range(4)]
    assert len({frame.tobytes() for frame in frames}) == 4
    assert np.abs(frames[0].astype(int) - frames[1]).mean() < 2


@pytest.mark.egl
def test_a_repeated_run_shows_the_same_frames() -> None:
    with Field("2box_right", 5, SMALL) as sim:
        first = sim.render().copy()
        sim.step((0.3, 0.2), 0.3)
        later = sim.render().copy()
        sim.reset()
        again = sim.render().copy()
        sim.step((0.3, 0.2), 0.3)
        assert np.array_equal(first, again)
        assert np.array_equal(later, sim.render())
    assert not np.array_equal(first, later)


@pytest.mark.egl
def test_rooms_look_different_by_seed() -> None:
    means = []
    for seed in range(4):
        with Field("1box_left", seed, SMALL) as sim:
            means.append(sim.render().reshape(-1, 3).mean(0).round(1))
    assert len({tuple(mean) for mean in means}) == 4


def test_a_point_to_the_left_is_left_in_the_image_and_one_behind_is_nowhere() -> None:
    settings = CameraSettings()
    left, right, behind = settings.project(
        (0.0, 0.0, 0.0), np.array([[2.0, 0.5, 0.2], [2.0, -0.5, 0.2], [-1.0, 0.0, 0.2]])
    )
    assert left[0] < 0.5 < right[0]
    assert left[0] == pytest.approx(1 - right[0])
    assert np.isnan(behind).all()


@pytest.mark.parametrize(
    "bad",
    [
        {"width": 4},
        {"height": 5000},
        {"field_of_view": 179.0},
        {"mount_height": 0.0},
        {"tilt": 90.0},
        {"noise": -1.0},
        {"samples": 64},
    ],
)
def test_a_camera_that_cannot_be_is_refused(bad) -> None:
    with pytest.raises(InputError, match=r"give|must be"):
        CameraSettings(**bad)


def test_a_machine_without_the_graphics_library_is_told_which_to_install(tmp_path) -> None:
    program = tmp_path / "OpenGL.py"
    program.write_text("raise ImportError('no such library')")
    environment = {**os.environ, "MUJOCO_GL": "egl", "PYTHONPATH": f"{tmp_path}:{REPOSITORY}"}
    command = [sys.executable, "-m", "mobile_vla_ros.cli.main", "sim", "collect"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "data")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "install" in done.stderr
    assert "libegl1" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [["sim", "collect"], ["demo"]])
def test_a_graphics_library_that_nobody_knows_is_one_sentence(tmp_path, command) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mobile_vla_ros.cli.main", *command, "--out", tmp_path / "data"],
        env={**os.environ, "MUJOCO_GL": "nonsense", "PYTHONPATH": REPOSITORY},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "set MUJOCO_GL to egl, osmesa or glfw" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "data").exists()
