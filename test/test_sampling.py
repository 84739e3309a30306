"""Windows and chunks by stamps."""

from __future__ import annotations

import numpy as np

from mobile_vla_ros.sampling import chains, command_rows, full_windows, window_rows


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
    fast_rows, slow_rows = (
        command_rows(fast, fast[40], 0.4, 10),
        command_rows(slow, slow[10], 0.4, 10),
    )
    np.testing.assert_array_equal(fast_rows >= 0, slow_rows >= 0)
    inside = slow_rows >= 0
    np.testing.assert_allclose(fast[fast_rows[inside]], slow[slow_rows[inside]])


def test_steps_past_the_end_have_no_command() -> None:
    rows = command_rows(np.arange(5) * 0.4, 0.8, 0.4, 4)
    assert rows.tolist() == [2, 3, 4, -1]


def test_jitter_does_not_shift_the_commands() -> None:
    stamps = np.arange(18) * 0.4 + np.random.default_rng(0).uniform(-0.04, 0.04, 18)
    for row in range(8):
        assert command_rows(stamps, stamps[row], 0.4, 10).tolist() == list(range(row, row + 10))


def test_a_gap_ends_the_window() -> None:
    stamps = np.array([0.0, 0.4, 1.6, 2.0, 2.4])
    assert window_rows(stamps, 4, 0.4, 8) == [2, 3, 4]


def test_a_command_is_in_force_until_the_next_row_and_nothing_is_known_in_a_gap() -> None:
    stamps = np.array([0.0, 0.1, 0.2, 0.3, 1.5, 1.6])
    assert command_rows(stamps, 0.0, 0.15, 4).tolist() == [0, 1, 3, -1]
    assert command_rows(stamps, 1.5, 0.1, 3).tolist() == [4, 5, -1]
    assert command_rows(stamps, -1.0, 0.1, 2).tolist() == [-1, -1]


def test_commands_of_many_times_are_those_of_each() -> None:
    stamps = np.delete(1.7e9 + np.arange(60) / 7.3, np.arange(20, 29))
    together = command_rows(stamps, stamps, 0.4, 10)
    assert together.shape == (51, 10)
    for row, stamp in enumerate(stamps):
        assert command_rows(stamps, stamp, 0.4, 10).tolist() == together[row].tolist()


def test_a_chain_follows_a_recorder_that_is_a_little_slow_and_ends_at_a_gap() -> None:
    stamps = np.concatenate([np.arange(30) * 0.45, 20.0 + np.arange(5) * 0.45])
    assert [run.tolist() for run in chains(stamps, 0.4)] == [
        list(range(30)),
        list(range(30, 35)),
    ]


def test_chains_from_every_row_of_a_faster_recording_start_everywhere() -> None:
    stamps = np.arange(12) * 0.1
    assert chains(stamps, 0.4)[0].tolist() == [0, 4, 8]
    assert [int(run[0]) for run in chains(stamps, 0.4, every_row=True)] == list(range(12))
