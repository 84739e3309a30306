"""Integrating commands into a path."""

from __future__ import annotations

import numpy as np
import pytest

from mobile_vla_ros.control import integrate

AXES = ("linear.x", "linear.y", "angular.z")


def test_straight_ahead_is_a_straight_line() -> None:
    path = integrate(np.full((10, 2), (0.3, 0.0)), ("linear.x", "angular.z"), 0.4)
    assert path.shape == (11, 3)
    assert np.allclose(path[-1], [1.2, 0, 0])


def test_a_quarter_circle_to_the_left_ends_at_radius_radius() -> None:
    velocities = np.full((5, 3), (np.pi / 2, 0.0, np.pi / 2))
    assert np.allclose(integrate(velocities, AXES, 0.2)[-1], [1, 1, np.pi / 2])


def test_cutting_steps_finer_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    velocities = rng.normal(size=(7, 3))
    coarse = integrate(velocities, AXES, 0.4)
    fine = integrate(np.repeat(velocities, 8, axis=0), AXES, 0.05)
    assert np.allclose(coarse, fine[::8])


def test_strafing_moves_along_y_of_the_base() -> None:
    path = integrate(np.array([[0.0, 0.5, 0.0]]), AXES, 1.0)
    assert np.allclose(path[-1], [0, 0.5, 0])


def test_no_steps_is_the_start_alone() -> None:
    assert np.array_equal(integrate(np.zeros((0, 3)), AXES, 0.4), np.zeros((1, 3)))


def test_columns_that_do_not_match_the_axes_are_refused() -> None:
    with pytest.raises(ValueError, match="not \\[steps, 3\\]"):
        integrate(np.zeros((4, 2)), AXES, 0.4)
