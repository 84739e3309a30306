import numpy as np
import pytest
from scipy.stats import binomtest
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from mobile_vla_ros.stats.intervals import wilson_interval
from mobile_vla_ros.stats.paired import (
    mcnemar_exact,
    mcnemar_power,
    pairs_needed,
    sequential_evidence,
)


@pytest.mark.parametrize(("first", "second"), [(0, 4), (1, 9), (5, 5), (12, 3), (0, 0), (7, 0)])
def test_the_exact_test_equals_statsmodels(first: int, second: int) -> None:
    if first + second:
        expected = mcnemar([[3, first], [second, 2]], exact=True).pvalue
        assert mcnemar_exact(first, second) == pytest.approx(min(1.0, expected))
        assert mcnemar_exact(first, second) == pytest.approx(
            binomtest(first, first + second).pvalue
        )
    else:
        assert mcnemar_exact(first, second) == 1.0


def test_four_pairs_can_never_reach_the_five_percent_level() -> None:
    assert mcnemar_exact(4, 0) > 0.05
    assert mcnemar_power(4, 1.0, 0.0) == 0.0


def test_power_equals_a_simulation() -> None:
    rng = np.random.default_rng(0)
    wins = rng.random((4000, 20)) < 0.9
    losses = rng.random((4000, 20)) < 0.5
    rejected = [
        mcnemar_exact(int((a & ~b).sum()), int((~a & b).sum())) < 0.05
        for a, b in zip(wins, losses, strict=True)
    ]
    assert mcnemar_power(20, 0.9, 0.5) == pytest.approx(np.mean(rejected), abs=0.025)


def test_the_planned_number_of_pairs_has_the_wanted_power() -> None:
    pairs = pairs_needed(0.9, 0.5, power=0.8)
    assert mcnemar_power(pairs, 0.9, 0.5) >= 0.8
    assert mcnemar_power(pairs - 1, 0.9, 0.5) < 0.8
    with pytest.raises(ValueError, match="equal"):
        pairs_needed(0.7, 0.7)


def test_looking_after_every_trial_keeps_the_error_rate() -> None:
    rng = np.random.default_rng(1)
    rejected = 0
    for _ in range(400):
        first = np.cumsum(rng.random(120) < 0.5)
        evidence = [
            sequential_evidence(int(wins), count + 1 - int(wins))
            for count, wins in enumerate(first)
        ]
        rejected += max(evidence) >= 20
    assert rejected / 400 <= 0.05


def test_evidence_grows_with_a_true_difference() -> None:
    assert sequential_evidence(0, 0) == pytest.approx(1.0)
    assert sequential_evidence(8, 0) > 20
    assert sequential_evidence(0, 8) == pytest.approx(sequential_evidence(8, 0))


@pytest.mark.parametrize(("successes", "trials"), [(0, 5), (5, 5), (17, 24), (98, 100), (1, 2)])
def test_the_wilson_interval_equals_statsmodels(successes: int, trials: int) -> None:
    expected = proportion_confint(successes, trials, method="wilson")
    assert wilson_interval(successes, trials) == pytest.approx(expected)


def test_without_trials_nothing_is_known() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError):
        wilson_interval(3, 2)
