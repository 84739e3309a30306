"""Slots change sides with messages: one frame is worked on, the newest waits."""

from __future__ import annotations

from mobile_vla_ros.nodes.inference.messages import FramePassed, FrameTaken
from mobile_vla_ros.nodes.inference.model import Frame
from mobile_vla_ros.nodes.inference.turns import FrameTurns


def frame(stamp: float) -> Frame:
    return Frame(stamp, round(stamp * 1e9), 1, "go", None, stamp)


def put(turns: FrameTurns, stamp: float) -> int:
    slot = turns.free_slot()
    turns.wait(slot, 10, frame(stamp))
    return slot


def test_the_newest_waits_in_the_slot_that_the_process_does_not_have() -> None:
    turns = FrameTurns(2)
    first = put(turns, 1.0)
    order = turns.next_order(feature=False)
    assert order is not None
    assert (order.slot, order.frame.stamp) == (first, 1.0)
    assert put(turns, 2.0) != first
    assert put(turns, 3.0) != first
    assert turns.next_order(feature=False) is None
    assert turns.replaced == 1
    assert turns.answered(FramePassed(order.id)) == order.frame
    after = turns.next_order(feature=True)
    assert after is not None
    assert (after.frame.stamp, after.feature) == (3.0, True)


def test_a_frame_that_was_taken_frees_its_slot_and_is_answered_later() -> None:
    turns = FrameTurns(2)
    put(turns, 1.0)
    first = turns.next_order(feature=False)
    assert first is not None
    turns.answered(FrameTaken(first.id))
    put(turns, 2.0)
    second = turns.next_order(feature=False)
    assert second is not None
    assert turns.answered(FramePassed(first.id)) == first.frame
    assert turns.answered(FramePassed(first.id)) is None
    assert turns.answered(FramePassed(second.id)) == second.frame


def test_what_an_ended_process_owed_is_never_answered() -> None:
    turns = FrameTurns(2)
    put(turns, 1.0)
    order = turns.next_order(feature=False)
    assert order is not None
    turns.clear()
    assert turns.answered(FramePassed(order.id)) is None
    assert turns.free_slot() == 0
