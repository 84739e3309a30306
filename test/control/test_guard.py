"""The command guard: the person wins, and whatever ends becomes zero."""

from __future__ import annotations

import math

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mobile_vla_ros.control import CommandGuard, GuardSettings
from mobile_vla_ros.errors import InputError

AHEAD = (0.2, 0.0, 0.0, 0.0, 0.0, 0.0)
LEFT = (0.0, 0.0, 0.0, 0.0, 0.0, 0.5)
STILL = (0.0,) * 6


def guard(**changes) -> CommandGuard:
    return CommandGuard(GuardSettings(**changes))


def test_before_anybody_speaks_it_sends_zero() -> None:
    command = guard().tick(0.0)
    assert (command.velocities, command.state) == (STILL, "no input")


def test_the_policy_drives_when_nobody_else_does() -> None:
    gate = guard()
    gate.policy(AHEAD, 1.0)
    assert gate.tick(1.01).velocities == AHEAD


@pytest.mark.parametrize("source", ["policy", "teleop"])
def test_zero_has_gone_out_a_quarter_second_after_the_last_message(source: str) -> None:
    gate = guard(rate=50.0)
    getattr(gate, source)(AHEAD, 0.0)
    for phase in (0.0, 0.007, 0.019):
        sent = [(t, gate.tick(t).velocities) for t in (phase + 0.02 * k for k in range(20))]
        assert min(t for t, v in sent if v == STILL) <= 0.25


def test_the_person_wins() -> None:
    gate = guard()
    gate.policy(AHEAD, 1.0)
    gate.teleop(LEFT, 1.0)
    command = gate.tick(1.01)
    assert (command.velocities, command.state, command.taken_over) == (LEFT, "teleop", True)


def test_a_persons_zero_stops_the_policy() -> None:
    gate = guard()
    gate.policy(AHEAD, 1.0)
    gate.teleop(STILL, 1.0)
    assert gate.tick(1.01).velocities == STILL


def test_a_takeover_latches_until_it_is_released() -> None:
    gate = guard()
    gate.teleop(LEFT, 0.0)
    for now in (1.0, 10.0, 1000.0):
        gate.policy(AHEAD, now)
        command = gate.tick(now + 0.01)
        assert (command.velocities, command.state) == (STILL, "taken over")
    gate.release(1001.0)
    assert gate.tick(1001.0).velocities == STILL
    gate.policy(AHEAD, 1001.1)
    assert gate.tick(1001.11).velocities == AHEAD


def test_an_automatic_release_waits_until_teleop_has_been_quiet() -> None:
    gate = guard(takeover_release="auto", auto_release_after=1.0)
    gate.teleop(LEFT, 0.0)
    gate.policy(AHEAD, 0.9)
    assert gate.tick(0.95).velocities == STILL
    gate.policy(AHEAD, 1.0)
    assert gate.tick(1.0).velocities == AHEAD


def test_a_release_while_the_person_still_drives_gives_the_policy_nothing() -> None:
    gate = guard()
    gate.teleop(LEFT, 1.0)
    gate.release(1.01)
    gate.teleop(LEFT, 1.02)
    gate.policy(AHEAD, 1.02)
    assert gate.tick(1.03).velocities == LEFT
    assert gate.tick(1.5).state == "taken over"


def test_a_joystick_that_disconnects_while_pressed_stops_person_and_policy() -> None:
    gate = guard()
    gate.deadman(True, 0.0)
    gate.policy(AHEAD, 0.1)
    assert gate.tick(0.1).velocities == AHEAD
    gate.policy(AHEAD, 0.24)
    assert gate.tick(0.24).state == "deadman"
    gate.teleop(LEFT, 0.3)
    assert gate.tick(0.3).velocities == STILL


def test_the_deadman_let_go_is_zero_at_once_and_held_again_goes_on() -> None:
    gate = guard()
    for pressed, wanted in ((True, AHEAD), (False, STILL), (True, AHEAD)):
        gate.policy(AHEAD, 1.0)
        gate.deadman(pressed, 1.0)
        assert gate.tick(1.0).velocities == wanted


def test_a_required_deadman_that_was_never_heard_of_is_not_held() -> None:
    gate = guard(deadman_required=True)
    gate.policy(AHEAD, 1.0)
    assert gate.tick(1.0).state == "deadman"


def test_the_emergency_stop_is_zero_for_all_and_letting_it_go_moves_nothing() -> None:
    gate = guard(takeover_release="auto")
    gate.estop(True, 0.0)
    gate.teleop(LEFT, 0.0)
    assert gate.tick(0.0).state == "e-stop"
    gate.release(0.1)
    gate.estop(False, 5.0)
    gate.policy(AHEAD, 5.0)
    assert gate.tick(5.0).velocities == STILL
    gate.release(5.0)
    gate.policy(AHEAD, 5.01)
    assert gate.tick(5.01).velocities == AHEAD


def test_an_emergency_stop_that_was_told_once_stays_told() -> None:
    gate = guard()
    gate.estop(False, 0.0)
    gate.policy(AHEAD, 60.0)
    assert gate.tick(60.0).velocities == AHEAD
    gate.estop(True, 60.0)
    gate.policy(AHEAD, 999.0)
    assert gate.tick(999.0).velocities == STILL


def test_an_emergency_stop_whose_stream_ends_is_a_stop() -> None:
    gate = guard()
    for k in range(10):
        gate.estop(False, 0.1 * k)
    gate.policy(AHEAD, 1.1)
    assert gate.tick(1.1).velocities == AHEAD
    gate.policy(AHEAD, 1.14)
    assert gate.tick(1.14).state == "e-stop"


def test_two_persons_at_once_move_nothing_until_one_lets_go() -> None:
    gate = guard()
    gate.teleop(LEFT, 0.0, source="keyboard")
    gate.teleop(AHEAD, 0.1, source="joystick")
    assert gate.tick(0.1).state == "two teleop sources"
    gate.teleop(AHEAD, 0.3, source="joystick")
    assert gate.tick(0.3).velocities == AHEAD


def test_two_senders_that_cannot_be_told_apart_move_nothing() -> None:
    gate = guard()
    gate.teleop_publishers(2)
    gate.teleop(AHEAD, 0.0)
    assert gate.tick(0.0).state == "two teleop sources"


@pytest.mark.parametrize("source", ["policy", "teleop"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_message_with_no_number_in_it_is_zero_at_once(source: str, value: float) -> None:
    gate = guard()
    getattr(gate, source)(AHEAD, 0.0)
    getattr(gate, source)((value, 0, 0, 0, 0, 0), 0.01)
    command = gate.tick(0.02)
    assert (command.velocities, command.state) == (STILL, "bad input")


@pytest.mark.parametrize(
    "change", [{"rate": 0}, {"rate": 5}, {"timeout": -1}, {"takeover_release": "never"}]
)
def test_settings_that_cannot_keep_the_promise_are_refused(change) -> None:
    with pytest.raises(InputError):
        guard(**change)


class AnyOrder(RuleBasedStateMachine):
    """Whatever happens in whatever order, the base moves only on somebody's fresh word."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = guard()
        self.now = 0.0
        self.said: dict[str, tuple[float, tuple]] = {}
        self.person_since_release = False
        self.pressed = False
        self.pressed_since_release = False
        self.held: tuple[float, bool] | None = None

    @rule(dt=st.sampled_from([0.01, 0.05, 0.1, 0.2, 0.24, 0.3, 1.0]))
    def wait(self, dt: float) -> None:
        self.now += dt

    @rule(v=st.sampled_from([AHEAD, STILL, (math.nan,) * 6]))
    def policy(self, v) -> None:
        self.gate.policy(v, self.now)
        self.said["policy"] = (self.now, v)

    @rule(v=st.sampled_from([LEFT, STILL]), source=st.sampled_from(["a", "b"]))
    def teleop(self, v, source) -> None:
        self.gate.teleop(v, self.now, source)
        self.said[source] = (self.now, v)
        self.person_since_release = True

    @rule(pressed=st.booleans())
    def deadman(self, pressed) -> None:
        self.gate.deadman(pressed, self.now)
        self.held = (self.now, pressed)

    @rule(pressed=st.sampled_from([False, False, True]))
    def estop(self, pressed) -> None:
        self.gate.estop(pressed, self.now)
        self.pressed = pressed
        self.pressed_since_release |= pressed

    @rule()
    def release(self) -> None:
        self.gate.release(self.now)
        if not self.pressed:
            self.person_since_release = False
            self.pressed_since_release = False

    @invariant()
    def moves_only_on_a_fresh_word_of_who_may(self) -> None:
        velocities = self.gate.tick(self.now).velocities
        if velocities == STILL:
            return
        assert not self.pressed
        assert not self.pressed_since_release
        if self.held is not None:
            assert self.held[1]
            assert self.now - self.held[0] < 0.25
        fresh = {w: v for w, (at, v) in self.said.items() if self.now - at < 0.25}
        if self.person_since_release:
            assert velocities == LEFT
            assert LEFT in [v for who, v in fresh.items() if who != "policy"]
        else:
            assert velocities == AHEAD == fresh["policy"]


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
