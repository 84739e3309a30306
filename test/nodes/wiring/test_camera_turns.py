"""One camera, one camera started anew, and two in turns."""

from __future__ import annotations

from mobile_vla_ros.nodes.wiring.voices import TURNS, Turns


def heard(messages: list[tuple[int | None, str]], period: float = 0.05) -> Turns:
    turns = Turns()
    for index, (number, frame_id) in enumerate(messages):
        turns.hear(number, frame_id, index * period)
    return turns


def test_one_camera_is_one_however_many_frames_are_lost() -> None:
    turns = heard([(number, "camera") for number in (1, 2, 5, 9, 30, 31)])
    assert not turns.two(1, 0.3)


def test_a_camera_that_was_started_anew_is_one() -> None:
    turns = heard([(n, "camera") for n in (50, 51, 1, 2, 3)])
    assert not turns.two(1, 0.3)


def test_two_cameras_in_turns_are_two_until_one_has_been_quiet() -> None:
    turns = heard([(100, "camera"), (7, "camera"), (101, "camera"), (8, "camera")] * 3)
    assert turns.two(2, 0.6)
    for index in range(60):
        turns.hear(200 + index, "camera", 0.6 + index * 0.05)
    assert not turns.two(1, 0.6 + TURNS + 1.0)


def test_two_frames_in_turns_are_two_cameras() -> None:
    turns = heard([(None, "left"), (None, "right")] * 4)
    assert turns.two(1, 0.4)


def test_three_frames_in_turns_are_several_cameras() -> None:
    turns = heard([(None, "left"), (None, "front"), (None, "right")] * 4)
    assert turns.two(1, 0.6)


def test_a_camera_that_numbers_its_frames_is_one() -> None:
    turns = heard([(n, f"frame_{n}") for n in range(10)])
    assert not turns.two(1, 0.5)


def test_publishers_that_have_said_nothing_yet_are_no_two_cameras() -> None:
    assert not Turns().two(2, 0.1)
    assert heard([(None, "camera")]).two(2, 0.1)
