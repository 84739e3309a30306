import math

import pytest

from mobile_vla_ros.sim import outcome as rules
from mobile_vla_ros.sim.layout import sample_layout
from mobile_vla_ros.sim.outcome import Judge

LAYOUT = sample_layout("1box_left_medium", 3)
BOX, BOTTLE = LAYOUT.boxes[0], LAYOUT.bottle
BESIDE = 0.6


def judged(places, *, stand=1.2, speed=0.0, touched=None, limit=30.0, layout=LAYOUT):
    """A run through (x, y, yaw) places, half a second apart, then standing at the last one."""
    judge = Judge(layout, limit)
    now = 0.0
    for place in places:
        judge.update(now, place, (0.3, 0.0))
        now += 0.5
    end = now + stand
    while now <= end + 1e-9:
        judge.update(now, places[-1], (speed, 0.0), touched)
        now += 0.1
    return judge.outcome()


def before_the_bottle(distance=0.37, off=0.0):
    """A way round the left side to a place before the bottle, turned away by ``off`` rad."""
    return [
        (0.0, 0.0, 0.0),
        (BOX.x - 0.1, BOX.y + BESIDE, 0.0),
        (BOX.x + 0.1, BOX.y + BESIDE, 0.0),
        (BOTTLE[0] - distance, BOTTLE[1], off),
    ]


def test_standing_before_the_bottle_is_success() -> None:
    outcome = judged(before_the_bottle())
    assert outcome.success
    assert outcome.reason == rules.REACHED
    assert outcome.passed == ("left",)
    assert outcome.driving_time == pytest.approx(2.0)
    assert outcome.distance == pytest.approx(0.37)


@pytest.mark.parametrize(("distance", "off"), [(0.499, 0.0), (0.37, 0.34), (0.37, -0.34)])
def test_the_edges_of_the_tolerance_are_inside(distance, off) -> None:
    assert judged(before_the_bottle(distance, off)).success


def test_the_passing_speed_is_not_a_stop() -> None:
    assert judged(before_the_bottle(), speed=0.06, stand=5).reason == rules.RUNNING


def test_less_than_a_second_is_not_a_stop() -> None:
    assert judged(before_the_bottle(), stand=0.8).reason == rules.RUNNING


@pytest.mark.parametrize(
    ("places", "reason"),
    [
        (before_the_bottle(0.6), rules.TOO_FAR),
        (before_the_bottle(0.37, math.radians(21)), rules.NOT_FACING),
        (before_the_bottle(1.1), rules.TIMED_OUT),
        ([(0.0, 0.0, 0.0)], rules.TIMED_OUT),
    ],
)
def test_what_is_missing_at_the_end_is_named(places, reason) -> None:
    outcome = judged(places, stand=30.0)
    assert not outcome.success
    assert outcome.reason == reason


def test_still_driving_at_the_limit_is_a_time_out() -> None:
    assert judged(before_the_bottle(), speed=0.2, stand=30.0).reason == rules.TIMED_OUT


def test_the_other_side_of_the_box_is_wrong() -> None:
    places = [(0.0, 0.0, 0.0), (BOX.x + 0.1, BOX.y - BESIDE, 0.0)]
    outcome = judged(places)
    assert outcome.reason == rules.WRONG_SIDE
    assert outcome.passed == ("right",)


def test_both_boxes_must_be_passed_on_the_asked_side() -> None:
    layout = sample_layout("2box_vert_left", 1)
    near, far = layout.boxes
    between = (near.x + far.x) / 2
    places = [
        (0.0, 0.0, 0.0),
        (between, near.y + BESIDE, 0.0),
        (far.x + 0.1, far.y - BESIDE, 0.0),
    ]
    outcome = judged(places, layout=layout)
    assert outcome.reason == rules.WRONG_SIDE
    assert outcome.passed == ("left", "right")


@pytest.mark.parametrize("reason", rules.TOUCHES)
def test_touching_anything_ends_it(reason) -> None:
    outcome = judged(before_the_bottle(), touched=reason)
    assert outcome.reason == reason
    assert outcome.collided
    assert not outcome.success


def test_once_decided_nothing_changes() -> None:
    judge = Judge(LAYOUT)
    judge.update(0.0, (0.0, 0.0, 0.0), (0.0, 0.0), rules.TOUCHED_WALL)
    before = judge.outcome()
    for step in range(30):
        judge.update(0.1 * step, (BOTTLE[0] - 0.3, BOTTLE[1], 0.0), (0.0, 0.0))
    assert judge.outcome() == before


def test_a_run_that_is_given_up_says_what_was_missing() -> None:
    judge = Judge(LAYOUT)
    for step, place in enumerate(before_the_bottle(0.6)):
        judge.update(0.1 * step, place, (0.0, 0.0))
    assert judge.if_ended() == rules.TOO_FAR
    assert judge.outcome().reason == rules.RUNNING
    judge.conclude()
    assert judge.outcome().reason == judge.if_ended() == rules.TOO_FAR


def test_path_length_and_clearance_are_measured() -> None:
    outcome = judged([(0.0, 0.0, 0.0), (0.3, 0.4, 0.0)])
    assert outcome.path_length == pytest.approx(0.5)
    assert outcome.clearance == pytest.approx(
        min(LAYOUT.clearance(0.0, 0.0), LAYOUT.clearance(0.3, 0.4))
    )
