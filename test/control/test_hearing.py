"""Nobody who speaks on a safety input goes unheard, on a virtual graph with DDS's own rules."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pytest

from mobile_vla_ros.control.guard import UNHEARD, CommandGuard, GuardSettings
from mobile_vla_ros.control.hearing import ROUTES, SETTLE_SECONDS, Hearing, Offer, Words

BOOL = "std_msgs/msg/Bool"
TWIST = "geometry_msgs/msg/Twist"
STAMPED = "geometry_msgs/msg/TwistStamped"
AHEAD = (0.3, 0.0, 0.0, 0.0, 0.0, 0.0)
DISCOVERY = 0.15
LOOK = 0.1
TICK = 0.02


def offer(number: int = 1, *, reliable=True, latched=False, kind=BOOL) -> Offer:
    return Offer(number, kind, reliable, latched, f"node_{number}")


def test_a_publisher_of_another_type_cannot_be_heard() -> None:
    hearing = Hearing("estop", (BOOL,))
    hearing.graph([offer(kind="std_msgs/msg/Int8")], 0.0)
    assert "std_msgs/msg/Int8" in hearing.deaf(10.0)


def test_a_last_word_that_no_route_brings_over_is_named_until_it_is_said_again() -> None:
    hearing = Hearing("estop", (BOOL,))
    hearing.graph([offer(reliable=False, latched=True)], 0.0)
    assert "best effort" in hearing.deaf(100.0)
    hearing.heard_latched(101.0)
    assert hearing.deaf(101.0) is None


def test_a_latched_publisher_gets_a_second_to_be_heard() -> None:
    hearing = Hearing("estop", (BOOL,))
    hearing.graph([offer(latched=True)], 5.0)
    assert hearing.deaf(5.5)
    hearing.heard_latched(5.6)
    assert hearing.deaf(5.6) is None
    hearing.graph([offer(latched=True), offer(2, latched=True)], 7.0)
    assert hearing.deaf(7.5)
    assert hearing.deaf(7.0 + SETTLE_SECONDS) is None


def test_the_word_of_one_latched_publisher_is_not_the_word_of_another() -> None:
    hearing = Hearing("estop", (BOOL,))
    hearing.graph([offer(latched=True), offer(2, reliable=False, latched=True)], 0.0)
    # Sent reliably: it was the first one's.
    hearing.heard_latched(0.1, best_effort=False)
    assert "node_2" in hearing.deaf(50.0)
    # It cannot be told whose this was.
    hearing.heard_latched(50.0)
    assert "node_2" in hearing.deaf(50.0)
    hearing.heard_latched(51.0, best_effort=True)
    assert hearing.deaf(51.0) is None


def test_of_two_that_send_their_last_words_best_effort_none_is_known_to_be_heard() -> None:
    hearing = Hearing("estop", (BOOL,))
    first, second = (offer(n, reliable=False, latched=True) for n in (1, 2))
    hearing.graph([first], 0.0)
    hearing.heard_latched(0.1, best_effort=True)
    assert hearing.deaf(0.1) is None
    hearing.graph([first, second], 1.0)
    hearing.heard_latched(1.1, best_effort=True)
    assert "node_2" in hearing.deaf(9.0)
    hearing.graph([first], 10.0)
    assert hearing.deaf(10.0) is None


def test_a_publisher_that_is_listed_and_never_matched_cannot_be_heard() -> None:
    hearing = Hearing("estop", (BOOL,))
    hearing.graph([offer()], 0.0, matched=0)
    assert hearing.deaf(0.0) is None  # it is just being discovered
    hearing.graph([offer()], 0.1, matched=0)
    assert "partition" in hearing.deaf(0.1)
    hearing.graph([offer()], 0.2, matched=1)
    assert hearing.deaf(0.2) is None
    hearing.graph([offer(), offer(2)], 0.3, matched=None)
    assert hearing.deaf(5.0) is None  # a rclpy that cannot tell


def test_a_word_counts_once_and_none_that_was_overtaken_lets_the_robot_move() -> None:
    words = Words(frees=True, most=40)
    second = 10**9
    assert words.counts(True, 1 * second)
    assert not words.counts(True, 1 * second)
    assert words.counts(False, 2 * second)
    # Sent before the button was let go, and brought by a route that is behind.
    assert not words.counts(True, 2 * second - 1)
    # What stops counts however late it is.
    assert words.counts(False, 2 * second - 2)
    assert words.counts(True, 2 * second + 1)


def test_a_clock_that_was_set_back_does_not_silence_a_button() -> None:
    words = Words(frees=True, most=40)
    second = 10**9
    assert words.counts(True, 1000 * second)
    assert words.counts(True, 970 * second)
    assert words.counts(True, 971 * second)
    assert not words.counts(True, 970 * second + 1)
    words.forget()  # somebody has come or gone
    assert words.counts(True, 970 * second + 2)
    assert words.counts(True, 0)
    assert words.counts(True, 0)


def test_velocities_of_two_types_cannot_both_be_heard() -> None:
    hearing = Hearing("policy_cmd_vel", (TWIST, STAMPED), one_type=True)
    hearing.graph([offer(1, kind=TWIST)], 0.0)
    assert hearing.deaf(0.0) is None
    hearing.graph([offer(1, kind=TWIST), offer(2, kind=STAMPED)], 1.0)
    assert "two types" in hearing.deaf(5.0)


@dataclass
class Publisher:
    """Somebody on the network, with DDS's rules of who hears whom."""

    offer: Offer
    topic: str
    value: object
    rate: float
    born: float
    dies: float
    next: float = 0.0
    last: object = None
    delivered: bool = False
    said_to: set = field(default_factory=set)

    def matches(self, route: tuple[bool, bool]) -> bool:
        reliable, latched = route
        right = self.offer.type in (BOOL, TWIST)
        return right and self.offer.reliable >= reliable and self.offer.latched >= latched

    def replays(self, route: tuple[bool, bool]) -> bool:
        """Whether a late route gets the last word: only over a reliable, latched pair."""
        return self.matches(route) and route == (True, True)


def draw_publisher(rng: np.random.Generator, number: int, topic: str) -> Publisher:
    kind = TWIST if topic.endswith("cmd_vel") else BOOL
    if rng.random() < 0.1:
        kind = "std_msgs/msg/Int8" if kind == BOOL else STAMPED
    made = Offer(number, kind, bool(rng.random() < 0.5), bool(rng.random() < 0.5), f"n{number}")
    born = float(rng.uniform(-3, 3))
    dies = born + float(rng.uniform(0.5, 8)) if rng.random() < 0.3 else 100.0
    rate = float(rng.choice([0.0, 5.0, 20.0, 50.0]))
    value = AHEAD if kind == TWIST else bool(rng.random() < 0.6)
    return Publisher(made, topic, value, rate, born, dies, next=born)


def play(seed: int) -> str:
    """One combination of publishers; returns how it was at its end."""
    rng = np.random.default_rng(seed)
    gate = CommandGuard(GuardSettings())
    gate.deaf("listening")
    buttons = ("estop", "deadman", "operator_deadman")
    hearings = {name: Hearing(name, (BOOL,)) for name in buttons}
    hearings["policy_cmd_vel"] = Hearing(
        "policy_cmd_vel", (TWIST, STAMPED), one_type=True, settle=SETTLE_SECONDS
    )
    policy = Publisher(
        Offer(0, TWIST, bool(rng.random() < 0.5), False), "policy_cmd_vel", AHEAD, 20.0, 0.0, 100.0
    )
    people = [policy]
    for number in range(1, 1 + int(rng.integers(0, 5))):
        people.append(draw_publisher(rng, number, str(rng.choice((*buttons, "policy_cmd_vel")))))
    look = 0.0
    command = None
    for step in range(int(6.0 / TICK)):
        now = step * TICK
        for one in people:
            alive = one.born <= now < one.dies
            # What it says, including before the guard was there.
            while alive and one.next <= now:
                one.last = one.value
                if one.next > DISCOVERY and now >= max(one.born, 0.0) + DISCOVERY:
                    say(gate, hearings, one, now)
                one.next += 1 / one.rate if one.rate else 1e9
            if alive and one.last is not None and now >= max(one.born, 0.0) + DISCOVERY:
                for route in ROUTES:
                    if one.replays(route) and route not in one.said_to:
                        one.said_to.add(route)
                        hear(gate, hearings, one, now, route)
        if now >= look:
            look = now + LOOK
            seen = [p for p in people if max(p.born, 0.0) + DISCOVERY <= now < p.dies]
            for name, hearing in hearings.items():
                hearing.graph([p.offer for p in seen if p.topic == name], now)
            reasons = [hearing.deaf(now) for hearing in hearings.values()]
            if now < SETTLE_SECONDS:
                reasons.append("listening")
            gate.deadman_publishers(hearings["deadman"].publishers)
            gate.deaf(next((reason for reason in reasons if reason), None))
        command = gate.tick(now)
        must_stand(people, command, now, seed)
    return command.state


def say(gate, hearings, one: Publisher, now: float) -> None:
    one.delivered = True
    for route in ROUTES if one.topic != "policy_cmd_vel" else ROUTES[:1]:
        if one.matches(route):
            hear(gate, hearings, one, now, route)


def hear(gate, hearings, one: Publisher, now: float, route: tuple[bool, bool]) -> None:
    if one.topic == "policy_cmd_vel":
        gate.policy(one.value, now)
        return
    if route[1]:
        hearings[one.topic].heard_latched(now)
    getattr(gate, "operator_deadman" if one.topic[0] == "o" else one.topic)(one.value, now)


def must_stand(people: list[Publisher], command, now: float, seed: int) -> None:
    """While an e-stop is pressed, or somebody may be speaking unheard, nothing moves."""
    moving = any(command.velocities)
    for one in people:
        known = max(one.born, 0.0) + DISCOVERY + LOOK + TICK
        if not known <= now < one.dies:
            continue
        where = f"seed {seed}, {now:.2f} s, {one.offer} on {one.topic}: {command}"
        if one.offer.type not in (BOOL, TWIST) and one.topic != "policy_cmd_vel":
            assert not moving, where
        pressed = one.topic == "estop" and one.value is True and one.offer.type == BOOL
        # A volatile word that was said before anybody listened is what no one can know.
        if pressed and one.last and (one.offer.latched or one.delivered):
            assert not moving, where
        # Of several deadmen, only one that goes on saying so is known to be let go, once the
        # graph has shown that there are several.
        alone = sum(p.topic == "deadman" for p in people) == 1
        newest = max((p.born for p in people if p.topic == "deadman"), default=0.0)
        known = max(known, newest + DISCOVERY + LOOK + TICK)
        let_go = one.topic == "deadman" and one.offer.type == BOOL and one.value is False
        if let_go and (alone or (one.rate >= 5 and now > known + 0.3)):
            assert not moving, where


@pytest.mark.parametrize("block", range(4))
def test_no_combination_of_publishers_moves_it_past_a_stop_or_an_unheard_input(block: int) -> None:
    ends = Counter(play(seed) for seed in range(250 * block, 250 * (block + 1)))
    # The proof is worth something only if it goes everywhere.
    assert ends["policy"] > 20
    assert ends["e-stop"] > 20
    assert ends["deadman"] > 20
    assert sum(count for state, count in ends.items() if state.startswith(UNHEARD)) > 20
