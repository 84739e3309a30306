"""How old a stamped command is, with clocks that agree and clocks that do not."""

from __future__ import annotations

import math

import pytest

from mobile_vla_ros.control.guard import CommandGuard, GuardSettings
from mobile_vla_ros.control.lateness import Lateness

EPOCH = 1.7e9
AHEAD = (0.2, 0.0, 0.0, 0.0, 0.0, 0.0)
STILL = (0.0,) * 6


def test_where_clocks_agree_the_difference_is_the_age() -> None:
    lateness = Lateness()
    assert lateness.age(EPOCH, EPOCH + 0.02, 0.02) == pytest.approx(0.02, abs=1e-6)
    assert lateness.agree
    assert lateness.age(EPOCH + 1, EPOCH + 3, 3.0) == pytest.approx(2.0, abs=1e-6)


@pytest.mark.parametrize("offset", [-3600.0, -30.0, 3.0, 30.0, 1e9])
def test_where_clocks_differ_the_growth_over_the_least_delay_counts(offset: float) -> None:
    lateness = Lateness()
    for tick in range(20):
        now = tick * 0.05
        delay = 0.01 + 0.02 * (tick % 3)
        assert lateness.age(EPOCH + now + offset, EPOCH + now + delay, now) <= 0.0401
    late = lateness.age(EPOCH + 1.0 + offset, EPOCH + 3.01, 3.01)
    assert late == pytest.approx(2.0, abs=0.01)


def test_a_link_that_is_slow_from_the_first_message_on_is_not_taken_for_another_clock() -> None:
    lateness = Lateness()
    for tick in range(100):
        now = tick * 0.05
        assert lateness.age(EPOCH + now, EPOCH + now + 1.0, now) == pytest.approx(1.0, abs=1e-6)


def test_clocks_that_drift_apart_are_followed() -> None:
    lateness = Lateness()
    for minute in range(600):
        now = minute * 60.0
        assert lateness.age(EPOCH + now * (1 - 1e-4) - 10, EPOCH + now, now) < 0.01


def test_a_stamp_that_is_no_number_is_endlessly_old() -> None:
    assert Lateness().age(math.nan, EPOCH, 0.0) == math.inf


def test_a_new_sender_is_learnt_anew() -> None:
    lateness = Lateness()
    lateness.age(EPOCH, EPOCH + 0.01, 0.0)
    assert lateness.age(EPOCH - 100, EPOCH + 1, 1.0) > 100
    lateness.forget()
    assert lateness.age(EPOCH - 100, EPOCH + 1, 1.0) == 0.0


def drive(arrivals: list[tuple[float, float | None]], until: float) -> list[tuple[float, bool]]:
    """Commands (arrival, stamp) through a guard; (time, whether it moves) at every tick."""
    gate, lateness = CommandGuard(GuardSettings()), Lateness()
    moves, queue = [], sorted(arrivals)
    for tick in range(round(until / 0.02)):
        now = tick * 0.02
        while queue and queue[0][0] <= now:
            at, stamp = queue.pop(0)
            age = None if stamp is None else lateness.age(EPOCH + stamp, EPOCH + at, at)
            gate.policy(AHEAD, at, age)
        moves.append((now, any(gate.tick(now).velocities)))
    return moves


@pytest.mark.parametrize("stamped", [True, False])
def test_what_a_link_has_held_back_drives_at_most_by_its_newest(stamped: bool) -> None:
    prompt = [(k * 0.05 + 0.01, k * 0.05 if stamped else None) for k in range(40)]
    # two seconds of commands, delivered at once at 4.0 s
    held = [(4.0 + k * 1e-3, 2.0 + k * 0.05 if stamped else None) for k in range(40)]
    moves = drive(prompt + held, 5.0)
    assert all(moving for now, moving in moves if 0.1 < now < 1.9)
    assert not any(moving for now, moving in moves if 2.25 < now < 4.0)
    driven = [now for now, moving in moves if now > 2.3 and moving]
    assert not driven or (max(driven) < 4.29 and min(driven) >= 4.03)


def test_commands_that_a_link_delays_by_a_second_never_drive() -> None:
    prompt = [(k * 0.05 + 0.01, k * 0.05) for k in range(40)]
    late = [(3.0 + k * 0.05, 2.0 + k * 0.05) for k in range(100)]
    moves = drive(prompt + late, 8.5)
    assert not any(moving for now, moving in moves if now > 2.25)


def test_after_a_gap_an_unstamped_stream_drives_again_at_once() -> None:
    before = [(k * 0.05, None) for k in range(20)]
    after = [(3.0 + k * 0.05, None) for k in range(20)]
    moves = drive(before + after, 4.0)
    assert not any(moving for now, moving in moves if 1.25 < now < 3.0)
    assert all(moving for now, moving in moves if 3.06 < now < 3.9)


def test_an_operator_who_lets_go_is_zero_although_late_velocities_still_come() -> None:
    gate = CommandGuard(GuardSettings())
    gate.operator_deadman(True, 1.0)
    gate.teleop(AHEAD, 1.0)
    assert gate.tick(1.01).velocities == AHEAD
    gate.operator_deadman(False, 1.05)
    for now in (1.06, 1.2, 1.5):
        gate.teleop(AHEAD, now)
        assert gate.tick(now + 0.01).velocities == STILL


def test_an_operator_whose_word_has_ended_is_zero_too() -> None:
    gate = CommandGuard(GuardSettings())
    gate.operator_deadman(True, 1.0)
    for now in (1.3, 5.0):
        gate.teleop(AHEAD, now)
        assert gate.tick(now + 0.01).velocities == STILL


def test_a_page_that_has_let_go_for_long_does_not_hold_up_another_stick() -> None:
    gate = CommandGuard(GuardSettings())
    gate.operator_deadman(False, 1.0)
    gate.teleop(AHEAD, 3.0)
    assert gate.tick(3.01).velocities == AHEAD
