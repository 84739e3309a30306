"""Where things stand in one open field, and what is asked for in it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from mobile_vla_ros.sim.layout import ROBOT_RADIUS, Box
from mobile_vla_ros.sim.open_field.person import Walk
from mobile_vla_ros.sim.open_field.scenario import OpenScenario
from mobile_vla_ros.sim.open_field.things import Thing
from mobile_vla_ros.sim.open_field.words import Said

ROOMS = ("office", "kitchen", "corridor", "lounge", "store", "studio", "gym", "cellar")
KEPT_ROOMS = ("gym", "cellar")  # for testing only


@dataclass(frozen=True)
class Stool:
    """A round obstacle: place of its axis, radius and height, m."""

    x: float
    y: float
    radius: float
    height: float

    def distance(self, x: float, y: float) -> float:
        """From a point to its outline, m; 0 inside."""
        return max(math.hypot(x - self.x, y - self.y) - self.radius, 0.0)


@dataclass(frozen=True)
class CameraOffset:
    """How the camera differs from its settings: m, m, degrees down, degrees to the left."""

    height: float = 0.0
    lateral: float = 0.0
    tilt: float = 0.0
    yaw: float = 0.0


@dataclass(frozen=True)
class Order:
    """What is asked for: the thing of that index (None: stand still), the side, the words."""

    target: int | None
    side: str | None
    said: Said


@dataclass(frozen=True)
class OpenLayout:
    """One open field. Frame: origin near the robot's start, x ahead, y left, metres.

    Attributes:
        scenario, seed: what it was drawn from.
        things: all that an instruction could name.
        boxes: cardboard boxes; a side asked for is that of the first.
        stools: round obstacles.
        start: (x, y, yaw) of the robot.
        room: (x_min, x_max, y_min, y_max) of the walls.
        style: of the room, one of `ROOMS`.
        order: what is asked for.
        second: what is asked for later, on the way; None: nothing.
        walk: the way of a person; None: nobody is there.
        camera: how the camera is off.
    """

    scenario: OpenScenario
    seed: int
    things: tuple[Thing, ...]
    boxes: tuple[Box, ...]
    stools: tuple[Stool, ...]
    start: tuple[float, float, float]
    room: tuple[float, float, float, float]
    style: str
    order: Order
    second: Order | None = None
    walk: Walk | None = None
    camera: CameraOffset = CameraOffset()

    @property
    def target(self) -> Thing | None:
        """The thing asked for; None: the robot is told to stand still."""
        return None if self.order.target is None else self.things[self.order.target]

    def asked(self, order: Order) -> OpenLayout:
        """The same field with something else asked for."""
        return replace(self, order=order, second=None)

    def clearance(self, x: float, y: float) -> float:
        """Free distance between the robot's chassis at (x, y) and all that stands, m."""
        x_min, x_max, y_min, y_max = self.room
        walls = min(x - x_min, x_max - x, y - y_min, y_max - y)
        standing: list[Thing | Box | Stool] = [*self.things, *self.boxes, *self.stools]
        return min(walls, *(item.distance(x, y) for item in standing)) - ROBOT_RADIUS
