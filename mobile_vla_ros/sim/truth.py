"""What the simulator knows of each row, stored beside it, so that data can be labelled anew."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mobile_vla_ros.errors import InputError
from mobile_vla_ros.sim.camera import CameraSettings
from mobile_vla_ros.sim.expert import FieldState, expert_chunk
from mobile_vla_ros.sim.layout import BOTTLE_HEIGHT, Layout, sample_layout
from mobile_vla_ros.sim.scenario import SIDES
from mobile_vla_ros.sim.word_places import word_places

CHUNK_STEPS = 10
STATE_COLUMNS = ("x", "y", "yaw", "vx", "wz")


def truth_attributes(
    states: Sequence[FieldState], camera: CameraSettings, period: float
) -> dict[str, Any]:
    """The attributes that a simulated episode carries.

    Returns:
        ``field_seed`` int; ``field_states`` float64 [T, 5] (``STATE_COLUMNS``, field frame, m,
        rad, m/s, rad/s); ``expert_chunks`` float32 [T, 10, 2] (vx, wz: the driver's next
        commands from each row's state, for the side asked); ``expert_chunks_other`` the same for
        the other side; ``bottle_places`` float32 [T, 4] and ``box_places`` float32 [T, boxes, 4]
        (u, v, bearing, distance: image place as fractions of width and height, NaN behind the
        camera; bearing in rad, positive to the left; distance in m); ``word_places`` float32
        [T, 14, 4], see `word_places`.
    """
    layout = states[0].layout
    side = layout.scenario.side
    other = next(word for word in SIDES if word != side)
    bottle = np.array([[*layout.bottle, BOTTLE_HEIGHT / 2]])
    boxes = np.array([[box.x, box.y, box.height / 2] for box in layout.boxes])
    bottle_places = np.stack([places(s.pose, camera, bottle)[0] for s in states])
    box_places = np.stack([places(s.pose, camera, boxes) for s in states])
    return {
        "field_seed": layout.seed,
        "field_states": np.array([(*state.pose, *state.velocities) for state in states]),
        "expert_chunks": np.stack([expert_chunk(s, CHUNK_STEPS, period) for s in states]),
        "expert_chunks_other": np.stack(
            [expert_chunk(s.asked(other), CHUNK_STEPS, period) for s in states]
        ),
        "bottle_places": bottle_places,
        "box_places": box_places,
        "word_places": np.stack(
            [
                word_places([("green", "bottle")], seen[None], standing)
                for seen, standing in zip(bottle_places, box_places, strict=True)
            ]
        ),
    }


def recorded_states(scenario: str, attributes: Mapping[str, Any]) -> list[FieldState]:
    """The true states of a simulated episode's rows.

    Args:
        scenario: the episode's scenario.
        attributes: the episode's attributes.

    Raises:
        InputError: the episode was not recorded in the simulated field.
    """
    if "field_seed" not in attributes or "field_states" not in attributes:
        raise InputError(
            "the episode has no true states: only episodes of the simulated field can be "
            "labelled anew"
        )
    layout: Layout = sample_layout(scenario, int(attributes["field_seed"]))
    return [
        FieldState(layout, (row[0], row[1], row[2]), (row[3], row[4]))
        for row in np.asarray(attributes["field_states"], float).tolist()
    ]


def places(
    pose: tuple[float, float, float], camera: CameraSettings, points: np.ndarray
) -> np.ndarray:
    """float32 [N, 4]: u, v, bearing, distance; see ``truth_attributes``."""
    x, y, yaw = pose
    dx, dy = points[:, 0] - x, points[:, 1] - y
    bearing = np.arctan2(dy, dx) - yaw
    bearing = (bearing + math.pi) % math.tau - math.pi
    distance = np.hypot(dx, dy)
    return np.column_stack([camera.project(pose, points), bearing, distance]).astype(np.float32)
