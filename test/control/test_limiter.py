"""The velocity limiter: one factor, ramps, reset."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobile_vla_ros.control import Limits, VelocityLimiter
from mobile_vla_ros.errors import InputError

AXES = ("linear.x", "linear.y", "angular.z")
PERIOD = 0.05
LOOSE = Limits(0.3, 1.0, 1e6, 1e6, 1e6, 1e6)


def limiter(limits: Limits = Limits(), axes=AXES) -> VelocityLimiter:  # noqa: B008
    return VelocityLimiter(axes, limits, PERIOD)


def drive(limited: VelocityLimiter, wanted, steps: int, start: float = 0.0) -> list:
    return [limited.step(wanted, start + k * PERIOD).velocities for k in range(steps)]


def test_a_velocity_within_the_limits_passes_unchanged() -> None:
    step = limiter(LOOSE).step((0.2, 0.0, -0.5), 0.0)
    assert step.velocities == (0.2, 0.0, -0.5)
    assert not step.clamped
    assert not step.ramped


@pytest.mark.parametrize("wanted", [(0.6, 0.0, 1.0), (0.3, 0.0, 4.0), (0.5, -0.5, 0.2)])
def test_too_fast_on_one_axis_scales_all_axes_by_one_factor(wanted) -> None:
    step = limiter(LOOSE).step(wanted, 0.0)
    factor = min(0.3 / math.hypot(*wanted[:2]), 1.0 / abs(wanted[2]))
    assert step.velocities == pytest.approx([factor * v for v in wanted])
    assert step.clamped


def test_the_linear_limit_is_on_the_norm_over_x_and_y() -> None:
    step = limiter(LOOSE).step((3.0, 4.0, 0.0), 0.0)
    assert step.velocities == pytest.approx((0.18, 0.24, 0.0))


def test_speeding_up_keeps_the_curvature_from_the_first_step_on() -> None:
    for velocities in drive(limiter(), (0.3, 0.0, 0.6), 30):
        assert velocities[2] == pytest.approx(2 * velocities[0])


def test_speeding_up_and_slowing_down_have_their_own_limits() -> None:
    limited = limiter()
    up = drive(limited, (0.3, 0.0, 0.0), 20)
    down = drive(limited, (0.0, 0.0, 0.0), 20, start=1.0)
    assert np.diff([v[0] for v in up]).max() == pytest.approx(0.5 * PERIOD)
    assert np.diff([v[0] for v in down]).min() == pytest.approx(-1.0 * PERIOD)


def test_a_soft_stop_ends_at_exactly_zero() -> None:
    limited = limiter()
    drive(limited, (0.3, 0.1, 0.7), 40)
    assert drive(limited, (0.0, 0.0, 0.0), 40, start=2.0)[-1] == (0.0, 0.0, 0.0)
    assert limited.standing


def test_reversing_slows_down_with_decel_and_speeds_up_with_accel() -> None:
    limited = limiter()
    drive(limited, (0.3, 0.0, 0.0), 30)
    speeds = [0.3] + [v[0] for v in drive(limited, (-0.3, 0.0, 0.0), 30, start=1.5)]
    steps = np.diff(speeds)
    assert steps[0] == pytest.approx(-1.0 * PERIOD)
    assert speeds[-1] == pytest.approx(-0.3)
    slower = np.abs(speeds[1:]) > np.abs(speeds[:-1])
    assert np.abs(steps[slower]).max() <= 0.5 * PERIOD + 1e-9


def test_a_lowered_limit_slows_down_and_does_not_jump() -> None:
    limited = limiter()
    drive(limited, (0.3, 0.0, 0.0), 30)
    limited.limits = Limits(max_linear=0.1)
    speeds = [v[0] for v in drive(limited, (0.3, 0.0, 0.0), 10, start=1.5)]
    assert speeds[0] == pytest.approx(0.25)
    assert speeds[-1] == pytest.approx(0.1)


def test_a_late_tick_makes_up_for_no_more_than_two_periods() -> None:
    limited = limiter()
    limited.step((0.3, 0.0, 0.0), 0.0)
    late = limited.step((0.3, 0.0, 0.0), 10.0)
    assert late.velocities[0] == pytest.approx(0.5 * 3 * PERIOD)


def test_a_reset_is_exactly_zero_and_the_next_ramp_starts_from_there() -> None:
    limited = limiter()
    drive(limited, (0.3, 0.0, 0.0), 30)
    assert limited.reset() == (0.0, 0.0, 0.0)
    assert limited.step((0.3, 0.0, 0.0), 99.0).velocities[0] == pytest.approx(0.5 * PERIOD)


def test_a_speed_limit_of_zero_keeps_the_base_still() -> None:
    step = limiter(Limits(max_linear=0.0)).step((0.3, 0.0, 0.5), 0.0)
    assert step.velocities == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    "change", [{"max_linear": -1}, {"max_linear_accel": 0}, {"max_angular": math.nan}]
)
def test_limits_that_cannot_be_are_refused_with_their_name(change) -> None:
    with pytest.raises(InputError, match=next(iter(change))):
        Limits(**change)


@pytest.mark.parametrize("axes", [(), ("linear.x", "linear.x"), ("forward",)])
def test_axes_that_cannot_be_are_refused(axes) -> None:
    with pytest.raises(InputError, match="action_axes"):
        limiter(axes=axes)


VELOCITY = st.tuples(*[st.floats(-5, 5, allow_subnormal=False)] * 3)


@settings(max_examples=200, deadline=None)
@given(
    wishes=st.lists(st.tuples(VELOCITY, st.floats(0.0, 0.5)), min_size=1, max_size=30),
    numbers=st.tuples(*[st.floats(0.05, 5)] * 6),
)
def test_no_sequence_of_wishes_and_delays_breaks_a_limit(wishes, numbers) -> None:
    limits = Limits(*numbers)
    limited = limiter(limits)
    now, last = 0.0, np.zeros(3)
    for wanted, delay in wishes:
        now += delay
        got = np.array(limited.step(wanted, now).velocities)
        dt = max(min(delay, 2 * PERIOD), PERIOD)
        assert math.hypot(*got[:2]) <= limits.max_linear + 1e-9
        assert abs(got[2]) <= limits.max_angular + 1e-9
        grown = math.hypot(*got[:2]) - math.hypot(*last[:2])
        assert grown <= limits.max_linear_accel * dt + 1e-9
        assert grown >= -limits.max_linear_decel * dt - 1e-9
        assert abs(got[2]) - abs(last[2]) <= limits.max_angular_accel * dt + 1e-9
        last = got


@settings(max_examples=100, deadline=None)
@given(first=VELOCITY, then=VELOCITY)
def test_every_wish_is_reached_in_the_end(first, then) -> None:
    limited = limiter()
    drive(limited, first, 60)
    got = drive(limited, then, 200, start=3.0)[-1]
    share = min(
        1.0,
        0.3 / max(math.hypot(*then[:2]), 1e-9),
        1.0 / max(abs(then[2]), 1e-9),
    )
    assert got == pytest.approx([share * v for v in then], abs=1e-6)
