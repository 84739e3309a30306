"""The way to a thing in the open field: cost to go on a grid, and what of it can be seen ahead.

One shortest-path search from the ring in front of the thing gives the next cell from everywhere,
so that any place, also one that a policy strayed to, has one answer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra

from mobile_vla_ros.sim.layout import ROBOT_RADIUS, Box
from mobile_vla_ros.sim.open_field.layout import OpenLayout, Stool
from mobile_vla_ros.sim.open_field.things import Thing

CELL = 0.05  # m
MARGIN = 0.24  # m of air between chassis and obstacles; less is dearer
NARROWEST = 0.12  # m of air that every way has
LEAST = 0.04  # m of air below which nobody drives by choice
STOP_GAP = 0.32  # m, from the robot's centre to the thing's outline, where it stops
LOOK_AHEAD = 0.9  # m of the way that is straightened at once
_BEHIND = -0.3  # free distance of cells that the asked side shuts off
_WAYS = ((1, 0), (0, 1), (1, 1), (1, -1), (2, 1), (1, 2), (2, -1), (1, -2))


@dataclass(frozen=True)
class Ground:
    """What a route depends on: all that stands, the thing to reach, the side of the first box."""

    things: tuple[Thing, ...]
    boxes: tuple[Box, ...]
    stools: tuple[Stool, ...]
    room: tuple[float, float, float, float]
    target: Thing
    side: str | None


class Route:
    """The way to a thing, passing the first box on the asked side.

    Args:
        ground: what stands where.
        shortest: nothing but length counts; else air to both sides counts too.
    """

    def __init__(self, ground: Ground, shortest: bool = False) -> None:
        target = ground.target
        x_min, x_max, y_min, y_max = ground.room
        self._origin = np.array([x_min, y_min])
        self._shape = (math.ceil((x_max - x_min) / CELL), math.ceil((y_max - y_min) / CELL))
        x = x_min + (np.arange(self._shape[0])[:, None] + 0.5) * CELL
        y = y_min + (np.arange(self._shape[1])[None, :] + 0.5) * CELL
        # float [nx, ny]: free distance of a chassis there, m
        self.free = _free_distance(ground, x, y)
        if ground.side is not None:
            box = ground.boxes[0]
            wrong = y < box.y if ground.side == "left" else y > box.y
            self.free[(np.abs(x - box.x) <= 0.075) & wrong] = _BEHIND
        outline = np.hypot(x - target.x, y - target.y) - target.radius
        ring = (np.abs(outline - STOP_GAP) < 0.05) & (self.free > min(0.08, STOP_GAP - 0.2))
        self.reachable = bool(ring.any())
        cost, self._next = _cost_to_go(self.free, ring, shortest)
        self._cost = cost

    def cost(self, x: float, y: float) -> float:
        """From a place to the ring: infinite where no way leads."""
        return float(self._cost[self._cell(x, y)])

    def way(self, x: float, y: float, reach: float = math.inf) -> np.ndarray:
        """Cells' centres from a place towards the ring, float [N, 2], m; at most ``reach`` m."""
        cell = self._cell(x, y)
        if not math.isfinite(self._cost[cell]):
            cell = self._nearest_finite(cell)
        flat = cell[0] * self._shape[1] + cell[1]
        cells = [flat]
        for _ in range(math.ceil(reach / CELL) if math.isfinite(reach) else self.free.size):
            flat = int(self._next[flat])
            if flat < 0:
                break
            cells.append(flat)
        return np.array([self._centre(flat) for flat in cells])

    def waypoint(self, x: float, y: float) -> tuple[float, float]:
        """The farthest place on the way that can be driven to straight from here."""
        way = self.way(x, y, LOOK_AHEAD)
        for index in range(len(way) - 1, 3, -3):
            least = min(MARGIN * 0.6, float(self._free_at(way[: index + 1]).min()) - 0.01)
            if self.is_open((x, y), (float(way[index, 0]), float(way[index, 1])), least):
                return float(way[index, 0]), float(way[index, 1])
        last = way[min(3, len(way) - 1)]
        return float(last[0]), float(last[1])

    def is_open(
        self, one: tuple[float, float], other: tuple[float, float], least: float = LEAST
    ) -> bool:
        """Whether the straight line between two places has ``least`` metres of air."""
        count = max(2, math.ceil(math.dist(one, other) / (CELL / 2)))
        points = np.linspace(one, other, count)
        # What is no free place itself cannot shut the way out of it.
        own = float(self._free_at(points[:1])[0])
        return bool((self._free_at(points[1:]) >= min(least, own)).all())

    def length(self, x: float, y: float) -> float:
        """Length of the way, its corners cut as far as the air allows, m; infinite without one."""
        if not math.isfinite(self.cost(x, y)):
            return math.inf
        way = [(x, y), *((float(px), float(py)) for px, py in self.way(x, y))]
        total, at = 0.0, 0
        while at < len(way) - 1:
            far = next(
                index
                for index in range(len(way) - 1, at, -1)
                if index == at + 1 or self.is_open(way[at], way[index], LEAST / 2)
            )
            total += math.dist(way[at], way[far])
            at = far
        return total

    def narrowest(self, x: float, y: float) -> float:
        """Least air on the way from a place, m."""
        return float(self._free_at(self.way(x, y)).min())

    def _cell(self, x: float, y: float) -> tuple[int, int]:
        i, j = ((x - self._origin[0]) / CELL, (y - self._origin[1]) / CELL)
        return (
            int(min(max(i, 0), self._shape[0] - 1)),
            int(min(max(j, 0), self._shape[1] - 1)),
        )

    def _centre(self, flat: int) -> tuple[float, float]:
        i, j = divmod(flat, self._shape[1])
        return self._origin[0] + (i + 0.5) * CELL, self._origin[1] + (j + 0.5) * CELL

    def _free_at(self, points: np.ndarray) -> np.ndarray:
        cells = ((np.asarray(points) - self._origin) / CELL).astype(int)
        cells = np.clip(cells, 0, np.array(self._shape) - 1)
        return self.free[cells[:, 0], cells[:, 1]]

    def _nearest_finite(self, cell: tuple[int, int]) -> tuple[int, int]:
        places = np.argwhere(np.isfinite(self._cost))
        nearest = places[np.square(places - cell).sum(axis=1).argmin()]
        return int(nearest[0]), int(nearest[1])


def route_of(layout: OpenLayout, shortest: bool = False) -> Route:
    """The way to the layout's target, made once."""
    assert layout.target is not None
    parts = (layout.things, layout.boxes, layout.stools, layout.room)
    return _route(Ground(*parts, layout.target, layout.order.side), shortest)


@lru_cache(maxsize=16)
def _route(ground: Ground, shortest: bool) -> Route:
    return Route(ground, shortest)


def ways_of(layout: OpenLayout) -> np.ndarray:
    """The ways from the start to all that is asked for, float [N, 2], m; the start for a stop."""
    x, y, _ = layout.start
    orders = [order for order in (layout.order, layout.second) if order is not None]
    ways = [route_of(layout.asked(o)).way(x, y) for o in orders if o.target is not None]
    return np.concatenate([np.array([[x, y]]), *ways])


def passable(layout: OpenLayout) -> bool:
    """Whether all that is asked for can be reached without a great detour."""
    x, y, _ = layout.start
    for order in (layout.order, layout.second):
        if order is None or order.target is None:
            continue
        route = route_of(layout.asked(order))
        if not route.reachable or not math.isfinite(route.cost(x, y)):
            return False
        thing = layout.things[order.target]
        if route.length(x, y) > 1.6 * math.hypot(thing.x - x, thing.y - y):
            return False
        if route.narrowest(x, y) < NARROWEST:
            return False
    return layout.clearance(x, y) > 0.2


def _free_distance(ground: Ground, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x_min, x_max, y_min, y_max = ground.room
    free = np.minimum(np.minimum(x - x_min, x_max - x), np.minimum(y - y_min, y_max - y))
    for box in ground.boxes:
        free = np.minimum(free, _box_distance(box, x, y))
    round_ones: list[Thing | Stool] = [*ground.things, *ground.stools]
    for item in round_ones:
        free = np.minimum(free, np.hypot(x - item.x, y - item.y) - item.radius)
    return free - ROBOT_RADIUS


def _box_distance(box: Box, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    c, s = math.cos(box.yaw), math.sin(box.yaw)
    dx, dy = x - box.x, y - box.y
    along = np.maximum(np.abs(c * dx + s * dy) - box.half_x, 0.0)
    across = np.maximum(np.abs(-s * dx + c * dy) - box.half_y, 0.0)
    return np.hypot(along, across)


def _cost_to_go(
    free: np.ndarray, goals: np.ndarray, shortest: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Cost of each cell [nx, ny] and the next cell of each, int [nx * ny], below 0 for none."""
    allowed = free >= (LEAST / 2 if shortest else -0.1)
    if shortest:
        price = np.ones_like(free)
    else:
        near = np.clip(1 - free / MARGIN, 0, None)
        price = 1 + 4 * near**2 + 60 * np.clip(LEAST - free, 0, None) / LEAST
    index = np.arange(free.size).reshape(free.shape)
    rows, columns, costs = [], [], []
    for di, dj in _WAYS:
        one, other = _shifted(free.shape, di, dj)
        good = allowed[one] & allowed[other]
        length = CELL * math.hypot(di, dj) * (price[one] + price[other]) / 2
        rows.append(index[one][good])
        columns.append(index[other][good])
        costs.append(length[good])
    start = np.flatnonzero((goals & allowed).ravel())
    if not len(start):
        return np.full(free.shape, np.inf), np.full(free.size, -1)
    graph = coo_matrix(
        (np.concatenate(costs), (np.concatenate(rows), np.concatenate(columns))),
        shape=(free.size, free.size),
    ).tocsr()
    cost, before, _ = dijkstra(
        graph, directed=False, indices=start, min_only=True, return_predecessors=True
    )
    return cost.reshape(free.shape), before


def _shifted(
    shape: tuple[int, ...], di: int, dj: int
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Slices of the cells that have a neighbour ``(di, dj)`` away, and of those neighbours."""
    nx, ny = shape
    return (
        (slice(0, nx - di), slice(max(0, -dj), ny - max(0, dj))),
        (slice(di, nx), slice(max(0, dj), ny + min(0, dj))),
    )
