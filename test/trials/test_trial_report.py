import pytest
from scipy.stats import binomtest, fisher_exact
from statsmodels.stats.proportion import proportion_confint

from mobile_vla_ros.trials.plan import make_plan
from mobile_vla_ros.trials.record import TrialError, TrialRecord
from mobile_vla_ros.trials.report import report_trials

SCENARIOS = {"1box_left": "go left", "1box_right": "go right"}
CHECKPOINTS = {"good": "/g", "bad": "/b"}


def drive(plan, succeed) -> list[TrialRecord]:
    return [
        TrialRecord(
            trial=f"t{trial.number}",
            scenario=trial.scenario,
            instruction=trial.instruction,
            checkpoint=trial.checkpoint,
            outcome="success" if succeed(trial) else "failure",
            cause="" if succeed(trial) else "touched the box",
            driving_time=10.0 + trial.number,
            path_length=3.0,
            pair=trial.pair,
            number=trial.number,
            lost_time={"camera": 0.5, "policy": 0.25},
        )
        for trial in plan.trials
    ]


def test_a_much_worse_checkpoint_is_found_in_twelve_matched_starts() -> None:
    plan, _ = make_plan(SCENARIOS, CHECKPOINTS, repeats=6)
    records = drive(plan, lambda t: t.checkpoint == "good" or t.number % 8 == 0)
    report = report_trials(records, plan)
    assert report.comparison.enough
    assert report.comparison.better == "good"
    assert report.comparison.pairs == 12
    discordant = report.comparison.only_first + report.comparison.only_second
    assert report.comparison.p == pytest.approx(
        binomtest(report.comparison.only_first, discordant).pvalue
    )
    good = next(rate for rate in report.checkpoints if rate.name == "good")
    assert (good.trials, good.successes) == (12, 12)
    assert good.wilson == pytest.approx(proportion_confint(12, 12, method="wilson"))


def test_eight_trials_are_not_enough_to_tell() -> None:
    plan, _ = make_plan(SCENARIOS, CHECKPOINTS, repeats=6)
    records = drive(plan, lambda t: t.checkpoint == "good")[:8]
    comparison = report_trials(records, plan).comparison
    assert not comparison.enough
    assert comparison.better is None
    assert "Not enough to tell" in comparison.sentence
    assert "12" in comparison.sentence
    without_plan = report_trials(records).comparison
    assert not without_plan.enough
    assert "needed" in without_plan.sentence


def test_a_fixed_plan_may_not_be_concluded_before_its_end() -> None:
    plan, _ = make_plan(SCENARIOS, CHECKPOINTS, repeats=10)
    records = drive(plan, lambda t: t.checkpoint == "good")
    early = report_trials(records[:20], plan).comparison
    assert early.p is not None
    assert early.p < 0.05
    assert not early.enough


def test_a_sequential_plan_may_be_concluded_as_soon_as_the_evidence_holds() -> None:
    plan, _ = make_plan(SCENARIOS, CHECKPOINTS, repeats=10, sequential=True)
    records = drive(plan, lambda t: t.checkpoint == "good")
    assert not report_trials(records[:8], plan).comparison.enough
    assert report_trials(records[:20], plan).comparison.enough


def test_no_difference_is_said_only_when_one_would_have_been_found() -> None:
    plan, _ = make_plan(SCENARIOS, CHECKPOINTS, difference=(0.95, 0.4))
    records = drive(plan, lambda t: True)
    comparison = report_trials(records, plan).comparison
    assert comparison.enough
    assert comparison.better is None
    assert comparison.sentence.startswith("No difference as large as")


def test_unmatched_trials_are_compared_by_fishers_test() -> None:
    records = [
        TrialRecord("t", "s", "i", name, "success" if index < good else "failure")
        for name, good in (("a", 9), ("b", 2))
        for index in range(10)
    ]
    comparison = report_trials(records).comparison
    assert comparison.p == pytest.approx(fisher_exact([[9, 1], [2, 8]]).pvalue)
    assert comparison.better == "a"


def test_three_checkpoints_are_compared_with_correction() -> None:
    plan, _ = make_plan(SCENARIOS, {"a": "", "b": "", "c": ""}, repeats=4)
    report = report_trials(drive(plan, lambda t: t.checkpoint != "c"), plan)
    assert len(report.comparisons) == 3
    assert all("Holm" in (c.test or "") for c in report.comparisons)
    assert report.comparison.p == pytest.approx(3 * binomtest(0, 8).pvalue)


def test_aborted_interrupted_and_shadow_trials_do_not_count() -> None:
    records = [
        TrialRecord("1", "s", "i", "a", "success", driving_time=4.0, path_length=2.0),
        TrialRecord("2", "s", "i", "a", "abort"),
        TrialRecord("3", "s", "i", "a", "interrupted"),
        TrialRecord("4", "s", "i", "a", "success", shadow=True, agreement={"overall": 0.8}),
    ]
    report = report_trials(records)
    assert (report.checkpoints[0].trials, report.checkpoints[0].driving_time) == (1, 4.0)
    assert report.not_counted == {"abort": 1, "interrupted": 1, "shadow": 1}
    assert report.shadow[0]["overall"] == 0.8
    assert report.comparison.test is None


def test_the_key_of_a_blind_plan_gives_the_names_back() -> None:
    plan, key = make_plan(SCENARIOS, CHECKPOINTS, repeats=6, blind=True)
    good = next(code for code, name in key.items() if name == "good")
    report = report_trials(drive(plan, lambda t: t.checkpoint == good), plan, key)
    assert report.comparison.better == "good"


def test_failures_and_lost_time_are_added_up() -> None:
    plan, _ = make_plan(SCENARIOS, CHECKPOINTS, repeats=2)
    report = report_trials(drive(plan, lambda t: t.checkpoint == "good"), plan)
    assert report.failures["bad"] == {"touched the box": 4}
    assert report.lost_time["bad"]["camera"] == pytest.approx(2.0)
    assert report.lost_time["bad"]["operator"] == 0.0


def test_an_empty_log_is_one_sentence() -> None:
    with pytest.raises(TrialError, match="no trials"):
        report_trials([])
