"""A gamepad drives while its deadman is held, and by the page's mapping."""

from __future__ import annotations

import math

import pytest

from mobile_vla_ros.control.gamepad import RELEASE_SECONDS, Gamepad, Pad


def test_the_stick_counts_only_while_the_deadman_is_held() -> None:
    pad = Gamepad()
    pad.hear(Pad(y=1.0), 0.0)
    assert pad.stick(0.0) is None
    pad.hear(Pad(y=1.0, held=True), 1.0)
    assert pad.stick(100.0) == (0.0, pytest.approx(0.3))
    pad.hear(Pad(x=-1.0, y=0.1, trigger=1.0, held=True), 2.0)
    assert pad.stick(2.0) == (pytest.approx(-1.0), 0.0)
    pad.lost()
    assert pad.stick(2.0) is None


def test_a_pad_that_falls_silent_is_not_held() -> None:
    pad = Gamepad(timeout=0.2)
    pad.hear(Pad(y=1.0, held=True), 0.0)
    assert pad.stick(0.19) is not None
    assert pad.stick(0.21) is None


def test_a_position_that_is_no_number_is_not_held() -> None:
    pad = Gamepad()
    pad.hear(Pad(y=math.nan, held=True), 0.0)
    assert pad.stick(0.0) is None


def test_stop_is_told_once_a_press_and_its_release_takes_a_second() -> None:
    pad = Gamepad()
    assert pad.hear(Pad(stop=True), 0.0) == (True, False)
    assert pad.hear(Pad(stop=True, x=1.0), 0.1) == (False, False)
    assert pad.hear(Pad(release=True), 1.0) == (False, False)
    assert not pad.tick(1.0 + 0.9 * RELEASE_SECONDS)
    pad.hear(Pad(), 1.95)
    assert not pad.tick(3.0)
    pad.hear(Pad(release=True), 4.0)
    assert pad.tick(4.0 + RELEASE_SECONDS)
    assert not pad.tick(6.0)
