"""Keys as velocities, on an injected clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobile_vla_ros.control.keyboard import Keyboard, KeyboardSettings, KeyDecoder
from mobile_vla_ros.errors import InputError


@pytest.mark.parametrize(
    ("key", "direction"),
    [
        ("w", (1, 0, 0)),
        ("s", (-1, 0, 0)),
        ("a", (0, 1, 0)),
        ("d", (0, -1, 0)),
        ("q", (1, 1, 0)),
        ("e", (1, -1, 0)),
        ("z", (-1, 1, 0)),
        ("c", (-1, -1, 0)),
        ("r", (0, 0, 1)),
        ("t", (0, 0, -1)),
        ("W", (1, 0, 0)),
    ],
)
def test_each_key_drives_in_its_direction(key: str, direction: tuple[int, int, int]) -> None:
    keyboard = Keyboard(KeyboardSettings(linear_speed=0.5, angular_speed=0.25))
    keyboard.press(key, 0.0)
    x, y, turn = direction
    assert keyboard.velocities(0.1) == (0.5 * x, 0.5 * y, 0.25 * turn)


@pytest.mark.parametrize(
    ("key", "direction"),
    [
        ("a", (0, 0, 1)),
        ("d", (0, 0, -1)),
        ("q", (1, 0, 1)),
        ("e", (1, 0, -1)),
        ("z", (-1, 0, -1)),
        ("c", (-1, 0, 1)),
    ],
)
def test_a_base_that_cannot_strafe_turns_instead(
    key: str, direction: tuple[int, int, int]
) -> None:
    keyboard = Keyboard(KeyboardSettings(strafe=False, linear_speed=1.0, angular_speed=1.0))
    keyboard.press(key, 0.0)
    assert keyboard.velocities(0.0) == direction


def test_a_press_counts_four_tenths_of_a_second() -> None:
    keyboard = Keyboard()
    keyboard.press("w", 10.0)
    assert keyboard.velocities(10.399)[0] == 0.3
    assert keyboard.velocities(10.4) == (0.0, 0.0, 0.0)
    assert keyboard.key(10.4) == ""


def test_a_second_press_starts_the_hold_again() -> None:
    keyboard = Keyboard()
    keyboard.press("w", 0.0)
    keyboard.press("w", 0.3)
    assert keyboard.velocities(0.69)[0] > 0
    assert keyboard.velocities(0.7)[0] == 0


def test_a_held_key_drives_without_a_gap_before_it_repeats() -> None:
    keyboard = Keyboard(KeyboardSettings(held_keys=True))
    times = [0.0, *[0.6 + 0.033 * k for k in range(20)]]  # a usual key repeat
    presses = [keyboard.press("w", now) for now in times]
    assert [press.repeated for press in presses] == [False] + [True] * 20
    keyboard = Keyboard(KeyboardSettings(held_keys=True))
    now, pending = 0.0, list(times)
    while now < times[-1] + 0.39:
        while pending and pending[0] <= now:
            keyboard.press("w", pending.pop(0))
        assert keyboard.velocities(now)[0] > 0, now
        now += 0.01
    assert keyboard.velocities(times[-1] + 0.41)[0] == 0


def test_a_repetition_does_not_cut_the_first_hold_short() -> None:
    keyboard = Keyboard(KeyboardSettings(held_keys=True))
    keyboard.press("w", 0.0)
    keyboard.press("w", 0.1)
    assert keyboard.velocities(0.65)[0] > 0


def test_another_key_replaces_the_one_in_force_at_once() -> None:
    keyboard = Keyboard()
    keyboard.press("w", 0.0)
    keyboard.press("r", 0.1)
    assert keyboard.velocities(0.1) == (0.0, 0.0, 1.0)
    assert keyboard.velocities(0.55) == (0.0, 0.0, 0.0)


def test_space_stops_at_once() -> None:
    keyboard = Keyboard()
    keyboard.press("w", 0.0)
    assert keyboard.press(" ", 0.1).velocities == (0.0, 0.0, 0.0)
    assert keyboard.velocities(0.1) == (0.0, 0.0, 0.0)


def test_other_keys_do_not_drive() -> None:
    keyboard = Keyboard()
    for key in ("n", "m", "1", "\x1b", "컵", "ä", ""):
        assert keyboard.press(key, 0.0) is None
    assert keyboard.velocities(0.0) == (0.0, 0.0, 0.0)


def test_speeds_change_in_steps_up_to_their_limits() -> None:
    keyboard = Keyboard(KeyboardSettings(linear_speed=1.0, max_linear=1.15))
    assert keyboard.change_speed("+")
    assert keyboard.linear_speed == pytest.approx(1.1)
    keyboard.change_speed("=")
    assert keyboard.linear_speed == 1.15
    keyboard.change_speed("-")
    assert keyboard.linear_speed == pytest.approx(1.15 / 1.1)
    keyboard.change_speed(",")
    assert keyboard.angular_speed == pytest.approx(1 / 1.1)
    assert not keyboard.change_speed("w")
    assert not keyboard.change_speed("")


@given(st.lists(st.tuples(st.sampled_from("wsadqezcrt n"), st.floats(0.0, 1.0))), st.booleans())
def test_whatever_is_pressed_the_robot_stands_after_the_longest_hold(
    presses: list[tuple[str, float]], held: bool
) -> None:
    keyboard, now = Keyboard(KeyboardSettings(held_keys=held)), 0.0
    for key, pause in presses:
        now += pause
        keyboard.press(key, now)
    assert keyboard.velocities(now + 0.71) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    "changes",
    [
        {"linear_speed": 0.0},
        {"linear_speed": 2.0},
        {"hold": float("nan")},
        {"first_hold": 0.1},
        {"speed_step": 1.0},
    ],
)
def test_settings_that_make_no_sense_are_refused(changes: dict) -> None:
    with pytest.raises(InputError):
        KeyboardSettings(**changes)


def test_arrow_and_function_keys_do_not_drive() -> None:
    decoder = KeyDecoder()
    assert decoder.feed(b"\x1b[A\x1b[1;5Dw\x1bOP\x1b[15~s") == ["w", "s"]


def test_a_sequence_in_pieces_and_a_lone_escape_are_told_apart() -> None:
    decoder = KeyDecoder()
    assert decoder.feed(b"\x1b") == []
    assert decoder.feed(b"[") == []
    assert decoder.feed(b"Aw") == ["w"]
    assert decoder.pause() == []
    assert decoder.feed(b"\x1b") == []
    assert decoder.pause() == ["\x1b"]
    assert decoder.feed(b"a") == ["a"]


def test_a_character_of_several_bytes_is_one_key_even_in_pieces() -> None:
    decoder = KeyDecoder()
    data = "컵".encode()
    assert decoder.feed(data[:1]) == []
    assert decoder.feed(data[1:]) == ["컵"]
    assert decoder.feed(b"\xff" + b"w") == ["w"]
