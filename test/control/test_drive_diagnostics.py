"""Diagnostics: now, and worst since the last read."""

from __future__ import annotations

import math

import pytest

from mobile_vla_ros.control import DriveDiagnostics, blind_distance
from mobile_vla_ros.control.diagnostics import Counter, Gauge, LostFrames


def test_a_gauge_tells_now_and_the_worst_since_it_was_read() -> None:
    gauge = Gauge()
    for value in (1.0, 5.0, 2.0):
        gauge.set(value)
    assert gauge.read() == (2.0, 5.0)
    gauge.set(1.0)
    assert gauge.read() == (1.0, 2.0)


def test_no_value_is_never_the_worst() -> None:
    gauge = Gauge()
    gauge.set(3.0)
    gauge.set(math.nan)
    now, worst = gauge.read()
    assert math.isnan(now)
    assert worst == 3.0
    gauge.set(1.0)
    assert gauge.read() == (1.0, 1.0)


def test_a_counter_tells_all_and_the_new_ones() -> None:
    counter = Counter()
    counter.add(3)
    assert counter.read() == (3, 3)
    counter.add()
    assert counter.read() == (4, 1)


def test_a_hole_in_the_stamps_is_counted_in_frames() -> None:
    lost = LostFrames()
    stamps = [0.0, 0.1, 0.2, 0.31, 0.6, 0.7]
    assert [lost.add(stamp) for stamp in stamps] == [0, 0, 0, 0, 2, 0]
    assert lost.counter.total == 2


def test_a_backward_or_repeated_stamp_loses_nothing() -> None:
    lost = LostFrames()
    assert [lost.add(s) for s in (0.0, 0.1, 0.2, 0.2, 0.1, 0.2)] == [0] * 6


def test_blind_distance_is_age_and_remaining_chunk_times_speed() -> None:
    assert blind_distance(0.2, 0.6, 0.3) == pytest.approx(0.24)
    assert blind_distance(0.2, 0.6, -0.3) == pytest.approx(0.24)
    assert blind_distance(math.nan, 0.0, 0.3) == 0.0


def test_everything_a_node_tells_is_gathered() -> None:
    told = DriveDiagnostics(frame_period=0.4)
    for k in range(5):
        told.frame(0.1 * k, age=0.01 * k)
        told.chunk((0.0, 0.4, 0.9), encoder_time=0.02 + 0.01 * k, differ=0.1)
        told.command(0.1, 0.7, 0.3, clamped=k == 2)
    numbers = told.read()
    assert numbers["frame_age"] == pytest.approx((0.04, 0.04))
    assert numbers["window_spacing"] == pytest.approx((0.1, 0.1))
    assert numbers["clamps"] == (1, 1)
    assert numbers["blind_distance"][0] == pytest.approx(0.24)
    assert told.encoder_percentiles() == pytest.approx((0.04, 0.06))
