"""The command guard: the last gate before the base, where the person wins.

It covers what no driving program can cover for itself: that program's death, a lost link, a
person who takes the stick. It owns the base's command topic and sends at every tick: what one
source asks for, or exactly zero.

API::

    guard = CommandGuard(GuardSettings(...))
    guard.policy(velocities, now)
    guard.teleop(velocities, now, source="")   any hashable that tells two senders apart
    guard.teleop_publishers(count)             for nodes that cannot tell them apart
    guard.deadman(pressed, now), guard.estop(pressed, now), guard.release(now)
    guard.tick(now) -> GuardCommand(velocities, state, taken_over)

Rules, the first that fits (``state`` in brackets):

- E-stop pressed, or its stream of messages has ended: zero (``e-stop``). It latches like a
  takeover: letting the button go does not set the robot in motion.
- Deadman not held, or its messages have ended (a joystick unplugged while pressed): zero, for
  person and policy alike (``deadman``). It counts once it is required or has been heard of.
- Two persons at once: zero until one lets go (``two teleop sources``).
- A person's messages come: they drive, zeros included (``teleop``), and the policy is muted.
- They have ended: zero, until ``release``, or with ``takeover_release="auto"`` until they have
  been gone for ``auto_release_after`` (``taken over``).
- The policy's messages come: they drive (``policy``); otherwise zero (``no input``).

A message with a NaN or an infinite number is worth zero and never drives on (``bad input``).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from mobile_vla_ros.errors import InputError
from mobile_vla_ros.states import TAKEN_OVER

POLICY = "policy"
TELEOP = "teleop"
TWO_SOURCES = "two teleop sources"
DEADMAN = "deadman"
ESTOP = "e-stop"
NO_INPUT = "no input"
BAD_INPUT = "bad input"

_STILL = (0.0,) * 6
# So many messages in a row, none later than the timeout, make a stream whose end is an alarm; a
# button that only tells its changes never gets there, and its last word stays valid.
_STREAM = 5


@dataclass(frozen=True)
class GuardSettings:
    """Times in seconds, rates in Hz.

    Attributes:
        rate: ticks per second.
        timeout: after an input's last message, zero has gone out before this is over.
        takeover_release: "manual" (by ``release``) or "auto".
        auto_release_after: in "auto", quiet seconds on teleop that hand back to the policy.
        deadman_required: nothing moves before a deadman has been heard of.
    """

    rate: float = 50.0
    timeout: float = 0.25
    takeover_release: str = "manual"
    auto_release_after: float = 1.0
    deadman_required: bool = False

    def __post_init__(self) -> None:
        """Refuses settings with which the timeout could not be kept.

        Raises:
            InputError: a number that is not positive, fewer than two ticks within the timeout, or
                an unknown way of release.
        """
        for name in ("rate", "timeout", "auto_release_after"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"{name} is {value:g}; give a positive number")
        if self.timeout * self.rate < 2:
            raise InputError(
                f"rate is {self.rate:g} Hz; for a timeout of {self.timeout:g} s give at least "
                f"{2 / self.timeout:g} Hz"
            )
        if self.takeover_release not in ("manual", "auto"):
            raise InputError(
                f"takeover_release is {self.takeover_release!r}; give 'manual' or 'auto'"
            )


@dataclass(frozen=True)
class GuardCommand:
    """What one tick sends.

    Attributes:
        velocities: linear x, y, z (m/s) and angular x, y, z (rad/s) in the base frame.
        state: whose command it is, or why it is zero.
        taken_over: the policy is muted until it is released.
    """

    velocities: tuple[float, ...]
    state: str
    taken_over: bool


class CommandGuard:
    """See the module's text."""

    def __init__(self, settings: GuardSettings) -> None:
        """Starts with nothing heard from anybody."""
        self.settings = settings
        # One tick earlier than the timeout, so that the zero is out by then, not decided.
        self._fresh_for = settings.timeout - 1 / settings.rate
        self._policy: tuple[float, tuple[float, ...] | None] | None = None
        self._teleop: dict[Hashable, tuple[float, tuple[float, ...] | None]] = {}
        self._teleop_at = -math.inf
        self._publishers = 0
        self._taken_over = False
        self._deadman: tuple[float, bool] | None = None
        self._estop: tuple[float, bool] | None = None
        self._estop_latched = False
        self._estop_stream = 0

    @property
    def taken_over(self) -> bool:
        """Whether the policy is muted until it is released."""
        return self._taken_over or self._estop_latched

    def policy(self, velocities: Sequence[float], now: float) -> None:
        """The policy asks for [6] velocities, m/s and rad/s."""
        self._policy = (now, _sound(velocities))

    def teleop(self, velocities: Sequence[float], now: float, source: Hashable = "") -> None:
        """A person asks for [6] velocities, m/s and rad/s: from now on the person drives."""
        self._teleop[source] = (now, _sound(velocities))
        self._teleop_at = now
        self._taken_over = True

    def teleop_publishers(self, count: int) -> None:
        """How many senders the teleop topic has; more than one and none of them drives."""
        self._publishers = count

    def deadman(self, pressed: bool, now: float) -> None:
        """The deadman button's position; it has to be told again and again while held."""
        self._deadman = (now, bool(pressed))

    def estop(self, pressed: bool, now: float) -> None:
        """The emergency stop's position."""
        last = self._estop
        near = last is not None and now - last[0] < self._fresh_for
        if near:
            self._estop_stream += 1
        elif self._estop_stream < _STREAM:
            self._estop_stream = 1
        self._estop = (now, bool(pressed))
        self._estop_latched = self._estop_latched or bool(pressed)

    def release(self, now: float) -> None:
        """Hands back to the policy, which has to ask anew.

        While the e-stop is pressed this changes nothing; while a person still sends, the next
        message takes over again.
        """
        del now
        if self._estop is not None and self._estop[1]:
            return
        self._taken_over = False
        self._estop_latched = False
        self._teleop.clear()
        self._policy = None

    def tick(self, now: float) -> GuardCommand:
        """Decides what the base is told now (``now``: steady clock, seconds)."""
        quiet = now - self._teleop_at
        if (
            self._taken_over
            and self.settings.takeover_release == "auto"
            and quiet >= self.settings.auto_release_after
        ):
            self._taken_over = False
        velocities, state = self._decide(now)
        return GuardCommand(velocities, state, self.taken_over)

    def _decide(self, now: float) -> tuple[tuple[float, ...], str]:
        estop = self._estop
        if estop is not None:
            ended = self._estop_stream >= _STREAM and not self._fresh(estop[0], now)
            if ended or estop[1] or self._estop_latched:
                return _STILL, ESTOP
        deadman = self._deadman
        if deadman is None:
            if self.settings.deadman_required:
                return _STILL, DEADMAN
        elif not deadman[1] or not self._fresh(deadman[0], now):
            return _STILL, DEADMAN
        persons = [wish for at, wish in self._teleop.values() if self._fresh(at, now)]
        if len(persons) > 1 or (persons and self._publishers > 1):
            return _STILL, TWO_SOURCES
        if persons:
            return (persons[0], TELEOP) if persons[0] is not None else (_STILL, BAD_INPUT)
        self._teleop.clear()
        if self._taken_over:
            return _STILL, TAKEN_OVER
        if self._policy is None or not self._fresh(self._policy[0], now):
            return _STILL, NO_INPUT
        wish = self._policy[1]
        return (wish, POLICY) if wish is not None else (_STILL, BAD_INPUT)

    def _fresh(self, at: float, now: float) -> bool:
        return now - at < self._fresh_for


def _sound(velocities: Sequence[float]) -> tuple[float, ...] | None:
    values = tuple(float(value) for value in velocities)
    if len(values) != len(_STILL) or not all(math.isfinite(value) for value in values):
        return None
    return values
