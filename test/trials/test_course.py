"""What is heard while a trial runs, and what follows from it, on a clock that is handed in."""

from __future__ import annotations

import pytest

from mobile_vla_ros.trials.course import Due, TrialCourse
from mobile_vla_ros.trials.record import TrialError
from mobile_vla_ros.trials.session import TrialRules, TrialSession

AXES = ("linear.x", "angular.z")


def session(**rules) -> TrialSession:
    identity = {"trial": "t1", "scenario": "1box_left", "instruction": "go", "checkpoint": "demo"}
    return TrialSession(identity, TrialRules(**rules), started=100.0, wall_start=0.0)


def course(**options) -> TrialCourse:
    return TrialCourse(**{"recorded": False, "shadow": False, "judged": False, **options})


def alive(course: TrialCourse, now: float) -> None:
    """Recorder, policy and base are heard."""
    course.hear_recorder(True, "recording", now)
    course.hear_policy(0.0, AXES, now)
    course.hear_command(0.2, 0.0, 0.0, now, now)


def test_an_arrival_asks_for_a_verdict_once_and_the_verdict_hands_the_trial_out_once() -> None:
    it = course()
    it.begin(session(), 100.0)
    alive(it, 101.0)
    assert it.tick(101.0, 101.0) == Due()
    it.hear_state("arrived", 102.0)
    assert it.tick(102.0, 102.0).question == "arrived"
    assert it.tick(102.1, 102.1) == Due()
    it.hear_reason("in front of the bottle")
    assert it.decide("success", 103.0) == ("t1", "in front of the bottle")
    over = it.tick(103.1, 103.1).over
    assert over is not None
    assert (over.outcome, over.cause) == ("success", "in front of the bottle")
    assert it.tick(103.2, 103.2) == Due()
    assert not it.idle
    with pytest.raises(TrialError, match="over already"):
        it.decide("failure", 104.0)
    it.end()
    assert it.idle


def test_what_is_heard_before_a_trial_holds_when_it_begins() -> None:
    it = course()
    it.hear_state("arrived", 99.0)
    it.hear_takeover(True, 99.0)
    it.hear_reason("about the last one")
    it.begin(session(), 100.0)
    assert it.status(103.0) == {
        "phase": "verdict",
        "trial": "t1",
        "scenario": "1box_left",
        "elapsed": 3.0,
        "interventions": 1,
        "policy_state": "arrived",
        "taken_over": True,
    }
    assert it.decide("failure", 104.0) == ("t1", "")


@pytest.mark.parametrize(
    ("silent", "sentence"),
    [
        ("recorder", "the recorder is gone"),
        ("policy", "the policy's program is gone"),
        ("base", "no velocities reach the base: is the guard running?"),
    ],
)
def test_a_program_that_falls_silent_ends_the_trial(silent: str, sentence: str) -> None:
    it = course(recorded=True)
    it.begin(session(), 100.0)
    it.hear_state("driving", 100.0)
    alive(it, 100.0)
    for tenth in range(1, 60):
        now = 100.0 + 0.1 * tenth
        if silent != "recorder":
            it.hear_recorder(True, "recording", now)
        if silent != "policy":
            it.hear_policy(0.0, AXES, now)
        if silent != "base":
            it.hear_command(0.2, 0.0, 0.0, now, now)
        due = it.tick(now, now)
        if due.over is not None:
            break
    assert due.over is not None
    assert (due.over.outcome, due.over.cause) == ("abort", sentence)
    assert now == pytest.approx(104.1)


def test_a_recorder_that_stops_by_itself_ends_the_trial_with_its_own_words() -> None:
    it = course(recorded=True)
    it.begin(session(), 100.0)
    alive(it, 105.0)
    it.hear_recorder(False, "recording stopped: disk full", 105.0)
    over = it.tick(105.0, 105.0).over
    assert over is not None
    assert over.cause == "the recorder has stopped: recording stopped: disk full"


def test_a_judge_decides_only_the_trial_that_it_has_seen_begin() -> None:
    it = course(judged=True)
    it.hear_judge({"decided": True, "success": True, "reason": "an old one"}, 99.0)
    it.prepare()
    it.begin(session(), 100.0)
    it.hear_judge({"decided": True, "success": True, "reason": "still the old one"}, 100.1)
    assert it.tick(100.2, 100.2).over is None
    it.hear_judge({"decided": False, "missing": "0.5 m"}, 100.3)
    it.hear_judge({"decided": True, "success": False, "reason": "touched the box"}, 101.0)
    over = it.tick(101.1, 101.1).over
    assert over is not None
    assert (over.outcome, over.cause) == ("failure", "touched the box")


def test_an_arrival_that_the_judge_does_not_see_is_a_failure_after_its_patience() -> None:
    it = course(judged=True)
    it.begin(session(), 100.0)
    it.hear_judge({"decided": False, "missing": "0.5 m short of the bottle"}, 100.1)
    it.hear_state("arrived", 102.0)
    assert it.tick(105.9, 105.9).over is None
    over = it.tick(106.1, 106.1).over
    assert over is not None
    assert (over.outcome, over.cause) == ("failure", "arrived, but 0.5 m short of the bottle")


def test_clamps_are_counted_from_the_beginning_and_a_policy_started_anew_takes_none_back() -> None:
    it = course()
    it.hear_policy(40.0, AXES, 99.0)
    running = session()
    it.begin(running, 100.0)
    for total in (42.0, float("nan"), 45.0, 0.0, 1.0):
        it.hear_policy(total, AXES, 101.0)
    assert running.clamps == 6


def test_in_a_field_whose_clock_runs_fast_velocities_are_missed_by_the_real_one() -> None:
    it = course()
    it.begin(session(), 100.0)
    it.hear_state("driving", 100.0)
    # Four seconds of the field are one of ours: the guard has not looked round yet.
    for tenth in range(1, 40):
        real, now = 100.0 + 0.1 * tenth, 100.0 + 0.4 * tenth
        it.hear_policy(0.0, AXES, real)
        assert it.tick(now, real) == Due()
    it.hear_command(0.2, 0.0, 0.0, 116.0, 104.0)
    it.hear_policy(0.0, AXES, 104.2)
    assert it.tick(116.8, 104.2) == Due()
    it.hear_policy(0.0, AXES, 108.2)
    over = it.tick(132.8, 108.2).over
    assert over is not None
    assert over.cause.startswith("no velocities")


def test_in_shadow_mode_policy_and_person_are_compared_from_the_beginning_of_the_trial() -> None:
    it = course(shadow=True)
    it.begin(session(), 100.0)
    it.hear_command(0.2, 0.0, 0.0, 100.1, 100.1)
    it.hear_chunk(AXES, [[0.2, 0.0], [0.2, 0.0]], 0.1)
    assert it.agreement()["frames"] == 1
    it.end()
    it.begin(session(), 100.0)
    assert it.agreement()["frames"] == 0


def test_an_end_interrupts_the_trial_unless_somebody_is_writing_it_down() -> None:
    it = course()
    assert it.interrupt("ended", 100.0) is None
    it = course()
    it.begin(session(), 100.0)
    interrupted = it.interrupt("the trial manager was ended", 101.0)
    assert interrupted is not None
    assert interrupted.outcome == "interrupted"
    it = course()
    it.begin(session(), 100.0)
    it.decide("success", 101.0)
    assert it.tick(101.0, 101.0).over is not None
    assert it.interrupt("ended", 101.1) is None
