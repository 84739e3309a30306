import numpy as np
import pytest

from mobile_vla_ros.stats.crossed import crossed_interval, mean_interval


def test_the_interval_of_a_mean_is_students() -> None:
    found = mean_interval([1.0, 2.0, 3.0])
    assert found.value == 2
    # t(0.975, 2) = 4.3027, standard deviation 1.
    assert (found.low, found.high) == pytest.approx(
        (2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5), 1e-4
    )


def test_one_run_has_no_interval() -> None:
    assert np.isnan(mean_interval([1.0]).low)
    assert np.isnan(crossed_interval(np.ones((1, 9))).low)
    assert np.isnan(crossed_interval(np.ones((9, 1))).high)


def test_a_difference_that_only_one_seed_shows_is_not_certain_for_others() -> None:
    rng = np.random.default_rng(0)
    everywhere = crossed_interval(0.1 + 0.02 * rng.normal(size=(5, 40)))
    assert everywhere.low > 0
    once = crossed_interval(np.outer([0.5, 0, 0, 0, 0], np.ones(40)))
    assert once.low < 0 < once.high


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(300):
        seeds, episodes = rng.normal(size=(5, 1)), rng.normal(size=(1, 20))
        found = crossed_interval(0.3 + seeds + episodes + rng.normal(size=(5, 20)))
        held += found.low <= 0.3 <= found.high
    assert held >= 0.93 * 300
