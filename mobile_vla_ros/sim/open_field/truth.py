"""What the simulator knows of each row of an episode of the open field, stored beside it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mobile_vla_ros.sim.camera import CameraSettings
from mobile_vla_ros.sim.open_field.expert import OpenState, open_chunk
from mobile_vla_ros.sim.open_field.layout import OpenLayout, Order
from mobile_vla_ros.sim.open_field.person import HEIGHT
from mobile_vla_ros.sim.open_field.placement import order_words
from mobile_vla_ros.sim.open_field.route import passable
from mobile_vla_ros.sim.open_field.words import say
from mobile_vla_ros.sim.open_field.world import open_camera
from mobile_vla_ros.sim.scenario import SIDES
from mobile_vla_ros.sim.truth import CHUNK_STEPS, places
from mobile_vla_ros.sim.word_places import word_places


def open_truth(
    states: Sequence[OpenState], camera: CameraSettings, period: float
) -> dict[str, Any]:
    """The attributes that a simulated episode carries, named as the lab field's are.

    Returns:
        ``field`` "open"; ``field_seed`` int; ``field_states`` float64 [T, 5] (x, y, yaw, vx, wz);
        ``field_person`` float64 [T, 4] (x, y, vx, vy; NaN where nobody is); ``target``,
        ``language``, ``room`` str; ``expert_chunks`` float32 [T, 10, 2] for what is asked, and
        ``expert_chunks_other`` for ``target_other``, another thing that stands there;
        ``bottle_places`` float32 [T, 4] of the target (NaN for a stop) and ``box_places``
        float32 [T, N, 4] of boxes and stools: u, v, bearing, distance. What else could be asked
        for from the same states, K of them: ``asked_instructions`` a JSON list of K sentences,
        ``asked_chunks`` float32 [K, T, 10, 2], ``asked_places`` float32 [K, T, 4]. And
        ``word_places`` float32 [T, 14, 4], see `word_places`.
    """
    layout = states[0].layout
    other = _another(layout)
    thing = layout.things[other.target or 0]
    obstacles = [(box.x, box.y, box.height / 2) for box in layout.boxes]
    obstacles += [(stool.x, stool.y, stool.height / 2) for stool in layout.stools]
    target = layout.target
    return {
        "field": "open",
        "field_seed": layout.seed,
        "field_states": np.array([(*state.pose, *state.velocities) for state in states]),
        "field_person": np.array([_person(state) for state in states]),
        "target": "stop" if target is None else target.name,
        "target_other": thing.name,
        "language": layout.order.said.language,
        "room": layout.style,
        "expert_chunks": np.stack([open_chunk(s, CHUNK_STEPS, period) for s in states]),
        "expert_chunks_other": np.stack(
            [open_chunk(s.asked(other), CHUNK_STEPS, period) for s in states]
        ),
        "bottle_places": _target_places(states, camera, layout.order),
        "box_places": np.stack([_seen(s, camera, obstacles) for s in states]),
        "word_places": np.stack([_words(s, camera, obstacles) for s in states]),
        **_asked_otherwise(states, camera, period),
    }


def other_orders(layout: OpenLayout) -> tuple[Order, ...]:
    """What else a person could have asked for in this field, in taught words.

    The same pictures with other words have other right commands: nothing else teaches a policy
    so directly that the words decide.

    Returns:
        Each other thing that can be reached, the target past the first box on each other side,
        and standing still, where that was not asked for anyway.
    """
    rng = np.random.default_rng([layout.seed, 707])
    order = layout.order
    wanted: list[tuple[int, str | None]] = [
        (index, None) for index in range(len(layout.things)) if index != order.target
    ]
    if order.target is not None:
        wanted += [(order.target, side) for side in (None, *SIDES) if side != order.side]
    orders = []
    for index, side in wanted:
        asked = Order(index, side, order_words(layout.things, index, side, False, rng))
        if passable(layout.asked(asked)):
            orders.append(asked)
    if order.target is not None:
        orders.append(Order(None, None, say(rng, None, None, None)))
    return tuple(orders)


def _asked_otherwise(
    states: Sequence[OpenState], camera: CameraSettings, period: float
) -> dict[str, Any]:
    orders = other_orders(states[0].layout)
    if not orders:
        return {}
    return {
        "asked_instructions": json.dumps([o.said.text for o in orders], ensure_ascii=False),
        "asked_chunks": np.stack(
            [[open_chunk(s.asked(o), CHUNK_STEPS, period) for s in states] for o in orders]
        ),
        "asked_places": np.stack([_target_places(states, camera, o) for o in orders]),
    }


def _target_places(
    states: Sequence[OpenState], camera: CameraSettings, order: Order
) -> np.ndarray:
    """float32 [T, 4] of what is asked for: u, v, bearing, distance; NaN for a stop."""
    layout = states[0].layout
    target = None if order.target is None else layout.things[order.target]
    aim = (math.nan,) * 3 if target is None else (target.x, target.y, target.height / 2)
    return np.stack([_seen(state, camera, [aim])[0] for state in states])


def _another(layout: OpenLayout) -> Order:
    """Something else to ask for in the same field."""
    if layout.order.target is None:
        return Order(0, None, layout.order.said)
    return Order((layout.order.target + 1) % len(layout.things), None, layout.order.said)


def _person(state: OpenState) -> tuple[float, float, float, float]:
    person = state.person
    if person is None:
        return (math.nan,) * 4
    return person.x, person.y, person.vx, person.vy


def _words(
    state: OpenState, camera: CameraSettings, obstacles: Sequence[tuple[float, ...]]
) -> np.ndarray:
    things = state.layout.things
    person = state.person
    return word_places(
        [(thing.colour, thing.kind) for thing in things],
        _seen(state, camera, [(thing.x, thing.y, thing.height / 2) for thing in things]),
        _seen(state, camera, obstacles),
        None if person is None else _seen(state, camera, [(person.x, person.y, HEIGHT / 2)])[0],
    )


def _seen(
    state: OpenState, camera: CameraSettings, points: Sequence[tuple[float, ...]]
) -> np.ndarray:
    """float32 [N, 4]: u, v as the camera truly stands; bearing and distance of the robot."""
    x, y, yaw = state.pose
    layout = state.layout
    seen = places(state.pose, camera, np.array(points))
    turned = (x, y, yaw + math.radians(layout.camera.yaw))
    seen[:, :2] = open_camera(layout, camera).project(turned, np.array(points))
    return seen
