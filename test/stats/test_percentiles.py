"""Percentiles under their names."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
import pytest

from mobile_vla_ros.stats.percentiles import percentiles


def test_percentiles_that_occurred_are_of_the_nearest_rank() -> None:
    values = [i / 100 for i in range(1, 101)]
    assert percentiles(values, occurred=True) == {"p50": 0.5, "p90": 0.9, "p99": 0.99}
    assert percentiles([3.0], occurred=True) == {"p50": 3.0, "p90": 3.0, "p99": 3.0}


def test_the_others_are_those_of_numpy() -> None:
    values = deque(np.random.default_rng(0).normal(size=37).tolist())
    found = percentiles(values, (10, 50))
    assert list(found) == ["p10", "p50"]
    assert found["p10"] == pytest.approx(np.percentile(values, 10))


def test_of_nothing_nothing_is_known() -> None:
    assert all(math.isnan(value) for value in percentiles([]).values())
