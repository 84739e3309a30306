"""Poses, turns and where commands lead."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from mobile_vla_ros.axes import PLANAR_AXES
from mobile_vla_ros.planar import (
    integrate,
    moved,
    odometry_of,
    placed_at,
    quaternion_of,
    seen_from,
    yaw_of,
)


def test_straight_ahead_is_a_straight_line() -> None:
    path = integrate(np.full((10, 2), (0.3, 0.0)), ("linear.x", "angular.z"), 0.4)
    assert path.shape == (11, 3)
    assert np.allclose(path[-1], [1.2, 0, 0])


def test_a_quarter_circle_to_the_left_ends_at_radius_radius() -> None:
    velocities = np.full((5, 3), (np.pi / 2, 0.0, np.pi / 2))
    assert np.allclose(integrate(velocities, PLANAR_AXES, 0.2)[-1], [1, 1, np.pi / 2])


def test_cutting_steps_finer_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    velocities = rng.normal(size=(7, 3))
    coarse = integrate(velocities, PLANAR_AXES, 0.4)
    fine = integrate(np.repeat(velocities, 8, axis=0), PLANAR_AXES, 0.05)
    assert np.allclose(coarse, fine[::8])


def test_strafing_moves_along_y_of_the_base() -> None:
    path = integrate(np.array([[0.0, 0.5, 0.0]]), PLANAR_AXES, 1.0)
    assert np.allclose(path[-1], [0, 0.5, 0])


def test_no_steps_is_the_start_alone() -> None:
    assert np.array_equal(integrate(np.zeros((0, 3)), PLANAR_AXES, 0.4), np.zeros((1, 3)))


def test_columns_that_do_not_match_the_axes_are_refused() -> None:
    with pytest.raises(ValueError, match="not \\[steps, 3\\]"):
        integrate(np.zeros((4, 2)), PLANAR_AXES, 0.4)


def test_steps_of_different_length_each_hold_for_their_own_time() -> None:
    velocities = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, math.pi], [1.0, 0.0, 0.0]])
    path = integrate(velocities, PLANAR_AXES, np.array([2.0, 0.5, 1.0]))
    assert np.allclose(path[-1], [2.0, 1.0, math.pi / 2])


def test_one_step_at_a_time_is_the_same_path() -> None:
    velocities = np.random.default_rng(1).normal(size=(9, 3))
    pose = (0.0, 0.0, 0.0)
    for velocity, expected in zip(
        velocities, integrate(velocities, PLANAR_AXES, 0.3)[1:], strict=True
    ):
        pose = moved(pose, tuple(velocity), 0.3)
        assert np.allclose(pose, expected)


@pytest.mark.parametrize("yaw", [-3.0, -0.5, 0.0, 1.2, math.pi])
def test_a_yaw_comes_back_from_its_quaternion(yaw: float) -> None:
    assert yaw_of(*quaternion_of(yaw)) == pytest.approx(yaw)


def test_pitch_does_not_change_the_yaw() -> None:
    yaw, pitch = 0.7, 0.2  # of a base on a ramp: yaw about z, then pitch about the new y
    c, s, cp, sp = math.cos(yaw / 2), math.sin(yaw / 2), math.cos(pitch / 2), math.sin(pitch / 2)
    assert yaw_of(-s * sp, c * sp, s * cp, c * cp) == pytest.approx(yaw)


def test_odometry_is_read_by_its_fields() -> None:
    _, _, z, w = quaternion_of(0.5)
    pose = SimpleNamespace(
        position=SimpleNamespace(x=1.0, y=2.0, z=9.0),
        orientation=SimpleNamespace(x=0.0, y=0.0, z=z, w=w),
    )
    twist = SimpleNamespace(
        linear=SimpleNamespace(x=0.3, y=0.1, z=0.0), angular=SimpleNamespace(x=0.0, y=0.0, z=0.2)
    )
    message = SimpleNamespace(pose=SimpleNamespace(pose=pose), twist=SimpleNamespace(twist=twist))
    assert odometry_of(message) == pytest.approx((1.0, 2.0, 0.5, 0.3, 0.1, 0.2))


def test_a_place_seen_from_a_pose_is_found_again_from_there() -> None:
    pose, points = (1.0, 2.0, math.pi / 2), np.array([[1.0, 3.0], [0.0, 2.0]])
    seen = seen_from(pose, points)
    assert np.allclose(seen, [[1.0, 0.0], [0.0, 1.0]])
    assert np.allclose(placed_at(pose, seen), points)


def test_a_constant_turn_is_a_circle() -> None:
    steps = np.full(100, 2 * np.pi / 100)
    path = integrate(np.tile([1.0, 0.0, 1.0], (100, 1)), PLANAR_AXES, steps)
    assert path[50, :2] == pytest.approx([0, 2], abs=0.01)  # half a turn to the left
    assert path[-1] == pytest.approx([0, 0, 2 * np.pi], abs=0.01)


def test_sideways_speed_goes_to_the_left() -> None:
    assert integrate(np.array([[0.0, 0.5, 0.0]]), PLANAR_AXES, np.array([2.0]))[-1].tolist() == [
        0,
        1,
        0,
    ]
