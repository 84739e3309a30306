"""Whose frame comes next, without any socket."""

from __future__ import annotations

from dataclasses import dataclass

from mobile_vla_ros.serving.seats import Seats


@dataclass(frozen=True)
class Frame:
    generation: int
    stamp: float


def seats(*robots: str) -> Seats:
    made = Seats(limit=4)
    for robot in robots:
        assert made.take_seat(robot)
    return made


def test_only_the_newest_frame_of_a_robot_waits() -> None:
    made = seats("a")
    first, second = Frame(1, 1.0), Frame(1, 2.0)
    assert made.offer("a", first) is None
    assert made.offer("a", second) is first
    assert made.next() == ("a", second)
    assert made.next() is None


def test_a_frame_that_was_overtaken_is_passed_over() -> None:
    made = seats("a")
    made.offer("a", Frame(1, 2.0))
    made.next()
    late = Frame(1, 1.0)
    assert made.offer("a", late) is late


def test_a_new_order_counts_more_than_a_stamp() -> None:
    made = seats("a")
    made.offer("a", Frame(1, 100.0))
    made.next()
    assert made.offer("a", Frame(2, 5.0)) is None
    old = Frame(1, 101.0)
    assert made.offer("a", old) is old
    assert made.next() == ("a", Frame(2, 5.0))


def test_robots_take_turns_however_often_one_of_them_asks() -> None:
    made = seats("busy", "calm")
    served = []
    for index in range(20):
        made.offer("busy", Frame(1, index))
        made.offer("busy", Frame(1, index + 0.5))
        made.offer("calm", Frame(1, index))
        served.append(made.next()[0])
    assert served.count("busy") == served.count("calm") == 10


def test_a_seat_more_than_there_are_is_refused_and_a_left_one_is_free() -> None:
    made = seats("a", "b", "c", "d")
    assert not made.take_seat("e")
    waiting = Frame(1, 1.0)
    made.offer("a", waiting)
    assert made.leave("a") is waiting
    assert made.take_seat("e")
