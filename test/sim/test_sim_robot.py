import math

import numpy as np
import pytest

from mobile_vla_ros.sim.expert import FieldState, advance_kinematic
from mobile_vla_ros.sim.field import Field
from mobile_vla_ros.sim.outcome import TOUCHED_BOX


@pytest.fixture
def sim() -> Field:
    return Field("1box_left_far", 4)


def test_the_wheels_carry_the_robot_as_far_as_they_roll(sim: Field) -> None:
    x, y, yaw = sim.pose
    for _ in range(10):
        sim.step((0.3, 0.0, 0.0), 0.3)
    way = math.hypot(sim.pose[0] - x, sim.pose[1] - y)
    # 3 s at 0.3 m/s, less what the lag of 0.15 s costs.
    assert way == pytest.approx(0.3 * (3 - 0.15), abs=0.02)
    assert sim.odom.x == pytest.approx(way, abs=0.02)
    assert abs(sim.pose[2] - yaw) < 0.02


def test_it_turns_on_the_spot(sim: Field) -> None:
    x, y, yaw = sim.pose
    for _ in range(5):
        sim.step((0.0, 0.8), 0.4)
    turned = math.remainder(sim.pose[2] - yaw, math.tau)
    assert turned == pytest.approx(0.8 * (2 - 0.15), rel=0.05)
    assert math.hypot(sim.pose[0] - x, sim.pose[1] - y) < 0.02


def test_the_velocity_lags_behind_the_command(sim: Field) -> None:
    sim.step((0.3, 0.0), 0.15)
    assert sim.velocities[0] == pytest.approx(0.3 * (1 - math.exp(-1)), abs=0.04)
    sim.step((0.3, 0.0), 0.4)
    assert sim.velocities[0] == pytest.approx(0.3, abs=0.02)


def test_half_a_second_without_a_command_stops_it(sim: Field) -> None:
    sim.command(0.3, 0.0, 0.0)
    sim.advance(0.48)
    assert sim.velocities[0] > 0.25
    sim.advance(1.0)
    assert abs(sim.velocities[0]) < 0.01


def test_it_cannot_strafe(sim: Field) -> None:
    before = np.array(sim.pose)
    sim.step((0.0, 0.5, 0.0), 0.4)
    assert np.allclose(sim.pose, before, atol=1e-3)


@pytest.mark.parametrize("bad", [(math.nan, 0.0), (0.0, math.inf), (0.1,), (1, 2, 3, 4)])
def test_a_command_that_is_no_velocity_is_refused(sim: Field, bad) -> None:
    with pytest.raises(ValueError):
        sim.step(bad, 0.1)


def test_a_box_is_solid_and_touching_it_is_noticed(sim: Field) -> None:
    while not sim.outcome().decided:
        box = sim.layout.boxes[0]
        x, y, yaw = sim.pose
        error = math.remainder(math.atan2(box.y - y, box.x - x) - yaw, math.tau)
        sim.step((0.3, 1.5 * error), 0.1)
    assert sim.outcome().reason == TOUCHED_BOX
    for _ in range(20):
        sim.step((0.3, 0.0), 0.1)
    assert sim.layout.boxes[0].distance(*sim.pose[:2]) > 0.12


def test_reset_brings_back_the_very_same_run(sim: Field) -> None:
    paths = []
    for _ in range(2):
        sim.reset()
        for step in range(20):
            sim.step((0.25, 0.3 * math.sin(step)), 0.1)
        paths.append((sim.time, *sim.pose, *sim.velocities))
    assert paths[0] == paths[1]


def test_time_passes_in_whole_ticks_and_none_is_lost(sim: Field) -> None:
    for _ in range(1000):
        sim.advance(0.0033)
    assert sim.time == pytest.approx(3.3, abs=0.011)


def test_the_kinematic_copy_follows_the_physics_for_a_whole_chunk(sim: Field) -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        sim.reset()
        state = FieldState(sim.layout, sim.pose, sim.velocities)
        for _ in range(10):
            command = (rng.uniform(0.0, 0.3), rng.uniform(-0.6, 0.6))
            sim.step(command, 0.4)
            state = advance_kinematic(state, command, 0.4)
        assert np.hypot(*np.subtract(sim.pose[:2], state.pose[:2])) < 0.05
        assert abs(math.remainder(sim.pose[2] - state.pose[2], math.tau)) < 0.1
