import math

import pytest

from mobile_vla_ros.sim.open_field.layout import KEPT_ROOMS
from mobile_vla_ros.sim.open_field.person import GIVES_WAY, Person, Walk
from mobile_vla_ros.sim.open_field.placement import TIER, sample_open_layout
from mobile_vla_ros.sim.open_field.route import NARROWEST, STOP_GAP, route_of
from mobile_vla_ros.sim.open_field.things import KEPT_PAIRS

SEEDS = range(40)


@pytest.mark.parametrize("tier", TIER)
def test_every_field_can_be_driven_with_air_to_all_sides(tier: str) -> None:
    for seed in SEEDS:
        layout = sample_open_layout(f"open_{tier}", seed)
        x, y, _ = layout.start
        assert layout.clearance(x, y) > 0.2
        assert TIER[tier].things[0] <= len(layout.things) <= TIER[tier].things[1]
        assert len({thing.name for thing in layout.things}) == len(layout.things)
        if layout.target is None:
            continue
        route = route_of(layout)
        way = route.way(x, y)
        assert min(layout.clearance(px, py) for px, py in way) > NARROWEST - 0.04
        assert layout.target.distance(*way[-1]) == pytest.approx(STOP_GAP, abs=0.06)
        shortest = route_of(layout, shortest=True).length(x, y)
        straight = layout.target.distance(x, y) - STOP_GAP
        assert straight - 0.15 < shortest < route.length(x, y) + 0.1


def test_the_way_passes_the_first_box_on_the_asked_side() -> None:
    for side in ("left", "right"):
        for seed in range(10):
            layout = sample_open_layout(f"open_hard_{side}", seed)
            box = layout.boxes[0]
            way = route_of(layout).way(*layout.start[:2])
            crossing = way[abs(way[:, 0] - box.x).argmin()]
            assert (crossing[1] > box.y) == (side == "left")


def test_kept_pairs_and_rooms_appear_only_where_they_are_asked_for() -> None:
    kept = set(KEPT_PAIRS)
    plain = [sample_open_layout("open_medium", seed) for seed in SEEDS]
    new = [sample_open_layout("open_medium_new", seed) for seed in SEEDS]
    for layout in plain:
        assert layout.style not in KEPT_ROOMS
        assert not layout.order.said.kept
        assert not kept & {(thing.colour, thing.kind) for thing in layout.things}
    assert any(layout.style in KEPT_ROOMS for layout in new)
    assert any(layout.order.said.kept for layout in new)
    assert any((x.things[0].colour, x.things[0].kind) in kept for x in new)


def test_a_seed_gives_the_same_field_and_another_seed_another() -> None:
    first = sample_open_layout("open_hard", 5)
    sample_open_layout.cache_clear()
    assert sample_open_layout("open_hard", 5) == first
    assert sample_open_layout("open_hard", 6) != first


def test_a_named_thing_is_what_is_asked_for() -> None:
    layout = sample_open_layout("open_medium_red_bottle", 3)
    assert layout.target is not None
    assert layout.target.name == "red bottle"
    assert layout.order.said.text
    changed = sample_open_layout("open_easy_change", 3)
    assert changed.second is not None
    assert changed.second.target != changed.order.target


def test_a_person_walks_to_and_fro_and_waits_for_a_robot_ahead() -> None:
    walk = Walk((1.0, -1.0), (1.0, 1.0), speed=0.5, waits=1.0, pause=1.0)
    person = Person(walk)
    places = []
    for _ in range(100):
        person.advance(0.1, (0.0, 0.0))
        places.append(person.seen.y)
    assert max(places) == pytest.approx(1.0)
    assert places[9] == pytest.approx(-1.0)
    assert person.seen.vy < 0
    blocked = Person(walk)
    near, turned = [], False
    for _ in range(100):
        blocked.advance(0.1, (1.0, 0.0))
        near.append(math.dist((blocked.seen.x, blocked.seen.y), (1.0, 0.0)))
        turned = turned or blocked.seen.vy < 0
    assert min(near) >= GIVES_WAY - 0.06
    assert turned
