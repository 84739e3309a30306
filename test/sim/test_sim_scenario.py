import numpy as np
import pytest

from mobile_vla_ros.sim.layout import BOTTLE_RADIUS, ROBOT_RADIUS, sample_layout
from mobile_vla_ros.sim.scenario import SCENARIOS, ScenarioError, parse_scenario


@pytest.mark.parametrize(
    ("name", "boxes", "side", "distance"),
    [
        ("1box_left", 1, "left", None),
        ("2box_right_far", 2, "right", "far"),
        ("1box_hori_left_core_medium", 1, "left", "medium"),
        ("2box_vert_close_right", 2, "right", "close"),
    ],
)
def test_the_labs_names_are_read(name, boxes, side, distance) -> None:
    scenario = parse_scenario(name)
    assert (scenario.boxes, scenario.side, scenario.distance) == (boxes, side, distance)
    assert scenario.instruction.endswith(f"bottle on the {side}")


@pytest.mark.parametrize(
    "name", ["", "3box_left", "1box", "left", "1box_left_right", "1box_left_up"]
)
def test_a_name_that_means_nothing_is_refused_with_the_names_that_do(name) -> None:
    with pytest.raises(ScenarioError, match="1box_left, 1box_right, 2box_left, 2box_right"):
        parse_scenario(name)


def test_left_and_right_of_one_seed_are_the_same_field() -> None:
    for seed in range(20):
        left, right = sample_layout("2box_left", seed), sample_layout("2box_right", seed)
        assert left.boxes == right.boxes
        assert (left.bottle, left.start, left.room) == (right.bottle, right.start, right.room)


def test_the_other_side_is_one_word_away() -> None:
    assert parse_scenario("1box_left_far").mirrored() == parse_scenario("1box_right_far")


def test_seeds_give_different_fields_and_distances_are_kept() -> None:
    assert len({sample_layout("1box_left", seed).bottle for seed in range(30)}) == 30
    near = {
        word: [sample_layout(f"1box_left_{word}", seed).boxes[0].x for seed in range(20)]
        for word in ("close", "medium", "far")
    }
    assert np.mean(near["close"]) < np.mean(near["medium"]) < np.mean(near["far"])


@pytest.mark.parametrize("name", SCENARIOS)
def test_in_every_field_robot_boxes_and_bottle_stand_apart(name) -> None:
    for seed in range(200):
        layout = sample_layout(name, seed)
        assert layout.clearance(*layout.start[:2]) > 0.4
        gap = min(box.distance(*layout.bottle) for box in layout.boxes)
        assert gap > 2 * (ROBOT_RADIUS + BOTTLE_RADIUS)
        if len(layout.boxes) == 2:
            first, second = layout.boxes
            assert min(first.distance(*corner) for corner in second.corners()) > 0
            assert min(second.distance(*corner) for corner in first.corners()) > 0
