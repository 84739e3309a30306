"""Tests for matched pairs of successes and failures: is one of two checkpoints better?"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy.special import betaln
from scipy.stats import binom


def mcnemar_exact(only_first: int, only_second: int) -> float:
    """Two-sided exact McNemar test.

    Of matched pairs, only those count in which one side succeeded and the other failed; without
    a difference each such pair is a fair coin.

    Args:
        only_first: pairs in which only the first succeeded.
        only_second: pairs in which only the second succeeded.

    Returns:
        The p value in (0, 1]; 1.0 without discordant pairs.

    Raises:
        ValueError: negative counts.

    Source: Q. McNemar, Psychometrika 12 (1947); exact binomial form.
    """
    if only_first < 0 or only_second < 0:
        raise ValueError("counts of pairs cannot be negative")
    discordant = only_first + only_second
    if discordant == 0:
        return 1.0
    return min(1.0, 2 * float(binom.cdf(min(only_first, only_second), discordant, 0.5)))


def mcnemar_power(pairs: int, first_rate: float, second_rate: float, alpha: float = 0.05) -> float:
    """Probability that the exact test over ``pairs`` matched pairs finds a true difference.

    The two outcomes of a pair are taken as independent given the rates, which is the cautious
    assumption: starts that are hard for both make discordant pairs rarer but purer.

    Args:
        pairs: number of matched pairs, at least 0.
        first_rate, second_rate: true success rates in [0, 1].
        alpha: two-sided significance level.

    Returns:
        Power in [0, 1].
    """
    only_first = first_rate * (1 - second_rate)
    only_second = second_rate * (1 - first_rate)
    discordant_rate = only_first + only_second
    if pairs <= 0 or discordant_rate == 0:
        return 0.0
    share = only_first / discordant_rate
    chance = binom.pmf(np.arange(pairs + 1), pairs, discordant_rate)
    critical = _critical(pairs, alpha)
    counts = np.flatnonzero((chance >= 1e-12) & (critical >= 0))
    critical, chance = critical[counts], chance[counts]
    tails = binom.cdf(critical, counts, share) + binom.cdf(critical, counts, 1 - share)
    return float(chance @ tails)


@lru_cache(maxsize=4)
def _criticals(most: int, alpha: float) -> np.ndarray:
    """int [most + 1]: by discordant pairs, up to which smaller count it rejects; -1: never."""
    counts = np.arange(most + 1)
    critical = binom.ppf(alpha / 2, counts, 0.5) - 1
    # The quantile's own rounding must not decide where the two are nearly equal.
    critical += 2 * binom.cdf(critical + 1, counts, 0.5) < alpha
    critical -= (critical >= 0) & (2 * binom.cdf(critical, counts, 0.5) >= alpha)
    return np.maximum(critical, -1).astype(int)


def _critical(pairs: int, alpha: float) -> np.ndarray:
    return _criticals(max(512, 1 << pairs.bit_length()), alpha)[: pairs + 1]


def pairs_needed(
    first_rate: float,
    second_rate: float,
    alpha: float = 0.05,
    power: float = 0.8,
    most: int = 2000,
) -> int:
    """Smallest number of matched pairs with which the exact test has the wanted power.

    The exact test's power is not monotonic in the number of pairs, so the number returned is the
    first from which on the power never falls below the target within the next ten.

    Raises:
        ValueError: the rates are equal, not in [0, 1], or more than ``most`` pairs are needed.
    """
    if not (0 <= first_rate <= 1 and 0 <= second_rate <= 1):
        raise ValueError("success rates lie between 0 and 1")
    if first_rate == second_rate:
        raise ValueError("equal success rates cannot be told apart by any number of trials")
    held = 0
    for pairs in range(1, most + 11):
        if mcnemar_power(pairs, first_rate, second_rate, alpha) >= power:
            held += 1
            if held == 10:
                return pairs - 9
        else:
            held = 0
    raise ValueError(f"more than {most} matched pairs would be needed")


def sequential_evidence(only_first: int, only_second: int) -> float:
    """Evidence against 'no difference' that may be looked at after every trial.

    The e-value of the discordant pairs under a uniform mixture over the true share of wins,
    divided by the fair coin. When there is no difference, the probability that it ever reaches
    1 / alpha is at most alpha, however often one looks.

    Returns:
        The e-value, > 0. At least 20 rejects 'no difference' at the 5 % level.

    Source: J. Ville (1939); G. Shafer, Testing by betting, JRSS A 184 (2021); mixture of
    H. Robbins, Ann. Math. Stat. 41 (1970).
    """
    discordant = only_first + only_second
    return math.exp(float(betaln(only_first + 1, only_second + 1)) + discordant * math.log(2.0))
