"""The rows that analysis and training read are the frames that driving would pick."""

from __future__ import annotations

import numpy as np
import pytest

from mobile_vla_ros.control import FrameWindow
from mobile_vla_ros.episodes.sampling import command_rows, window_rows
from mobile_vla_ros.training.samples import command_chunks


@pytest.mark.parametrize("rate", [2.5, 5.0, 10.0, 7.3, 30.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_window_rows_are_those_of_the_driving_window(rate: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    stamps = 1.7e9 + np.arange(120) / rate
    if seed:
        stamps = stamps + rng.uniform(-0.3, 0.3, 120) / rate
        stamps = np.delete(stamps, rng.choice(120, 25, replace=False))
    window = FrameWindow(8, 0.4)
    for row, stamp in enumerate(stamps):
        window.add(stamp, row)
        assert [value for _, value in window.select()] == window_rows(stamps, row, 0.4, 8)


@pytest.mark.parametrize("rate", [2.5, 10.0, 7.3])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_labels_of_verification_are_the_labels_of_training(rate: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    stamps = 1.7e9 + np.arange(60) / rate
    if seed:
        stamps = stamps + rng.uniform(-0.2, 0.2, 60) / rate
    if seed == 2:
        stamps = np.delete(stamps, np.arange(20, 29))
    commands = rng.normal(size=(len(stamps), 2)).astype(np.float32)
    chunks, mask = command_chunks(stamps, commands, stamps, chunk_size=10, action_period=0.4)
    for row in range(len(stamps)):
        rows = command_rows(stamps, row, 0.4, 10)
        np.testing.assert_array_equal(rows >= 0, mask[row])
        np.testing.assert_array_equal(commands[rows[rows >= 0]], chunks[row][mask[row]])
