"""Where things stand in one field: drawn from scenario and seed alone, the same for both sides."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mobile_vla_ros.sim.scenario import ARRANGEMENTS, DISTANCES, VARIANTS, Scenario, parse_scenario

BOTTLE_RADIUS = 0.046  # m
BOTTLE_HEIGHT = 0.32  # m, a 1.5 litre bottle
ROBOT_RADIUS = 0.16  # m, of the round chassis

_FIRST_BOX = {"close": (1.10, 1.25), "medium": (1.35, 1.50), "far": (1.60, 1.80)}  # m, near face


@dataclass(frozen=True)
class Box:
    """A cardboard box on the floor; lengths in metres, ``yaw`` in radians, field frame."""

    x: float
    y: float
    yaw: float
    half_x: float
    half_y: float
    height: float

    def corners(self) -> np.ndarray:
        """float64 [4, 2], counter-clockwise, field frame, m."""
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        offsets = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * (self.half_x, self.half_y)
        return offsets @ np.array([[c, s], [-s, c]]) + (self.x, self.y)

    def distance(self, x: float, y: float) -> float:
        """Distance of a point from the box's outline in metres; 0 inside."""
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        dx, dy = x - self.x, y - self.y
        along = max(abs(c * dx + s * dy) - self.half_x, 0.0)
        across = max(abs(-s * dx + c * dy) - self.half_y, 0.0)
        return math.hypot(along, across)


@dataclass(frozen=True)
class Layout:
    """One field. Frame: origin near the robot's start, x ahead, y left (REP-103), metres.

    Attributes:
        scenario: what was asked for.
        seed: what the rest was drawn from; room colours and textures are drawn from it too.
        boxes: the obstacle, one or two boxes.
        bottle: (x, y) of the bottle's axis.
        start: (x, y, yaw) of the robot.
        room: (x_min, x_max, y_min, y_max) of the walls.
    """

    scenario: Scenario
    seed: int
    boxes: tuple[Box, ...]
    bottle: tuple[float, float]
    start: tuple[float, float, float]
    room: tuple[float, float, float, float]

    def clearance(self, x: float, y: float) -> float:
        """Free distance in metres between the robot's chassis at (x, y) and boxes and walls."""
        x_min, x_max, y_min, y_max = self.room
        walls = min(x - x_min, x_max - x, y - y_min, y_max - y)
        boxes = min(box.distance(x, y) for box in self.boxes)
        return min(walls, boxes) - ROBOT_RADIUS


def sample_layout(scenario: Scenario | str, seed: int) -> Layout:
    """Draws a field. ``1box_left`` and ``1box_right`` of one seed differ only in the instruction.

    Args:
        scenario: a name or a parsed scenario.
        seed: 0 or more.
    """
    if isinstance(scenario, str):
        scenario = parse_scenario(scenario)
    rng = np.random.default_rng([seed, scenario.boxes, 101])
    distance = _choose(rng, DISTANCES, scenario.distance)
    arrangement = _choose(rng, ARRANGEMENTS, scenario.arrangement)
    variant = _choose(rng, VARIANTS, scenario.variant)

    near = rng.uniform(*_FIRST_BOX[distance])
    shift, turn = (0.05, 0.12) if variant == "core" else (0.12, 0.40)
    centre_y = rng.uniform(-shift, shift)
    boxes: list[Box] = []
    for index in range(scenario.boxes):
        # A lone box lies across ("hori") or along ("vert") the way; two boxes are placed so.
        long, short = rng.uniform(0.16, 0.21), rng.uniform(0.11, 0.15)
        lone = scenario.boxes == 1
        half_x, half_y = (long, short) if lone and arrangement == "vert" else (short, long)
        if not lone:
            half_x, half_y = rng.uniform(0.10, 0.14), rng.uniform(0.10, 0.14)
        yaw = rng.uniform(-turn, turn)
        height = rng.uniform(0.20, 0.28)
        if lone:
            x, y = near + half_x, centre_y
        elif arrangement == "hori":
            sign = 1 if index == 0 else -1
            gap = rng.uniform(0.0, 0.03)
            x = near + 0.13 + rng.uniform(-0.05, 0.05)
            y = centre_y + sign * (half_y + half_x * abs(math.sin(yaw)) + gap)
        else:
            x = near + 0.13 + index * rng.uniform(0.34, 0.45)
            y = centre_y + rng.uniform(-0.06, 0.06)
        boxes.append(Box(x, y, yaw, half_x, half_y, height))
    far_face = max(float(box.corners()[:, 0].max()) for box in boxes)
    bottle = (far_face + rng.uniform(1.1, 1.4), rng.uniform(-0.2, 0.2))
    start = (rng.uniform(-0.05, 0.05), rng.uniform(-0.10, 0.10), rng.uniform(-0.18, 0.18))
    room = (
        -rng.uniform(0.8, 1.4),
        bottle[0] + rng.uniform(1.0, 2.0),
        -rng.uniform(1.6, 2.4),
        rng.uniform(1.6, 2.4),
    )
    return Layout(scenario, seed, tuple(boxes), bottle, start, room)


def _choose(rng: np.random.Generator, words: tuple[str, ...], given: str | None) -> str:
    drawn = words[int(rng.integers(len(words)))]
    return given or drawn
