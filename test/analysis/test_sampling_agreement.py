"""The rows that analysis and training read are the frames that driving would pick."""

from __future__ import annotations

import numpy as np
import pytest

from mobile_vla_ros.control import FrameWindow
from mobile_vla_ros.episodes.sampling import window_rows


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
