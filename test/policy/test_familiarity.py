import math

import numpy as np
import pytest

from mobile_vla_ros.policy.familiarity import feature_distance


def test_frames_of_the_training_kind_are_about_one_spread_away() -> None:
    rng = np.random.default_rng(0)
    mean, std = rng.normal(size=256), rng.uniform(0.1, 3.0, 256)
    near = [feature_distance(rng.normal(mean, std)[None], mean, std) for _ in range(50)]
    assert np.mean(near) == pytest.approx(1.0, abs=0.05)


def test_a_shifted_picture_is_farther_away() -> None:
    mean, std = np.zeros(64), np.full(64, 0.5)
    assert feature_distance(np.full((1, 64), 2.0), mean, std) == pytest.approx(4.0)


def test_dimensions_that_never_varied_do_not_count() -> None:
    mean, std = np.zeros(4), np.array([1.0, 1.0, 0.0, 0.0])
    assert feature_distance(np.array([[1.0, 1.0, 9.0, 9.0]]), mean, std) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("mean", "std"),
    [(None, None), (np.zeros(3), np.ones(3)), (np.zeros(4), np.zeros(4))],
)
def test_without_statistics_the_distance_is_unknown(mean, std) -> None:
    assert math.isnan(feature_distance(np.ones((1, 4)), mean, std))
