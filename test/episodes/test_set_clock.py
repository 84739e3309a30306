"""A clock that somebody sets, and one that goes on evenly in spite of it."""

from __future__ import annotations

import pytest

from mobile_vla_ros.episodes.set_clock import SetClock


@pytest.mark.parametrize("step", [-30.0, -0.5, 12.0])
def test_a_clock_that_is_set_goes_on_evenly(step: float) -> None:
    even = SetClock()
    noticed = []
    for k in range(100):
        steady = k * 0.05
        clock = 1000.0 + steady + (step if k >= 50 else 0.0)
        noticed.append(even.look(clock, steady))
        assert clock + even.offset == pytest.approx(1000.0 + steady)
    assert [s for s in noticed if s] == [pytest.approx(step)]


def test_a_clock_that_is_trimmed_and_a_look_that_comes_late_are_no_step() -> None:
    even = SetClock()
    for steady in (0.0, 0.05, 20.0, 20.05):
        assert even.look(500.0 + steady * 1.002, steady) == 0.0
    assert even.offset == 0.0


def test_a_simulated_clock_may_run_and_stand_as_it_likes_but_not_go_back() -> None:
    even = SetClock()
    assert even.look(0.0, 10.0, simulated=True) == 0.0
    assert even.look(499.0, 10.1, simulated=True) == 0.0
    assert even.look(500.0, 10.15, simulated=True) == 0.0
    assert even.look(500.0, 20.0, simulated=True) == 0.0
    assert even.look(0.0, 20.1, simulated=True) == pytest.approx(-500.1)
    assert even.offset == pytest.approx(500.1)
    assert even.look(0.1, 20.15, simulated=True) == 0.0
    assert even.look(30.1, 20.2, simulated=True) == pytest.approx(29.95)
