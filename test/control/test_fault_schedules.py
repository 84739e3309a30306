"""Ten thousand random schedules of faults and orders, judged by an independent oracle."""

from __future__ import annotations

from collections import Counter

import pytest
from fault_simulator import run_schedule

from mobile_vla_ros.states import REASONS

SCHEDULES = 10_000
PARTS = 20


@pytest.mark.parametrize("part", range(PARTS))
def test_no_schedule_of_faults_moves_the_robot_when_it_must_stand(part: int) -> None:
    """Nor lets it stand when all is well, exceed a limit, or talk when it must be silent."""
    states: Counter[str] = Counter()
    each = SCHEDULES // PARTS
    for seed in range(part * each, (part + 1) * each):
        states.update(run_schedule(seed))
    # The proof is worth something only if the schedules go everywhere and mostly drive.
    for reason in REASONS:
        assert states["stopped: " + reason] > 0, f"no schedule led to {reason}"
    ticks = sum(states.values()) - states["moving"]
    assert states["moving"] > 0.3 * ticks
