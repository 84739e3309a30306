"""Action chunks: steps by age, horizon, and what may drive."""

from __future__ import annotations

import re

import numpy as np
import pytest

from mobile_vla_ros.control import ActionChunk

AXES = ("linear.x", "angular.z")


def chunk(velocities=None, **changes) -> ActionChunk:
    if velocities is None:
        velocities = np.arange(8, dtype=np.float32).reshape(4, 2)
    return ActionChunk(
        **{"axes": AXES, "stamp": 1.7e9, "action_period": 0.4, **changes}, velocities=velocities
    )


@pytest.mark.parametrize(
    ("age", "step"), [(0, 0), (0.399, 0), (0.4, 1), (0.8, 2), (3 * 0.4, 3), (1.5999, 3)]
)
def test_each_step_is_held_for_one_action_period(age: float, step: int) -> None:
    assert np.array_equal(chunk().at(age), chunk().velocities[step])


def test_a_step_boundary_survives_the_rounding_of_a_unix_stamp() -> None:
    for step in range(4):
        now = 1.7e9 + 0.1 * step * 4
        assert chunk().at(now - 1.7e9)[0] == 2 * step


def test_the_horizon_is_chunk_times_action_period() -> None:
    assert chunk().horizon == pytest.approx(1.6)


@pytest.mark.parametrize("age", [1.6, 2.0, float("nan"), float("inf")])
def test_a_used_up_chunk_has_no_step(age: float) -> None:
    with pytest.raises(ValueError, match="no step"):
        chunk().at(age)


def test_a_slightly_negative_age_gives_the_first_step() -> None:
    assert np.array_equal(chunk().at(-0.01), chunk().velocities[0])


def test_a_good_chunk_has_no_problem() -> None:
    assert chunk().problem(AXES) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"velocities": np.full((4, 2), np.nan, np.float32)}, "NaN or infinite"),
        ({"velocities": np.array([[0, np.inf]], np.float32)}, "NaN or infinite"),
        ({"velocities": np.zeros((0, 2), np.float32)}, "not \\[chunk, 2\\]"),
        ({"velocities": np.zeros((4, 3), np.float32)}, "not \\[chunk, 2\\]"),
        ({"velocities": np.zeros(4, np.float32)}, "not \\[chunk, 2\\]"),
        ({"velocities": np.array([["a", "b"]])}, "not an array of numbers"),
        ({"axes": ("linear.x", "linear.y")}, "the axes are"),
        ({"stamp": float("nan")}, "stamp"),
        ({"action_period": 0.0}, "action period"),
        ({"action_period": float("inf")}, "action period"),
    ],
)
def test_a_bad_chunk_says_what_is_wrong(changes: dict, words: str) -> None:
    problem = chunk(**changes).problem(AXES)
    assert problem is not None
    assert re.search(words, problem)
