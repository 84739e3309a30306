"""Windows and labels are picked by time."""

from __future__ import annotations

import numpy as np
import pytest

from mobile_vla_ros.policy.config import normalise
from mobile_vla_ros.training.samples import (
    command_chunks,
    episode_samples,
    split_episodes,
)

SIZES = {"window_size": 8, "chunk_size": 10, "frame_period": 0.4, "action_period": 0.4}


def legacy(rows: int = 18) -> tuple[np.ndarray, np.ndarray]:
    velocities = np.arange(rows * 2, dtype=np.float32).reshape(rows, 2) / 100
    return np.arange(rows) * 0.4, velocities


def test_a_legacy_episode_of_18_rows_gives_11_windows_with_the_labels_of_each_step() -> None:
    stamps, velocities = legacy()
    samples = episode_samples(stamps, velocities, **SIZES)
    assert samples.windows.shape == (11, 8)
    for start in range(11):
        for step in range(8):
            row = samples.rows[samples.windows[start, step]]
            assert row == start + step
            label = samples.chunks[samples.windows[start, step]]
            mask = samples.mask[samples.windows[start, step]]
            for k in range(10):
                assert mask[k] == (row + k < 18)
                if mask[k]:
                    np.testing.assert_array_equal(label[k], velocities[row + k])


def test_masked_steps_are_marked_rather_than_filled() -> None:
    stamps, velocities = legacy()
    samples = episode_samples(stamps, velocities + 1, **SIZES)
    assert samples.mask[0].all()
    assert samples.mask[-1].tolist() == [True] + [False] * 9


def test_a_10_hz_recording_gives_the_same_windows_as_one_row_per_step() -> None:
    stamps, velocities = legacy()
    fast_stamps = np.arange(18 * 4) * 0.1 + 1000.0
    fast = np.repeat(velocities, 4, axis=0)
    slow = episode_samples(stamps, velocities, **SIZES)
    quick = episode_samples(fast_stamps, fast, **SIZES)
    np.testing.assert_array_equal(quick.rows, slow.rows * 4)
    np.testing.assert_array_equal(quick.windows, slow.windows)
    np.testing.assert_array_equal(quick.chunks, slow.chunks)
    np.testing.assert_array_equal(quick.mask, slow.mask)


def test_every_row_may_start_a_window_when_asked() -> None:
    stamps = np.arange(72) * 0.1
    samples = episode_samples(stamps, np.zeros((72, 2)), every_row=True, **SIZES)
    assert len(samples) == 72 - 7 * 4
    assert len({tuple(window) for window in samples.windows.tolist()}) == len(samples)


def test_jittered_stamps_pick_the_nearest_rows() -> None:
    stamps, velocities = legacy()
    jitter = np.random.default_rng(0).uniform(-0.04, 0.04, size=18)
    samples = episode_samples(stamps + jitter, velocities, **SIZES)
    np.testing.assert_array_equal(samples.rows, np.arange(18))
    np.testing.assert_array_equal(samples.chunks[0], velocities[:10])


def test_a_gap_ends_the_windows_before_it_and_masks_the_commands_in_it() -> None:
    stamps = np.concatenate([np.arange(10) * 0.4, 10.0 + np.arange(10) * 0.4])
    samples = episode_samples(stamps, np.ones((20, 2)), **SIZES)
    rows = samples.rows[samples.windows]
    assert len(rows) == 6
    assert all((window < 10).all() or (window >= 10).all() for window in rows)
    assert samples.mask[9].tolist() == [True] + [False] * 9


def test_an_episode_shorter_than_a_window_gives_none() -> None:
    stamps, velocities = legacy(7)
    samples = episode_samples(stamps, velocities, **SIZES)
    assert len(samples) == 0
    assert samples.rows.shape == (0,)


def test_a_command_is_in_force_until_the_next_row() -> None:
    stamps = np.arange(10) * 0.1
    velocities = np.arange(10, dtype=np.float32)[:, None]
    chunks, mask = command_chunks(
        stamps, velocities, np.array([0.0]), chunk_size=4, action_period=0.25
    )
    assert chunks[0, :, 0].tolist() == [0.0, 2.0, 5.0, 7.0]
    assert mask.all()


def test_normalising_clips_and_maps_the_limits_to_plus_and_minus_one() -> None:
    values = np.array([[-2.0, -0.5], [0.0, 0.0], [1.15, 2.0]], dtype=np.float32)
    result = normalise(values, (-1.15, -1.0), (1.15, 1.0))
    np.testing.assert_allclose(result, [[-1, -0.5], [0, 0], [1, 1]], atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_the_split_keeps_copies_with_their_source_and_ignores_the_order(seed: int) -> None:
    sources = [f"episode_{index // 3}" for index in range(30)]
    train, validation = split_episodes(sources, 0.8, seed)
    assert sorted(train + validation) == list(range(30))
    assert not {sources[i] for i in train} & {sources[i] for i in validation}
    assert len({sources[i] for i in train}) == 8
    again, _ = split_episodes(sources[::-1], 0.8, seed)
    assert {sources[::-1][i] for i in again} == {sources[i] for i in train}


def test_neither_side_of_a_split_is_empty_with_two_episodes() -> None:
    train, validation = split_episodes(["a", "b"], 0.99, 0)
    assert len(train) == len(validation) == 1
