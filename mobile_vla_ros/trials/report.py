"""What the trials say: success rates, whether one checkpoint is better, and how sure that is."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from scipy.stats import fisher_exact

from mobile_vla_ros.stats.intervals import wilson_interval
from mobile_vla_ros.stats.paired import mcnemar_exact, pairs_needed, sequential_evidence
from mobile_vla_ros.trials.plan import TrialPlan
from mobile_vla_ros.trials.record import LOST_TIME, TrialError, TrialRecord


@dataclass(frozen=True)
class Rate:
    """Trials of one checkpoint (in one scenario, or in all).

    ``driving_time`` (s) and ``path_length`` (m) are means over the successful trials, None
    without any; ``wilson`` is the 95 % interval of the success rate.
    """

    name: str
    trials: int
    successes: int
    success_rate: float | None
    wilson: tuple[float, float]
    driving_time: float | None
    path_length: float | None
    interventions: int
    scenario: str | None = None


@dataclass(frozen=True)
class Comparison:
    """Two checkpoints against each other.

    Attributes:
        first, second: their names.
        test: which test, in words; None when there is nothing to compare.
        p: its two-sided p value (for the sequential test: valid whenever one looks).
        enough: whether a conclusion may be drawn.
        sentence: the conclusion, never stronger than the numbers.
        better: name of the better one, or None.
        pairs: matched starts that both have driven.
        planned_pairs: how many were planned, or would be needed; None when unknown.
        only_first, only_second: starts where only one of them succeeded.
    """

    first: str | None
    second: str | None
    test: str | None
    p: float | None
    enough: bool
    sentence: str
    better: str | None = None
    pairs: int = 0
    planned_pairs: int | None = None
    only_first: int = 0
    only_second: int = 0


@dataclass(frozen=True)
class TrialReport:
    """All tables of a trial report (see the fields' own types)."""

    checkpoints: list[Rate]
    by_scenario: list[Rate]
    comparison: Comparison
    comparisons: list[Comparison]
    failures: dict[str, dict[str, int]]
    lost_time: dict[str, dict[str, float]]
    not_counted: dict[str, int]
    shadow: list[Mapping[str, object]] = field(default_factory=list)


def report_trials(
    records: Sequence[TrialRecord],
    plan: TrialPlan | None = None,
    key: Mapping[str, str] | None = None,
    *,
    alpha: float = 0.05,
) -> TrialReport:
    """Evaluates trials.

    Matched starts (``pair``) are compared by the exact McNemar test, or, under a sequential plan,
    by evidence that holds however often one looks; trials without pairs by Fisher's exact test.
    With more than two checkpoints the p values are corrected by Holm's method.

    A plan with a fixed number of trials allows a conclusion only when it is complete: stopping
    at the first good-looking result would find differences that are not there.

    Args:
        records: the trials; aborted, interrupted and shadow trials do not count.
        plan: the plan they followed, for its number of pairs, significance level and kind of
            test.
        key: code -> name of a blind plan.
        alpha: significance level without a plan.

    Raises:
        TrialError: there is not a single trial.
    """
    if not records:
        raise TrialError("the log has no trials yet")
    names = dict(key or {})
    if plan is not None:
        alpha = plan.alpha

    def name_of(record: TrialRecord) -> str:
        return names.get(record.checkpoint, record.checkpoint)

    counted = [record for record in records if record.counts]
    checkpoints = list(dict.fromkeys(name_of(record) for record in counted))
    scenarios = sorted({record.scenario for record in counted})
    groups = {name: [r for r in counted if name_of(r) == name] for name in checkpoints}
    comparisons = [
        _compare(first, second, groups[first], groups[second], plan, alpha)
        for first, second in itertools.combinations(checkpoints, 2)
    ]
    if len(comparisons) > 1:
        comparisons = _holm(comparisons, alpha)
    return TrialReport(
        checkpoints=[_rate(name, groups[name]) for name in checkpoints],
        by_scenario=[
            _rate(name, [r for r in groups[name] if r.scenario == scenario], scenario)
            for scenario in scenarios
            for name in checkpoints
        ],
        comparison=_headline(comparisons, checkpoints, groups),
        comparisons=comparisons,
        failures={
            name: dict(
                Counter(r.cause or "no cause given" for r in group if not r.success).most_common()
            )
            for name, group in groups.items()
        },
        lost_time={
            name: {
                kind: round(sum(r.lost_time.get(kind, 0.0) for r in group), 3)
                for kind in LOST_TIME
            }
            for name, group in groups.items()
        },
        not_counted=dict(
            Counter("shadow" if r.shadow else r.outcome for r in records if not r.counts)
        ),
        shadow=[
            {"trial": r.trial, "scenario": r.scenario, "checkpoint": name_of(r), **r.agreement}
            for r in records
            if r.shadow
        ],
    )


def _rate(name: str, group: Sequence[TrialRecord], scenario: str | None = None) -> Rate:
    good = [record for record in group if record.success]
    return Rate(
        name=name,
        scenario=scenario,
        trials=len(group),
        successes=len(good),
        success_rate=len(good) / len(group) if group else None,
        wilson=wilson_interval(len(good), len(group)),
        driving_time=fmean(r.driving_time for r in good) if good else None,
        path_length=fmean(r.path_length for r in good) if good else None,
        interventions=sum(r.interventions for r in group),
    )


def _compare(
    first: str,
    second: str,
    firsts: Sequence[TrialRecord],
    seconds: Sequence[TrialRecord],
    plan: TrialPlan | None,
    alpha: float,
) -> Comparison:
    # A start driven twice by one checkpoint counts with its last trial.
    outcomes = {
        name: {r.pair: r.success for r in group if r.pair is not None}
        for name, group in ((first, firsts), (second, seconds))
    }
    shared = [pair for pair in outcomes[first] if pair in outcomes[second]]
    if not shared:
        return _compare_unmatched(first, second, firsts, seconds, alpha)
    wins = sum(outcomes[first][pair] and not outcomes[second][pair] for pair in shared)
    losses = sum(outcomes[second][pair] and not outcomes[first][pair] for pair in shared)
    planned = len({trial.pair for trial in plan.trials}) if plan is not None else None
    if plan is not None and plan.sequential:
        test = "sequential test on matched starts"
        p = _sequential_p(outcomes[first], outcomes[second], shared)
        enough = p < alpha
        complete = planned is not None and len(shared) >= planned
    else:
        test = "exact McNemar test on matched starts"
        p = mcnemar_exact(wins, losses)
        complete = planned is None or len(shared) >= planned
        powered = plan is not None and plan.pairs_needed is not None
        powered = powered and len(shared) >= (plan.pairs_needed or 0)  # type: ignore[union-attr]
        enough = complete and (p < alpha or powered)
    needed = planned
    if plan is not None and plan.pairs_needed is not None:
        needed = max(plan.pairs_needed, planned or 0)
    if needed is None or (complete and not enough):
        needed = _suggest_pairs(wins, losses, len(shared), outcomes, first, second) or needed
    good_first = sum(outcomes[first][pair] for pair in shared)
    good_second = sum(outcomes[second][pair] for pair in shared)
    counts = (
        f"from {len(shared)} matched starts {first} succeeded {good_first} times and {second} "
        f"{good_second} times ({test}, p = {p:.3g})"
    )
    better = None
    if enough and p < alpha:
        better = first if wins > losses else second
        sentence = f"{better} is better: {counts}."
    elif enough:
        assert plan is not None
        assert plan.difference is not None
        low, high = sorted(plan.difference)
        sentence = f"No difference as large as {low:.0%} against {high:.0%} was found: {counts}."
    else:
        planned_words = f"; planned or needed: {needed} matched starts" if needed else ""
        sentence = f"Not enough to tell: {counts}{planned_words}."
    return Comparison(
        first, second, test, p, enough, sentence, better, len(shared), needed, wins, losses
    )


def _compare_unmatched(
    first: str,
    second: str,
    firsts: Sequence[TrialRecord],
    seconds: Sequence[TrialRecord],
    alpha: float,
) -> Comparison:
    good = sum(r.success for r in firsts), sum(r.success for r in seconds)
    table = [[good[0], len(firsts) - good[0]], [good[1], len(seconds) - good[1]]]
    p = float(fisher_exact(table).pvalue)
    test = "Fisher's exact test (starts were not matched)"
    counts = (
        f"{first} succeeded in {good[0]} of {len(firsts)} trials and {second} in {good[1]} of "
        f"{len(seconds)} ({test}, p = {p:.3g})"
    )
    enough = p < alpha
    better = None
    if enough:
        better = first if good[0] / len(firsts) > good[1] / len(seconds) else second
    sentence = f"{better} is better: {counts}." if enough else f"Not enough to tell: {counts}."
    return Comparison(first, second, test, p, enough, sentence, better)


def _sequential_p(
    first: Mapping[str, bool], second: Mapping[str, bool], shared: Sequence[str]
) -> float:
    wins = losses = 0
    strongest = 1.0
    for pair in shared:
        wins += first[pair] and not second[pair]
        losses += second[pair] and not first[pair]
        strongest = max(strongest, sequential_evidence(wins, losses))
    return 1 / strongest


def _suggest_pairs(
    wins: int,
    losses: int,
    pairs: int,
    outcomes: Mapping[str, Mapping[str, bool]],
    first: str,
    second: str,
) -> int | None:
    """Pairs that would tell the rates seen so far apart; None when they are equal."""
    if wins == losses:
        return None
    rates = [sum(outcomes[name].values()) / len(outcomes[name]) for name in (first, second)]
    # Rates of exactly 0 or 1 from few trials are too good to plan with: add one of each.
    rates = [(rate * pairs + 1) / (pairs + 2) for rate in rates]
    try:
        return pairs_needed(rates[0], rates[1])
    except ValueError:
        return None


def _holm(comparisons: list[Comparison], alpha: float) -> list[Comparison]:
    order = sorted(range(len(comparisons)), key=lambda index: comparisons[index].p or 0.0)
    corrected = list(comparisons)
    running = 0.0
    for rank, index in enumerate(order):
        old = comparisons[index]
        running = max(running, min(1.0, (old.p or 0.0) * (len(order) - rank)))
        sentence, enough, better = old.sentence, old.enough, old.better
        if old.better is not None and running >= alpha:
            enough, better = False, None
            sentence = f"Not enough to tell after correction for {len(order)} comparisons."
        corrected[index] = Comparison(
            **{
                **old.__dict__,
                "p": running,
                "test": f"{old.test}, Holm-corrected",
                "sentence": sentence,
                "enough": enough,
                "better": better,
            }
        )
    return corrected


def _headline(
    comparisons: Sequence[Comparison],
    checkpoints: Sequence[str],
    groups: Mapping[str, Sequence[TrialRecord]],
) -> Comparison:
    if not comparisons:
        name = checkpoints[0] if checkpoints else None
        count = len(groups[name]) if name else 0
        sentence = (
            f"Only {name} has driven ({count} trials): there is nothing to compare."
            if name
            else "No trial counts yet: there is nothing to compare."
        )
        return Comparison(name, None, None, None, False, sentence)
    return min(comparisons, key=lambda comparison: comparison.p or 0.0)
