"""Windows and chunks by stamps."""

from __future__ import annotations

import numpy as np

from mobile_vla_ros.episodes.sampling import command_rows, full_windows, window_rows


def test_a_legacy_episode_of_18_rows_has_eleven_windows_of_eight() -> None:
    windows = full_windows(np.arange(18) * 0.4, 0.4, 8)
    assert windows[0] == list(range(8))
    assert windows[-1] == list(range(10, 18))
    assert len(windows) == 11


def test_ten_hertz_and_one_row_per_period_give_the_same_times() -> None:
    fast = 1.7e9 + np.arange(72) * 0.1
    slow = 1.7e9 + np.arange(18) * 0.4
    np.testing.assert_allclose(
        fast[window_rows(fast, 28, 0.4, 8)], slow[window_rows(slow, 7, 0.4, 8)]
    )
    fast_rows, slow_rows = command_rows(fast, 40, 0.4, 10), command_rows(slow, 10, 0.4, 10)
    np.testing.assert_array_equal(fast_rows >= 0, slow_rows >= 0)
    inside = slow_rows >= 0
    np.testing.assert_allclose(fast[fast_rows[inside]], slow[slow_rows[inside]])


def test_steps_past_the_end_have_no_command() -> None:
    rows = command_rows(np.arange(5) * 0.4, 2, 0.4, 4)
    assert rows.tolist() == [2, 3, 4, -1]


def test_jitter_does_not_shift_the_commands() -> None:
    stamps = np.arange(18) * 0.4 + np.random.default_rng(0).uniform(-0.04, 0.04, 18)
    for row in range(8):
        assert command_rows(stamps, row, 0.4, 10).tolist() == list(range(row, row + 10))


def test_a_gap_ends_the_window() -> None:
    stamps = np.array([0.0, 0.4, 1.6, 2.0, 2.4])
    assert window_rows(stamps, 4, 0.4, 8) == [2, 3, 4]
