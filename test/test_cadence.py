from __future__ import annotations

import numpy as np
import pytest

from mobile_vla_ros.cadence import CameraClock


def test_a_late_frame_is_not_a_lost_one() -> None:
    clock = CameraClock()
    late = [k / 30 for k in range(20)] + [20.7 / 30, 21 / 30, 22 / 30]
    stalled = [s + 23 / 30 for s in (0.0, 3.0 / 30, 3.1 / 30, 3.2 / 30, 4 / 30, 5 / 30)]
    assert sum(clock.add(stamp) for stamp in late + stalled) == 0


def test_a_steady_camera_with_jitter_loses_nothing() -> None:
    clock = CameraClock()
    rng = np.random.default_rng(1)
    lost = [clock.add(k / 30 + rng.uniform(-0.006, 0.006)) for k in range(1000)]
    assert sum(lost) == 0


@pytest.mark.parametrize("wrong", [3e8, 1e4, 10.0, -10.0, -1e9])
def test_one_stamp_that_is_far_off_is_no_measure_for_the_next(wrong: float) -> None:
    clock = CameraClock()
    stamps = [100.0 + k / 20 for k in range(60)]
    stamps[30] += wrong
    assert sum(clock.add(stamp) for stamp in stamps) + clock.close_gap() == 0
    assert clock.interval == pytest.approx(0.05)


def test_frames_that_are_missing_beside_a_wrong_stamp_are_still_counted() -> None:
    clock = CameraClock()
    stamps = [100.0 + k / 20 for k in range(60) if k not in (40, 41)]
    stamps[20] = 0.0
    assert sum(clock.add(stamp) for stamp in stamps) == 2


@pytest.mark.parametrize("jump", [-0.8, -30.0])
def test_a_clock_that_is_set_back_loses_nothing_and_is_followed(jump: float) -> None:
    clock = CameraClock()
    stamps = [100.0 + k / 20 + (jump if k >= 30 else 0.0) for k in range(60) if k != 50]
    assert sum(clock.add(stamp) for stamp in stamps) == 1
