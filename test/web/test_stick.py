"""Letting go means standing, on a virtual clock, over sockets as bad as they come."""

from __future__ import annotations

import heapq
import math

import numpy as np
import pytest

from mobile_vla_ros.web import stick as rules
from mobile_vla_ros.web.stick import Stick

TICK = 0.05
# Zero is due this long after the last fresh message was sent.
LIMIT = 0.3


def held(now: float = 10.0) -> Stick:
    one = Stick(0.3, 1.0)
    one.join("a", "phone", now)
    assert one.hold("a", 1, one.beat(now), 0.0, 1.0, now + 0.02) == ""
    return one


def test_held_forward_is_forward_and_held_right_turns_right() -> None:
    one = held()
    wish = one.tick(10.05)
    assert (wish.held, wish.linear, wish.angular) == (True, 0.3, 0.0)
    one.hold("a", 2, one.beat(10.1), 0.5, 0.0, 10.12)
    assert one.tick(10.13).angular == pytest.approx(-0.5)


def test_the_finger_up_is_zero_at_once_then_silence() -> None:
    one = held()
    one.let_go("a", 10.04)
    assert one.tick(10.05).held is False
    assert one.tick(10.05 + rules.FAREWELL_SECONDS + 0.1).held is None


def test_a_page_that_hangs_while_the_stick_is_held_stands() -> None:
    one = held()
    assert one.tick(10.0 + LIMIT).held is False


def test_a_closed_tab_stands_and_frees_the_stick() -> None:
    one = held()
    one.leave("a", 10.05)
    assert one.tick(10.06).held is False
    assert one.driver is None


def test_what_is_delivered_two_seconds_late_moves_nothing() -> None:
    one = held()
    beats = [one.beat(10.0 + k / 10) for k in range(1, 5)]
    assert one.tick(10.4).held is False
    for number, beat in enumerate(beats, 2):
        assert one.hold("a", number, beat, 0.0, 1.0, 12.4) == rules.OLD
        assert one.tick(12.4).held is not True


def test_a_repeated_message_or_one_that_was_overtaken_is_not_taken() -> None:
    one = held()
    beat = one.beat(10.1)
    assert one.hold("a", 5, beat, 0.0, 1.0, 10.12) == ""
    assert one.hold("a", 5, beat, 0.0, 1.0, 10.13) == rules.REPEATED
    assert one.hold("a", 4, beat, 0.0, 1.0, 10.14) == rules.REPEATED


def test_a_position_that_is_no_number_puts_the_stick_down() -> None:
    one = held()
    assert one.hold("a", 2, one.beat(10.05), math.nan, 1.0, 10.06) == rules.NO_NUMBER
    assert one.tick(10.07).held is False


def test_of_two_phones_one_drives_and_the_other_asks() -> None:
    one = held()
    one.join("b", "tablet", 10.0)
    beat = one.beat(10.05)
    assert one.hold("b", 1, beat, 0.0, -1.0, 10.06) == rules.NOT_DRIVER
    assert one.tick(10.07).linear > 0
    assert not one.ask("b", 10.1)
    assert one.name(one.asking) == "tablet"
    assert one.grant("a", 10.2)
    # Handing over stands still first.
    assert one.tick(10.21).held is False
    assert one.hold("b", 2, one.beat(10.3), 0.0, -1.0, 10.31) == ""
    assert one.tick(10.32).linear < 0


def test_a_driver_who_neither_holds_nor_answers_gives_the_stick_up() -> None:
    one = held()
    one.let_go("a", 10.1)
    one.join("b", "tablet", 10.1)
    one.ask("b", 10.2)
    one.tick(10.3 + rules.ASK_SECONDS)
    assert one.driver == "b"


def play(seed: int) -> tuple[int, int]:
    """A page on a bad link; returns how many ticks moved and how many stood."""
    rng = np.random.default_rng(seed)
    one = Stick(0.3, 1.0)
    one.join("a", "phone", 0.0)
    delay = float(rng.uniform(0.005, 0.15))
    newest_beat, number = -1, 0
    holding = False
    arriving: list[tuple[float, int, float, tuple]] = []
    stalled_until = hung_until = 0.0
    last_sent_fresh = -math.inf
    moved = stood = 0
    count = 0
    down: list[tuple[float, int]] = []
    for step in range(400):
        now = step * 0.02
        if rng.random() < 0.01:
            stalled_until = now + float(rng.choice([0.1, 0.5, 2.0]))
        if rng.random() < 0.005:
            hung_until = now + float(rng.choice([0.2, 1.0, 3.0]))
        if step % 5 == 0:
            heapq.heappush(down, (now + delay * float(rng.uniform(0.5, 2)), one.beat(now)))
        while down and down[0][0] <= now and now >= stalled_until:
            newest_beat = max(newest_beat, heapq.heappop(down)[1])
        if rng.random() < 0.03:
            holding = not holding
            if not holding and now >= hung_until:
                count += 1
                arriving.append((now + delay, count, now, ("let_go",)))
        if holding and now >= hung_until and rng.random() < 0.4:
            number += 1
            count += 1
            due = max(now, stalled_until) + delay * float(rng.uniform(0.5, 2))
            arriving.append((due, count, now, ("hold", number, newest_beat)))
        for entry in sorted(one_ for one_ in arriving if one_[0] <= now):
            _, _, sent, message = entry
            if message[0] == "let_go":
                one.let_go("a", now)
            elif one.hold("a", message[1], message[2], 0.0, 1.0, now) == "":
                # Whatever is taken was sent a moment ago, by the truth and not by any clock.
                assert now - sent <= rules.FRESH_SECONDS + 1e-9, f"seed {seed}, {now:.2f} s"
                last_sent_fresh = max(last_sent_fresh, sent)
        arriving = [one_ for one_ in arriving if one_[0] > now]
        wish = one.tick(now)
        if wish.held:
            moved += 1
            assert now - last_sent_fresh <= LIMIT + 1e-9, f"seed {seed}, {now:.2f} s: too long"
        else:
            stood += 1
            assert wish.linear == wish.angular == 0.0
    return moved, stood


def test_no_schedule_moves_the_base_past_the_last_fresh_message() -> None:
    moved, stood = np.sum([play(seed) for seed in range(500)], axis=0)
    assert moved > 10000
    assert stood > 10000
