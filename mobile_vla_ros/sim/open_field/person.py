"""A person-like cylinder that walks to and fro across the way, and stops for a robot before it."""

from __future__ import annotations

import math
from dataclasses import dataclass

RADIUS = 0.20  # m
HEIGHT = 1.65  # m
GIVES_WAY = 0.65  # m, between the axes: nearer ahead than this the person waits
ASIDE = 0.42  # m, so much to the side of the person's way is no reason to wait
PATIENCE = 1.5  # s; then the person turns back


@dataclass(frozen=True)
class Walk:
    """A person's way.

    Attributes:
        start, end: (x, y), m, field frame.
        speed: m/s.
        waits: s of standing before the first step.
        pause: s of standing at each end.
    """

    start: tuple[float, float]
    end: tuple[float, float]
    speed: float
    waits: float
    pause: float

    @property
    def length(self) -> float:
        """m."""
        return math.dist(self.start, self.end)

    def place(self, along: float) -> tuple[float, float]:
        """(x, y) at ``along`` metres from the start."""
        share = along / self.length
        (x0, y0), (x1, y1) = self.start, self.end
        return x0 + share * (x1 - x0), y0 + share * (y1 - y0)


@dataclass(frozen=True)
class Seen:
    """A person as one sees them: place (m) and velocity (m/s), field frame."""

    x: float
    y: float
    vx: float = 0.0
    vy: float = 0.0

    def later(self, seconds: float) -> Seen:
        """Where they would be if they walked on."""
        return Seen(self.x + self.vx * seconds, self.y + self.vy * seconds, self.vx, self.vy)


class Person:
    """Walks a `Walk`; time passes by `advance` alone."""

    def __init__(self, walk: Walk) -> None:
        self.walk = walk
        self._along = 0.0
        self._direction = 1
        self._standing = walk.waits
        self._moves = False
        self._blocked_for = 0.0

    def advance(self, seconds: float, robot: tuple[float, float]) -> None:
        """Walks on, unless the robot stands near ahead; turns back when it stays there.

        Args:
            seconds: that pass.
            robot: (x, y) of its centre, m, field frame.
        """
        self._moves = False
        if self._standing > 0:
            self._standing -= seconds
            return
        if self._blocked(robot):
            self._blocked_for += seconds
            if self._blocked_for > PATIENCE:
                self._direction, self._blocked_for = -self._direction, 0.0
            return
        self._blocked_for = 0.0
        self._moves = True
        self._along += self._direction * self.walk.speed * seconds
        if not 0 < self._along < self.walk.length:
            self._along = min(max(self._along, 0.0), self.walk.length)
            self._direction = -self._direction
            self._standing = self.walk.pause

    @property
    def seen(self) -> Seen:
        """Where they are and how they walk."""
        x, y = self.walk.place(self._along)
        dx, dy = self._heading()
        speed = self.walk.speed if self._moves else 0.0
        return Seen(x, y, speed * dx, speed * dy)

    def _heading(self) -> tuple[float, float]:
        (x0, y0), (x1, y1) = self.walk.start, self.walk.end
        sign = self._direction / self.walk.length
        return sign * (x1 - x0), sign * (y1 - y0)

    def _blocked(self, robot: tuple[float, float]) -> bool:
        x, y = self.walk.place(self._along)
        dx, dy = self._heading()
        ahead = (robot[0] - x) * dx + (robot[1] - y) * dy
        aside = abs((robot[1] - y) * dx - (robot[0] - x) * dy)
        return 0 < ahead < GIVES_WAY and aside < ASIDE
