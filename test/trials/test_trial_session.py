import math

import pytest

from mobile_vla_ros.states import DRIVING, REASONS, STOPPED
from mobile_vla_ros.trials.record import TrialError
from mobile_vla_ros.trials.session import (
    MOST_POINTS,
    MOST_STOPS,
    TrialRules,
    TrialSession,
)

WHO = {"trial": "t1", "scenario": "1box_left", "instruction": "go", "checkpoint": "a"}


def session(**rules) -> TrialSession:
    return TrialSession(WHO, TrialRules(**rules), started=100.0, wall_start=1e9)


def drive(trial: TrialSession, start: float, seconds: float, vx=0.2, wz=0.0, **hear) -> float:
    now = start
    while now < start + seconds - 1e-9:
        trial.hear_command(vx, 0.0, wz, now)
        now += 0.05
        trial.tick(now)
    return now


def test_an_arrival_waits_for_the_operators_verdict() -> None:
    trial = session()
    trial.hear_state("driving", 100.0)
    now = drive(trial, 101.0, 5.0)
    trial.hear_state("arrived", now)
    assert trial.tick(now + 30) == "verdict"
    trial.decide("success", "", now + 31)
    record = trial.record(now + 31, 1e9 + 36)
    assert (record.outcome, record.cause) == ("success", "arrived")
    assert record.driving_time == pytest.approx(5.0, abs=0.1)
    assert record.path_source == "commands"
    assert record.path_length == pytest.approx(1.0, abs=0.02)


def test_an_arrival_can_count_as_success_by_itself() -> None:
    trial = session(arrival="success")
    now = drive(trial, 100.0, 1.0)
    trial.hear_state("arrived", now)
    assert trial.phase == "over"
    assert trial.record(now, 0.0).success


def test_an_arrival_nobody_confirms_is_no_success() -> None:
    trial = session(verdict_timeout=10.0)
    trial.hear_state("arrived", 105.0)
    assert trial.tick(116.0) == "over"
    assert trial.record(116.0, 0.0).outcome == "abort"


def test_a_time_out_is_a_failure() -> None:
    trial = session(time_limit=3.0, arrival="success")
    assert trial.tick(102.9) == "running"
    assert trial.tick(103.0) == "over"
    record = trial.record(103.0, 0.0)
    assert (record.outcome, record.cause, record.driving_time) == ("failure", "time-out", 0.0)


def test_a_takeover_is_counted_once_and_may_end_the_trial() -> None:
    trial = session()
    for taken in (True, True, False, True):
        trial.hear_takeover(taken, 101.0)
    assert trial.interventions == 2
    strict = session(end_on_takeover=True)
    strict.hear_takeover(True, 101.0)
    assert strict.record(101.0, 0.0).cause == "intervention"


def test_a_verdict_after_the_end_is_refused() -> None:
    trial = session()
    trial.decide("abort", "wrong start", 101.0)
    with pytest.raises(TrialError, match="over already"):
        trial.decide("success", "", 102.0)


def test_odometry_gives_the_path_from_the_start_whatever_its_origin() -> None:
    trial = session()
    drive(trial, 100.0, 0.1)
    heading = 2.0
    for step in range(21):
        distance = 0.05 * step
        x, y = 7 + distance * math.cos(heading), -3 + distance * math.sin(heading)
        trial.hear_odometry(x, y, heading, 100.0 + 0.1 * step)
    trial.decide("success", "", 103.0)
    record = trial.record(103.0, 0.0)
    assert record.path_source == "odometry"
    assert record.path_length == pytest.approx(1.0)
    _, x, y, yaw = record.path[-1]
    # The first pose is the origin and the first heading is forward.
    assert (x, y, yaw) == pytest.approx((1.0, 0.0, 0.0), abs=1e-3)


def test_odometry_that_jumps_is_cut_out_and_counted() -> None:
    trial = session()
    for step in range(11):
        shift = 50.0 if step > 5 else 0.0
        trial.hear_odometry(0.05 * step + shift, 0.0, 0.0, 100.0 + 0.1 * step)
    trial.decide("success", "", 102.0)
    assert trial.odometry_jumps == 1
    assert trial.record(102.0, 0.0).path_length == pytest.approx(0.45)


def test_a_turn_in_odometry_bends_the_path() -> None:
    trial = session()
    trial.hear_odometry(0, 0, 0, 100.0)
    trial.hear_odometry(0.1, 0, math.pi / 2, 100.1)
    trial.hear_odometry(0.1, 0.1, math.pi / 2, 100.2)
    trial.decide("success", "", 101.0)
    assert trial.record(101.0, 0.0).path[-1][1:] == pytest.approx(
        (0.1, 0.1, math.pi / 2), abs=1e-3
    )


@pytest.mark.parametrize(
    ("state", "who"),
    [
        ("stopped: camera silent", "camera"),
        ("waiting_for_camera", "camera"),
        ("stopped: chunk used up", "inference"),
        ("stopped: model hung", "inference"),
        ("disabled", "operator"),
    ],
)
def test_standing_time_is_blamed_on_who_caused_it(state: str, who: str) -> None:
    trial = session()
    trial.hear_state("driving", 100.0)
    now = drive(trial, 100.0, 1.0)
    trial.hear_state(state, now)
    now = drive(trial, now, 2.0, vx=0.0)
    trial.decide("failure", "", now)
    lost = trial.record(now, 0.0).lost_time
    assert lost[who] == pytest.approx(2.0, abs=0.06)
    assert sum(lost.values()) == pytest.approx(lost[who], abs=1e-6)


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_to_stand_is_somebodys(reason: str) -> None:
    trial = session()
    trial.hear_state(DRIVING, 100.0)
    now = drive(trial, 100.0, 1.0)
    trial.hear_state(STOPPED + reason, now)
    now = drive(trial, now, 2.0, vx=0.0)
    trial.decide("failure", "", now)
    assert sum(trial.record(now, 0.0).lost_time.values()) == pytest.approx(2.0, abs=0.06)


def test_the_policy_and_the_limiter_are_told_apart() -> None:
    trial = session()
    trial.hear_state("driving", 100.0)
    trial.hear_chunk(0.0, 0.05)
    now = drive(trial, 100.0, 1.0, vx=0.0)
    trial.hear_chunk(0.4, 0.05)
    now = drive(trial, now, 1.0, vx=0.2)
    trial.decide("failure", "", now)
    lost = trial.record(now, 0.0).lost_time
    assert lost["policy"] == pytest.approx(1.0, abs=0.06)
    assert lost["limiter"] == pytest.approx(0.5, abs=0.06)


def test_stops_that_were_not_ordered_are_listed() -> None:
    trial = session()
    trial.hear_state("driving", 100.0)
    now = drive(trial, 100.0, 1.0)
    trial.hear_state("stopped: camera silent", now)
    trial.hear_state("driving", now + 1.5)
    trial.hear_state("stopped: stop service", now + 2.0)
    trial.decide("abort", "", now + 3.0)
    stops = trial.record(now + 3.0, 0.0).stops
    assert [(stop["reason"], stop["duration"]) for stop in stops] == [("camera silent", 1.5)]


def test_a_command_that_is_not_a_number_counts_as_standing() -> None:
    trial = session()
    trial.hear_command(float("nan"), 0.0, 0.0, 100.5)
    trial.tick(101.0)
    trial.decide("abort", "", 101.0)
    assert trial.record(101.0, 0.0).path_length == 0.0


def test_percentiles_are_values_that_occurred() -> None:
    trial = session()
    for number in range(1, 101):
        trial.hear_chunk(0.1, number / 100)
    trial.decide("success", "", 101.0)
    assert trial.record(101.0, 0.0).latency == {
        "p50": 0.5,
        "p90": 0.9,
        "p99": 0.99,
        "max": 1.0,
    }
    silent = session()
    silent.decide("success", "", 101.0)
    assert silent.record(101.0, 0.0).latency == {}


def test_topics_that_flood_a_trial_are_thinned_and_the_path_stays_as_long_as_it_was() -> None:
    trial = session(time_limit=3600.0)
    for k in range(30_000):
        now = 100.0 + k / 1000
        trial.hear_odometry(k * 1e-4, 0.0, 0.0, now)
        trial.hear_command(0.1, 0.0, 0.0, now)
        trial.hear_state(STOPPED + REASONS[0] if k % 2 else DRIVING, now)
    assert max(len(trial._odometry), len(trial._integrated)) <= MOST_POINTS
    assert len(trial._stops) <= MOST_STOPS
    trial.decide("success", "", 130.0)
    record = trial.record(130.0, 1e9)
    assert record.path_length == pytest.approx(2.9999, abs=1e-3)
    assert record.path[0][1] == 0.0
    assert record.path[-1][1] == pytest.approx(2.9999, abs=1e-3)
