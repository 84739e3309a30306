import math

import numpy as np
import pytest

from mobile_vla_ros.policy.familiarity import (
    DIRECTIONS,
    Familiarity,
    FeatureStatistics,
    feature_statistics,
)

WIDTH = 48


class World:
    """Frames that vary along few directions and hardly beside them."""

    def __init__(self, width: int = WIDTH, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.mixing = self.rng.normal(size=(4, 2 * width)) * np.array([[4.0], [2.0], [1.0], [0.5]])
        self.middle = self.rng.normal(size=2 * width)

    def frames(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        causes = self.rng.normal(size=(count, 4))
        values = self.middle + causes @ self.mixing
        values = (values + 0.2 * self.rng.normal(size=values.shape)).astype(np.float32)
        width = values.shape[1] // 2
        return values[:, None, :width], values[:, width:]


def distances(statistics: FeatureStatistics, frames: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    return np.array([statistics.distance(*frame) for frame in zip(*frames, strict=True)])


def loose(mean: np.ndarray, std: np.ndarray) -> FeatureStatistics:
    made = FeatureStatistics.from_arrays({"mean": mean, "std": std})
    assert made is not None
    return made


@pytest.mark.parametrize(("count", "width"), [(800, 48), (60, 48), (150, 512), (15, 48)])
def test_new_frames_of_the_training_kind_are_about_one_spread_away(count, width) -> None:
    world = World(width)
    statistics = feature_statistics(*world.frames(count))
    assert len(statistics.variances) == min(DIRECTIONS, count // 20)
    near = distances(statistics, world.frames(200))
    expected = 1.0 if len(statistics.variances) else 0.8
    assert np.mean(near) == pytest.approx(expected, abs=0.25)


def test_what_breaks_the_rules_of_training_is_far_though_each_dimension_is_ordinary() -> None:
    world = World()
    statistics = feature_statistics(*world.frames(800))
    features, contexts = world.frames(200)
    # Each value stays one that its dimension often had; only their combination is new.
    mixed = np.roll(features, 1, axis=0), contexts
    single = loose(statistics.mean[:WIDTH], statistics.std[:WIDTH])
    assert np.mean(distances(single, mixed)) == pytest.approx(0.75, abs=0.1)
    assert np.mean(distances(statistics, mixed)) > 2 * np.mean(
        distances(statistics, (features, contexts))
    )


def test_directions_are_orthonormal_and_the_widest() -> None:
    statistics = feature_statistics(*World().frames(800))
    turned = statistics.directions @ statistics.directions.T
    np.testing.assert_allclose(turned, np.eye(len(turned)), atol=1e-5)
    assert list(statistics.variances) == sorted(statistics.variances, reverse=True)
    assert statistics.rest <= statistics.variances[-1] * 1.001
    total = statistics.variances.sum() + statistics.rest * (2 * WIDTH - len(turned))
    assert total == pytest.approx(2 * WIDTH, rel=1e-3)


def test_a_number_format_s_noise_counts_little() -> None:
    rng = np.random.default_rng(2)
    causes = rng.normal(size=(600, 3)) @ rng.normal(size=(3, 2 * WIDTH))
    features, contexts = causes[:, None, :WIDTH], causes[:, WIDTH:]
    statistics = feature_statistics(features, contexts)
    rounded = features + 0.01 * statistics.std[:WIDTH] * rng.normal(size=features.shape)
    exact = np.mean(distances(statistics, (features, contexts)))
    assert np.mean(distances(statistics, (rounded, contexts))) == pytest.approx(exact, abs=0.1)


def test_dimensions_that_never_varied_do_not_count() -> None:
    features, contexts = World().frames(400)
    features[..., 5] = 3.0
    statistics = feature_statistics(features, contexts)
    before = statistics.distance(features[0], contexts[0])
    features[0, 0, 5] = 99.0
    assert statistics.distance(features[0], contexts[0]) == pytest.approx(before)


def test_mean_and_spread_alone_give_a_distance_as_well() -> None:
    statistics = loose(np.zeros(64), np.full(64, 0.5))
    assert statistics.distance(np.full((1, 64), 2.0)) == pytest.approx(4.0 / 1.25)
    assert statistics.distance(np.full((1, 64), 2.0), np.ones(64)) == pytest.approx(4.0 / 1.25)


@pytest.mark.parametrize(("mean", "std"), [(np.zeros(3), np.ones(3)), (np.zeros(4), np.zeros(4))])
def test_statistics_that_do_not_fit_tell_nothing(mean, std) -> None:
    assert math.isnan(loose(mean, std).distance(np.ones((1, 4))))


def test_arrays_and_back_change_nothing_and_stay_small() -> None:
    world = World(2048)
    statistics = feature_statistics(*world.frames(120))
    arrays = statistics.arrays()
    back = FeatureStatistics.from_arrays(arrays)
    assert back is not None
    frame, context = world.frames(1)
    assert back.distance(frame[0], context[0]) == statistics.distance(frame[0], context[0])
    assert (back.count, back.rest) == (120, pytest.approx(statistics.rest))
    assert arrays["mean"].shape == (2048,)
    widest = arrays["directions"].shape[1] * DIRECTIONS * 4
    assert widest + sum(a.nbytes for k, a in arrays.items() if k != "directions") < 1e6


@pytest.mark.parametrize(
    "change", [{"mean": None}, {"directions": np.ones((2, 3))}, {"context_std": np.ones(3)}]
)
def test_arrays_that_do_not_fit_together_are_no_statistics(change) -> None:
    arrays = {**feature_statistics(*World().frames(100)).arrays(), **change}
    kept = {name: value for name, value in arrays.items() if value is not None}
    assert FeatureStatistics.from_arrays(kept) is None


def test_too_few_frames_for_a_direction_keep_means_and_spreads() -> None:
    statistics = feature_statistics(*World().frames(12))
    arrays = statistics.arrays()
    assert arrays["mean"].shape == arrays["context_std"].shape == (WIDTH,)
    assert "directions" not in arrays
    back = FeatureStatistics.from_arrays(arrays)
    assert back is not None
    frame, context = World().frames(1)
    assert back.distance(frame[0], context[0]) == statistics.distance(frame[0], context[0])


def constant(distance: float) -> tuple[np.ndarray]:
    """A frame so far from `loose(zeros, ones)`."""
    return (np.full((1, 4), 1.25 * distance),)


def test_the_reading_is_the_mean_over_the_last_seconds() -> None:
    familiar = Familiarity(loose(np.zeros(4), np.ones(4)), seconds=4.0)
    readings = []
    for frame in range(20):
        familiar.add(0.5 * frame, *constant(1.0 if frame < 10 else 2.0))
        readings.append(familiar.distance)
    assert all(math.isnan(value) for value in readings[:4])
    assert readings[4:10] == [pytest.approx(1.0)] * 6
    assert readings[13] == pytest.approx((5 * 1 + 4 * 2) / 9)
    assert readings[19] == pytest.approx(2.0)


@pytest.mark.parametrize("stamp", [4.0, 30.0])
def test_a_clock_that_jumps_and_a_long_gap_start_anew(stamp) -> None:
    familiar = Familiarity(loose(np.zeros(4), np.ones(4)), seconds=4.0)
    for frame in range(11):
        familiar.add(0.5 * frame, *constant(3.0))
    familiar.add(5.0, *constant(9.0))
    assert familiar.distance == pytest.approx(3.0)
    familiar.add(stamp, *constant(1.0))
    assert math.isnan(familiar.distance)
    for frame in range(1, 7):
        familiar.add(stamp + 0.5 * frame, *constant(1.0))
    assert familiar.distance == pytest.approx(1.0)


def test_no_frames_have_no_statistics() -> None:
    with pytest.raises(ValueError, match="no frames"):
        feature_statistics(np.zeros((0, 1, 4)), np.zeros((0, 4)))
