"""The scripted driver turns on the way round it turns already, where pictures tell no better."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from mobile_vla_ros.sim.layout import ROBOT_RADIUS
from mobile_vla_ros.sim.open_field.expert import (
    OpenState,
    open_chunk,
    open_velocities,
)
from mobile_vla_ros.sim.open_field.placement import sample_open_layout

SEEDS = range(6)


def lost(seed: int, bearing: float, turning: float) -> OpenState:
    """At the start of a field, the target so far to the left, turning so fast (rad/s)."""
    layout = sample_open_layout("open_easy", seed)
    assert layout.target is not None
    x, y, _ = layout.start
    yaw = math.atan2(layout.target.y - y, layout.target.x - x) - bearing
    return OpenState(layout, (x, y, yaw), (0.0, turning))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("bearing", [2.4, 3.1, -2.4, -3.1])
def test_what_lies_behind_is_turned_to_by_the_way_it_turns(seed: int, bearing: float) -> None:
    for turning in (0.5, -0.5, 0.12, -0.12):
        state = lost(seed, bearing, turning)
        velocity = open_velocities(state)
        assert velocity[0] < 1e-9
        assert velocity[1] * turning > 0
        chunk = open_chunk(state)
        # It goes on turning until the target can be seen, however far round that is.
        assert chunk[0, 1] * turning > 0
        assert chunk[2, 1] * turning > 0


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("bearing", [2.4, -2.4])
def test_a_robot_that_stands_turns_away_from_what_it_sees(bearing: float, side: int) -> None:
    state = lost(0, bearing, 0.0)
    x, y, yaw = state.pose
    target = state.layout.target
    assert target is not None
    seen = replace(target, kind="bin", x=x + math.cos(yaw + side), y=y + math.sin(yaw + side))
    near = math.copysign(0.4, side)
    other = replace(seen, x=x + 0.8 * math.cos(yaw + near), y=y + 0.8 * math.sin(yaw + near))
    order = replace(state.layout.order, target=0, side=None)
    layout = replace(state.layout, things=(target, seen, other), boxes=(), stools=(), order=order)
    assert open_velocities(replace(state, layout=layout))[1] * side < 0
    # Where nothing is to be seen no answer is better than the true one.
    empty = replace(layout, things=(target,))
    assert open_velocities(replace(state, layout=empty))[1] * bearing > 0


@pytest.mark.parametrize("seed", SEEDS)
def test_what_lies_a_little_aside_is_turned_to_at_once(seed: int) -> None:
    state = lost(seed, 1.2, -0.5)
    # Without anything in between the way leads straight there.
    target = state.layout.target
    assert target is not None
    order = replace(state.layout.order, target=0, side=None)
    alone = replace(state.layout, things=(target,), boxes=(), stools=(), order=order)
    state = replace(state, layout=alone)
    assert open_velocities(state)[1] > 0


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("turning", [0.6, -0.6])
def test_it_arrives_whichever_way_it_turned(seed: int, turning: float) -> None:
    state = lost(seed, 2.0, turning)
    target = state.layout.target
    assert target is not None
    for _ in range(300):
        command = open_velocities(state)
        x, y, yaw = state.pose
        state = replace(
            state,
            pose=(
                x + command[0] * 0.1 * math.cos(yaw),
                y + command[0] * 0.1 * math.sin(yaw),
                yaw + command[1] * 0.1,
            ),
            velocities=command,
        )
        if command == (0.0, 0.0):
            break
    assert command == (0.0, 0.0)
    assert target.distance(*state.pose[:2]) < 0.45 - 0.05 + ROBOT_RADIUS
