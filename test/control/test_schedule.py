"""The chunk schedule: steps by capture time, validity, blending."""

from __future__ import annotations

import numpy as np
import pytest

from mobile_vla_ros.control import ActionChunk, ChunkSchedule
from mobile_vla_ros.control.schedule import disagreement

AXES = ("linear.x", "angular.z")


def chunk(stamp: float, first: float = 0.0, steps: int = 5) -> ActionChunk:
    velocities = np.stack([first + np.arange(steps), np.zeros(steps)], 1).astype(np.float32)
    return ActionChunk(velocities, AXES, stamp, 0.2)


def test_the_step_is_chosen_by_the_time_since_capture_not_since_arrival() -> None:
    schedule = ChunkSchedule(chunk_timeout=5.0)
    schedule.add(chunk(100.0), now=7.35)
    assert schedule.sample(7.35, 100.35) == [1.0, 0.0]
    assert schedule.sample(7.45, 100.45) == [2.0, 0.0]


@pytest.mark.parametrize(("timeout", "end"), [(0.5, 0.5), (5.0, 1.0)])
def test_a_chunk_is_valid_until_the_shorter_of_its_horizon_and_the_timeout(timeout, end) -> None:
    schedule = ChunkSchedule(timeout)
    schedule.add(chunk(100.0), now=0.0)
    assert schedule.sample(0.1, 100.0 + end - 0.01) is not None
    assert schedule.sample(0.1, 100.0 + end) is None
    assert schedule.remaining(0.1, 100.0 + end) == 0.0


def test_a_chunk_ends_on_the_steady_clock_when_the_other_clock_stands_still() -> None:
    schedule = ChunkSchedule(0.8)
    schedule.add(chunk(0.0), now=0.0)
    assert schedule.sample(0.79, 0.0) is not None
    assert schedule.sample(0.8, 0.0) is None


def test_a_chunk_from_the_future_is_not_played() -> None:
    schedule = ChunkSchedule(0.8, future_tolerance=0.02)
    schedule.add(chunk(100.0), now=0.0)
    assert schedule.sample(0.0, 99.99) is not None
    assert schedule.sample(0.0, 99.9) is None


def test_a_new_chunk_is_faded_in_over_the_blend_time() -> None:
    schedule = ChunkSchedule(5.0, blend_time=0.1)
    schedule.add(chunk(100.0, first=0.0), now=0.0)
    schedule.add(chunk(100.0, first=10.0), now=0.05)
    values = [schedule.sample(0.05 + s, 100.05 + s)[0] for s in (0.0, 0.05, 0.1)]
    assert values == pytest.approx([0.0, 5.0, 10.0])


def test_a_chunk_that_has_ended_is_not_blended_with() -> None:
    schedule = ChunkSchedule(0.5, blend_time=0.1)
    schedule.add(chunk(100.0), now=0.1)
    schedule.add(chunk(100.4, first=10.0), now=0.6)
    assert schedule.sample(0.6, 100.6) == [11.0, 0.0]


def test_nothing_is_blended_across_a_clear() -> None:
    schedule = ChunkSchedule(5.0)
    schedule.add(chunk(100.0), now=0.0)
    schedule.clear()
    assert schedule.sample(0.0, 100.0) is None
    schedule.add(chunk(100.0, first=10.0), now=0.0)
    assert schedule.sample(0.0, 100.0) == [10.0, 0.0]
    assert schedule.disagreement == 0.0


def test_disagreement_compares_the_steps_that_plan_the_same_moment() -> None:
    before = chunk(100.0, first=0.0)
    assert disagreement(before, chunk(100.4, first=2.0)) == 0.0
    assert disagreement(before, chunk(100.4, first=3.0)) == pytest.approx(np.sqrt(0.5))
    assert disagreement(before, chunk(103.0, first=3.0)) == 0.0
