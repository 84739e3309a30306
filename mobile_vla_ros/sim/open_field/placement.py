"""Draws open fields from tier and seed: passable, with things, obstacles, words and a person."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from mobile_vla_ros.sim.layout import ROBOT_RADIUS, Box
from mobile_vla_ros.sim.open_field.layout import (
    KEPT_ROOMS,
    ROOMS,
    CameraOffset,
    OpenLayout,
    Order,
    Stool,
)
from mobile_vla_ros.sim.open_field.person import RADIUS as PERSON_RADIUS
from mobile_vla_ros.sim.open_field.person import Walk
from mobile_vla_ros.sim.open_field.route import passable, ways_of
from mobile_vla_ros.sim.open_field.scenario import OpenScenario, parse_open_scenario
from mobile_vla_ros.sim.open_field.things import KEPT_PAIRS, PAIRS, Thing
from mobile_vla_ros.sim.open_field.words import Said, say

STOPS_OF_100 = 8  # instructions that ask to stand still
_ATTEMPTS = 200
_OUT_OF_THE_WAY = 0.8  # m
_TRIES = 80  # places drawn for one thing
_GAP = 0.55  # m between whatever stands: the robot fits through, with air


@dataclass(frozen=True)
class Tier:
    """How much stands in a field of one tier; ranges are drawn from, both ends included."""

    things: tuple[int, int]
    boxes: tuple[int, int]
    stools: tuple[int, int]
    target: tuple[float, float]  # m, from the start
    person: float  # probability
    camera: float  # how far the camera is off, 1: as far as it may
    alike: float  # probability that another thing has the target's kind or colour


TIER = {
    "easy": Tier((2, 2), (1, 1), (0, 0), (1.9, 2.6), 0.0, 0.3, 0.0),
    "medium": Tier((3, 3), (1, 2), (0, 1), (2.0, 3.0), 0.4, 0.7, 0.5),
    "hard": Tier((4, 5), (2, 3), (1, 1), (2.2, 3.4), 0.8, 1.0, 1.0),
}


@lru_cache(maxsize=16)
def sample_open_layout(name: str, seed: int) -> OpenLayout:
    """Draws a field that can be driven; the same name and seed give the same field.

    Args:
        name: a scenario of the open field.
        seed: 0 or more.

    Raises:
        ScenarioError: the name means nothing.
    """
    scenario = parse_open_scenario(name)
    number = tuple(TIER).index(scenario.tier)
    for attempt in range(_ATTEMPTS):
        rng = np.random.default_rng([seed, number, attempt, 606])
        layout = _drawn(scenario, seed, rng)
        if layout is not None and passable(layout):
            return _crossed(layout, attempt)
    raise AssertionError(f"no field of {name} with seed {seed} can be driven")


def _drawn(scenario: OpenScenario, seed: int, rng: np.random.Generator) -> OpenLayout | None:
    """One try; None where something finds no place."""
    tier = TIER[scenario.tier]
    kept_pair, kept_room, kept_words = rng.random(3) < (0.25, 0.5, 0.5)
    pairs = _pairs(scenario, tier, scenario.new and kept_pair, rng)
    start = (rng.uniform(-0.05, 0.05), rng.uniform(-0.1, 0.1), rng.uniform(-0.35, 0.35))
    standing = _placed(tier, pairs, rng)
    if standing is None:
        return None
    things, boxes, stools = standing
    rooms = KEPT_ROOMS if scenario.new and kept_room else ROOMS[: -len(KEPT_ROOMS)]
    far = max(thing.x for thing in things)
    wide = max(abs(thing.y) for thing in things)
    room = (
        -rng.uniform(0.9, 1.4),
        far + rng.uniform(0.8, 1.6),
        -max(wide + 0.7, rng.uniform(1.6, 2.3)),
        max(wide + 0.7, rng.uniform(1.6, 2.3)),
    )
    style = rooms[int(rng.integers(len(rooms)))]
    order = _order(scenario, things, scenario.new and bool(kept_words), rng)
    second = None
    if scenario.change:
        other = 1 + int(rng.integers(len(things) - 1))
        second = Order(other, None, order_words(things, other, None, False, rng))
    off = tier.camera * rng.uniform(-1, 1, 4) * (0.03, 0.02, 3.0, 4.0)
    layout = OpenLayout(
        scenario, seed, things, boxes, stools, start, room, style, order, second,
        camera=CameraOffset(*(float(value) for value in off)),
    )  # fmt: skip
    return layout


def _crossed(layout: OpenLayout, attempt: int) -> OpenLayout:
    """The field with a person, where one is drawn and finds a way."""
    rng = np.random.default_rng([layout.seed, attempt, 608])
    if rng.random() >= TIER[layout.scenario.tier].person:
        return layout
    return replace(layout, walk=_walk(layout, rng))


def _pairs(
    scenario: OpenScenario, tier: Tier, kept: bool, rng: np.random.Generator
) -> list[tuple[str, str]]:
    """(colour, kind) of the target first, then of the others; no pair twice."""
    target = PAIRS[int(rng.integers(len(PAIRS)))]
    if kept:
        target = KEPT_PAIRS[int(rng.integers(len(KEPT_PAIRS)))]
    if scenario.colour is not None and scenario.kind is not None:
        target = (scenario.colour, scenario.kind)
    count = int(rng.integers(tier.things[0], tier.things[1] + 1))
    others = [pair for pair in PAIRS if pair != target]
    alike = [pair for pair in others if (pair[0] == target[0]) != (pair[1] == target[1])]
    unlike = [pair for pair in others if pair[0] != target[0] and pair[1] != target[1]]
    chosen = [target]
    if rng.random() < tier.alike:
        chosen.append(alike[int(rng.integers(len(alike)))])
    for index in rng.permutation(len(unlike)):
        if len(chosen) < count:
            chosen.append(unlike[int(index)])
    return chosen


def _placed(
    tier: Tier, pairs: list[tuple[str, str]], rng: np.random.Generator
) -> tuple[tuple[Thing, ...], tuple[Box, ...], tuple[Stool, ...]] | None:
    """The target in view, the first box on the way to it, all else where there is room."""
    reach, bearing = rng.uniform(*tier.target), rng.uniform(-0.42, 0.42)
    (colour, kind), *others = pairs
    target = Thing(
        kind, colour, float(reach * math.cos(bearing)), float(reach * math.sin(bearing))
    )
    boxes = [_first_box(target, rng)]
    stools: list[Stool] = []
    things = [target]

    def fits(x: float, y: float, radius: float) -> bool:
        standing: list[Thing | Box | Stool] = [*things, *boxes, *stools]
        gaps = [item.distance(x, y) - radius for item in standing]
        return min(gaps) >= _GAP and math.hypot(x, y) - radius >= 0.6

    if boxes[0].distance(0.0, 0.0) < 0.45 or not _fits_box(boxes[0], things):
        return None
    for colour, kind in others:
        radius = Thing(kind, colour).radius
        place = _free_place(lambda: _polar(rng, 1.4, tier.target[1] + 0.3, 0.62), radius, fits)
        if place is None:
            return None
        things.append(Thing(kind, colour, *place))
    for _ in range(int(rng.integers(tier.boxes[0], tier.boxes[1] + 1)) - 1):
        half_x, half_y = rng.uniform(0.10, 0.16), rng.uniform(0.10, 0.16)
        place = _free_place(lambda: _ahead(rng, target), math.hypot(half_x, half_y), fits)
        if place is None:
            return None
        boxes.append(Box(*place, rng.uniform(-0.4, 0.4), half_x, half_y, rng.uniform(0.14, 0.24)))
    for _ in range(int(rng.integers(tier.stools[0], tier.stools[1] + 1))):
        radius = rng.uniform(0.12, 0.17)
        place = _free_place(lambda: _ahead(rng, target), radius, fits)
        if place is None:
            return None
        stools.append(Stool(*place, radius, rng.uniform(0.35, 0.5)))
    return tuple(things), tuple(boxes), tuple(stools)


def _first_box(target: Thing, rng: np.random.Generator) -> Box:
    share = rng.uniform(0.42, 0.58)
    return Box(
        share * target.x,
        share * target.y + rng.uniform(-0.12, 0.12),
        rng.uniform(-0.4, 0.4),
        rng.uniform(0.10, 0.17),
        rng.uniform(0.12, 0.20),
        rng.uniform(0.14, 0.24),
    )


def _fits_box(box: Box, things: list[Thing]) -> bool:
    return all(box.distance(thing.x, thing.y) - thing.radius >= _GAP for thing in things)


def _free_place(
    draw: Callable[[], tuple[float, float]],
    radius: float,
    fits: Callable[[float, float, float], bool],
) -> tuple[float, float] | None:
    for _ in range(_TRIES):
        x, y = draw()
        if fits(x, y, radius):
            return x, y
    return None


def _polar(rng: np.random.Generator, near: float, far: float, wide: float) -> tuple[float, float]:
    reach, bearing = rng.uniform(near, far), rng.uniform(-wide, wide)
    return float(reach * math.cos(bearing)), float(reach * math.sin(bearing))


def _ahead(rng: np.random.Generator, target: Thing) -> tuple[float, float]:
    return float(rng.uniform(0.8, target.x + 0.5)), float(rng.uniform(-1.5, 1.5))


def _order(
    scenario: OpenScenario, things: tuple[Thing, ...], kept: bool, rng: np.random.Generator
) -> Order:
    drawn, sided, left = rng.random(3)
    named = scenario.colour is not None or scenario.side is not None or scenario.change
    if scenario.stop or (not named and 100 * drawn < STOPS_OF_100):
        return Order(None, None, say(rng, None, None, None, kept=kept))
    side = scenario.side or (("left" if left < 0.5 else "right") if sided < 0.5 else None)
    return Order(0, side, order_words(things, 0, side, kept, rng))


def order_words(
    things: tuple[Thing, ...], target: int, side: str | None, kept: bool, rng: np.random.Generator
) -> Said:
    """Draws how a thing is asked for: with its colour where its kind is not enough."""
    thing = things[target]
    alike = sum(other.kind == thing.kind for other in things) > 1
    return say(rng, thing.colour, thing.kind, side, kept=kept, colour_is_needed=alike)


def _walk(layout: OpenLayout, rng: np.random.Generator) -> Walk | None:
    """A way across the robot's own, free of all that stands; None where there is none."""
    goal = layout.things[layout.order.target or 0]
    x_min, x_max, y_min, y_max = layout.room
    driven = ways_of(layout)
    for _ in range(200):
        share, turn = rng.uniform(0.25, 0.75), rng.uniform(-0.6, 0.6)
        across = math.atan2(goal.y, goal.x) + math.pi / 2 + turn
        x, y = share * goal.x, share * goal.y
        near, far = (float(reach) for reach in rng.uniform(0.8, 1.7, 2))
        sign = 1 if rng.random() < 0.5 else -1
        dx, dy = sign * math.cos(across), sign * math.sin(across)
        walk = Walk(
            (x - near * dx, y - near * dy),
            (x + far * dx, y + far * dy),
            rng.uniform(0.4, 0.7),
            rng.uniform(0.0, 4.0),
            rng.uniform(1.0, 2.5),
        )  # fmt: skip
        ways = [walk.place(walk.length * part / 30) for part in range(31)]
        room = PERSON_RADIUS + 0.05
        if not all(
            x_min + room < px < x_max - room
            and y_min + room < py < y_max - room
            and layout.clearance(px, py) + ROBOT_RADIUS > room
            and math.hypot(px, py) > 0.7
            and all(thing.distance(px, py) > 0.75 for thing in (goal,))
            for px, py in ways
        ):
            continue
        # Whoever stands at an end of the way is out of the robot's.
        ends = np.array([walk.start, walk.end])
        if all(np.hypot(*(driven - end).T).min() > _OUT_OF_THE_WAY for end in ends):
            return walk
    return None
