"""The frame window: spacing, slots, gaps, repeats and jumps."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobile_vla_ros.control import FrameWindow
from mobile_vla_ros.sampling import window_rows

START = 1.7e9


def filled(window: FrameWindow, stamps) -> FrameWindow:
    for stamp in stamps:
        window.add(START + stamp, stamp)
    return window


def picks(window: FrameWindow) -> list[float]:
    return [value for _, value in window.select()]


def test_an_empty_window_selects_nothing() -> None:
    assert FrameWindow(8, 0.4).select() == []


def test_frames_at_the_trained_spacing_are_all_picked_oldest_first() -> None:
    stamps = [0.4 * k for k in range(20)]
    assert picks(filled(FrameWindow(8, 0.4), stamps)) == stamps[-8:]


@pytest.mark.parametrize("rate", [5, 10, 25, 30, 60])
def test_a_faster_camera_is_thinned_to_the_trained_spacing(rate: int) -> None:
    window = filled(FrameWindow(8, 0.4), [k / rate for k in range(10 * rate)])
    spacing = np.diff([stamp for stamp, _ in window.select()])
    assert len(spacing) == 7
    assert np.all(np.abs(spacing - 0.4) <= 1 / rate + 1e-5)


def test_the_window_grows_from_one_frame_as_at_the_start_of_an_episode() -> None:
    window: FrameWindow = FrameWindow(3, 0.4)
    lengths = []
    for k in range(5):
        window.add(0.4 * k, k)
        lengths.append(len(window.select()))
    assert lengths == [1, 2, 3, 3, 3]


def test_an_empty_slot_ends_the_window() -> None:
    window = filled(FrameWindow(8, 0.4, max_gap=2), [0, 0.4, 0.8, 2.0, 2.4, 2.8])
    assert picks(window) == [2.0, 2.4, 2.8]


def test_a_frame_half_a_period_from_its_slot_is_taken_and_only_once() -> None:
    window = filled(FrameWindow(8, 0.4), [0.0, 0.6])
    assert picks(window) == [0.0, 0.6]
    window = filled(FrameWindow(8, 0.4, max_gap=1), [0.0, 0.601])
    assert picks(window) == [0.601]


def test_of_two_frames_equally_near_a_slot_the_newer_is_picked() -> None:
    assert picks(filled(FrameWindow(2, 0.4), [0.0, 0.2, 0.5])) == [0.0 + 0.2, 0.5]
    assert picks(filled(FrameWindow(2, 0.4), [0.3, 0.5, 0.8])) == [0.5, 0.8]


def test_a_gap_longer_than_max_gap_empties_the_window_first() -> None:
    window = filled(FrameWindow(8, 0.4), [0, 0.4, 0.8])
    window.add(START + 0.8 + 0.81, 1.61)
    assert picks(window) == [1.61]


def test_a_gap_of_exactly_max_gap_is_no_gap() -> None:
    window = filled(FrameWindow(8, 0.4, max_gap=0.8), [0, 0.4, 1.2])
    assert len(window) == 3


def test_a_backward_stamp_empties_the_window_first() -> None:
    window = filled(FrameWindow(8, 0.4), [0, 0.4, 0.8, 0.4])
    assert picks(window) == [0.4]


def test_a_repeated_stamp_replaces_its_value() -> None:
    window = filled(FrameWindow(8, 0.4), [0.0, 0.4])
    window.add(START + 0.4, 99)
    assert picks(window) == [0.0, 99]


def test_clear_forgets_everything() -> None:
    window = filled(FrameWindow(8, 0.4), [0.0, 0.4])
    window.clear()
    assert (window.select(), len(window), window.newest) == ([], 0, None)


def test_memory_stays_bounded_by_the_windows_reach() -> None:
    window = filled(FrameWindow(8, 0.4), [k / 100 for k in range(5000)])
    assert len(window) <= 301


@pytest.mark.parametrize("stamp", [math.nan, math.inf])
def test_a_stamp_that_is_no_time_is_refused(stamp: float) -> None:
    with pytest.raises(ValueError, match="cannot be"):
        FrameWindow(8, 0.4).add(stamp, 0)


@pytest.mark.parametrize(
    "arguments", [(0, 0.4), (8, 0.0), (8, -1.0), (8, math.inf), (8, 0.4, 0.0), (8, math.nan)]
)
def test_sizes_and_periods_that_cannot_be_are_refused(arguments: tuple) -> None:
    with pytest.raises(ValueError, match="cannot be"):
        FrameWindow(*arguments)


@settings(max_examples=300, deadline=None)
@given(
    gaps=st.lists(st.integers(1, 900), min_size=1, max_size=60),
    size=st.integers(1, 10),
    period=st.sampled_from([0.125, 0.25, 0.5]),
)
def test_what_is_picked_is_what_a_search_over_all_frames_picks(gaps, size, period) -> None:
    """Pruning and bisection change nothing against the rule written out (stamps are exact)."""
    window: FrameWindow = FrameWindow(size, period, max_gap=math.inf)
    stamps = (np.cumsum(gaps) / 1024).tolist()
    for stamp in stamps:
        window.add(stamp, stamp)
    expected = [stamps[-1]]
    for slot in range(1, size):
        wanted = stamps[-1] - slot * period
        near = [s for s in stamps if s < expected[-1] and abs(s - wanted) <= period / 2]
        if not near:
            break
        expected.append(min(near, key=lambda s: (abs(s - wanted), -s)))
    assert picks(window) == expected[::-1]


@pytest.mark.parametrize("rate", [2.5, 5.0, 10.0, 7.3, 30.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_what_a_window_forgets_it_would_not_have_picked(rate: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    stamps = 1.7e9 + np.arange(120) / rate
    if seed:
        stamps = stamps + rng.uniform(-0.3, 0.3, 120) / rate
        stamps = np.delete(stamps, rng.choice(120, 25, replace=False))
    window: FrameWindow = FrameWindow(8, 0.4)
    for row, stamp in enumerate(stamps):
        window.add(stamp, row)
        assert [value for _, value in window.select()] == window_rows(stamps, row, 0.4, 8)
