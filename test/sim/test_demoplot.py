from __future__ import annotations

import math

import numpy as np
import pytest

from mobile_vla_ros.sim.demoplot import place_in_field


def test_the_path_begins_where_the_robot_stood_and_turns_with_it() -> None:
    odometry = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 0.5]])
    placed = place_in_field(odometry, (0.2, -0.1, math.pi / 2))
    assert placed == pytest.approx(np.array([[0.2, -0.1], [0.2, 0.9], [-0.3, 0.9]]))
