"""The words for velocities, in a verification and in a field trial alike."""

from __future__ import annotations

import numpy as np
import pytest

from mobile_vla_ros.control.keyboard import OMNI_KEYS, TURNING_KEYS
from mobile_vla_ros.stats.directions import confusion, directions

AXES = ("linear.x", "linear.y", "angular.z")


def word(*velocity: float, axes: tuple[str, ...] = AXES) -> str:
    return str(directions(np.array([velocity]), axes)[0])


@pytest.mark.parametrize(
    ("velocity", "expected"),
    [
        ((0.3, 0.0, 0.0), "forward"),
        ((-0.3, 0.0, 0.0), "backward"),
        ((0.1, 0.0, 0.5), "left"),
        ((0.1, 0.0, -0.5), "right"),
        ((0.1, 0.3, 0.0), "left"),
        ((0.0, -0.3, 0.0), "right"),
        ((0.0, 0.0, 0.3), "left"),
        ((0.01, 0.0, -0.02), "stop"),
        # A small correction on the way is no turn; an arc of one metre radius is.
        ((0.3, 0.0, 0.1), "forward"),
        ((0.3, 0.0, 0.3), "left"),
        # On a circle around a goal the base strafes and turns: it does not drive forward.
        ((0.0, 0.3, -0.2), "left"),
        ((0.0, 0.2, -0.3), "right"),
    ],
)
def test_a_velocity_has_a_direction(velocity: tuple[float, ...], expected: str) -> None:
    assert word(*velocity) == expected


@pytest.mark.parametrize("keys", [OMNI_KEYS, TURNING_KEYS])
def test_no_key_lies_near_a_border(keys: dict[str, tuple[int, int, int]]) -> None:
    rng = np.random.default_rng(0)
    for key, units in keys.items():
        velocity = np.array(units) * (0.3, 0.3, 1.0)
        # A prediction that is nearly right must not change the word.
        near = velocity + rng.uniform(-0.04, 0.04, (200, 3))
        assert set(directions(near, AXES)) == {word(*velocity)}, key


def test_mirrored_velocities_have_mirrored_words() -> None:
    velocities = np.random.default_rng(1).uniform(-1, 1, (500, 3))
    mirrored = {"left": "right", "right": "left"}
    words = directions(velocities, AXES)
    other = directions(velocities * (1, -1, -1), AXES)
    assert [mirrored.get(name, name) for name in words] == list(other)


def test_columns_are_read_by_their_names() -> None:
    assert word(0.5, 0.3, axes=("angular.z", "linear.x")) == "left"
    assert word(0.3, -0.3, axes=("linear.x", "linear.y")) == "right"
    assert word(0.3, axes=("linear.x",)) == "forward"


def test_confusion_counts_recorded_by_predicted() -> None:
    recorded = np.array(["forward", "left", "left"])
    labels, matrix = confusion(recorded, np.array(["forward", "forward", "left"]))
    assert labels == ["forward", "left", "right", "stop"]
    assert matrix.tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    labels, matrix = confusion(recorded, np.array(["backward", "left", "left"]))
    assert labels[-1] == "backward"
    assert matrix[0, 4] == 1
