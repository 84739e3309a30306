"""Changed windows stay true: the mirror swaps everything that has a side."""

from __future__ import annotations

import numpy as np
import pytest

from mobile_vla_ros.training.augmentation import (
    IDENTITY,
    Transform,
    draw_transform,
    mirror_odometry,
    mirror_text,
    mirror_velocities,
    one_sided,
    transform_images,
)
from mobile_vla_ros.training.run_schema import AugmentationSettings

ALL = AugmentationSettings(colour=0.2, blur=1.0, crop=0.1, shift=0.05, mirror=0.5)


@pytest.fixture
def frames() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 32, 48, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("text", "mirrored"),
    [
        ("reach the bottle on the left", "reach the bottle on the right"),
        ("Left of the box, not RIGHT", "Right of the box, not LEFT"),
        ("leftover brightness upright", "leftover brightness upright"),
        ("1box_hori_left_core_medium", "1box_hori_right_core_medium"),
        ("장애물을 왼쪽으로 돌아 음료수 병 앞으로", "장애물을 오른쪽으로 돌아 음료수 병 앞으로"),
        ("오른쪽 병으로 가", "왼쪽 병으로 가"),
        ("좌측으로 가다가 우회전", "우측으로 가다가 좌회전"),
        ("좌로 돌아서 우로", "우로 돌아서 좌로"),
        ("박스 좌 통과", "박스 우 통과"),
        ("우리는 좌표를 우선 본다", "우리는 좌표를 우선 본다"),
    ],
)
def test_the_mirror_swaps_left_and_right_in_english_and_korean(text: str, mirrored: str) -> None:
    assert mirror_text(text) == mirrored
    assert mirror_text(mirrored) == text


def test_the_mirror_negates_lateral_and_turning_velocities_only() -> None:
    values = np.array([[0.3, 0.1, -0.5], [0.0, 0.0, 0.0]], dtype=np.float32)
    result = mirror_velocities(values, ("linear.x", "linear.y", "angular.z"))
    np.testing.assert_array_equal(result[0], np.float32([0.3, -0.1, 0.5]))
    assert not np.signbit(result[1]).any()
    assert result.dtype == np.float32


def test_the_mirror_negates_y_yaw_vy_wz_of_the_odometry() -> None:
    odometry = np.array([[1.0, 2, 3, 4, 5, 6, 7]])
    assert mirror_odometry(odometry)[0].tolist() == [1, -2, -3, 4, -5, -6, 7]


def test_mirroring_twice_gives_the_pictures_back(frames: np.ndarray) -> None:
    flip = Transform(mirror=True)
    once = transform_images(frames, flip)
    np.testing.assert_array_equal(once, frames[:, :, ::-1])
    np.testing.assert_array_equal(transform_images(once, flip), frames)


def test_the_identity_returns_the_pictures_themselves(frames: np.ndarray) -> None:
    assert transform_images(frames, IDENTITY) is frames


def test_all_frames_of_a_window_are_changed_alike(frames: np.ndarray) -> None:
    same = np.repeat(frames[:1], 3, axis=0)
    transform = draw_transform(ALL, np.random.default_rng(5))
    result = transform_images(same, transform)
    assert result.dtype == np.uint8
    assert result.shape == frames.shape
    assert (result != same).any()
    np.testing.assert_array_equal(result[0], result[2])


def test_the_same_generator_state_draws_the_same_transform() -> None:
    drawn = [draw_transform(ALL, np.random.default_rng([7, 1])) for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert drawn[0] != draw_transform(ALL, np.random.default_rng([7, 2]))


def test_no_augmentation_draws_the_identity() -> None:
    assert draw_transform(AugmentationSettings(), np.random.default_rng(0)) == IDENTITY


def test_a_shift_moves_the_picture_by_its_share_of_the_width() -> None:
    frames = np.zeros((1, 20, 40, 3), np.uint8)
    frames[:, :, 20] = 255
    moved = transform_images(frames, Transform(offset=(0.1, 0.0)))
    assert int(moved[0, 10, :, 0].argmax()) == 16


def test_data_that_pass_on_one_side_only_are_one_sided() -> None:
    assert one_sided(["left", "left", None])
    assert not one_sided(["left", "right"])
    assert not one_sided([None, None])
