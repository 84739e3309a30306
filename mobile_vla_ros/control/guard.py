"""The command guard: the last gate before the base, where the person wins.

It covers what no driving program can cover for itself: that program's death, a lost link, a
person who takes the stick. It owns the base's command topic and sends at every tick: what one
source asks for, or exactly zero.

API::

    guard = CommandGuard(GuardSettings(...))
    guard.policy(velocities, now, age=None)
    guard.teleop(velocities, now, source="", age=None)  any hashable tells two senders apart
    guard.teleop_publishers(count)             for nodes that cannot tell them apart
    guard.deadman(pressed, now), guard.estop(pressed, now), guard.release(now)
    guard.deadman_publishers(count)            how many there are, heard or not
    guard.operator_deadman(pressed, now)       of the person whose teleop it lets through
    guard.deaf(reason)                         somebody may be speaking unheard; None: nobody
    guard.tick(now) -> GuardCommand(velocities, state, taken_over)

``age`` is how long ago a command was sent, seconds (see ``lateness``); a command counts from
then. None: it carries no stamp and counts from its arrival, but after a gap in the stream, when a
link may deliver at once what it has held back, only the newest of a burst counts, once the burst
is over. What a link delays evenly and without stamps cannot be seen here.

Rules, the first that fits (``state`` in brackets):

- A safety input may be speaking unheard: zero (``unheard input: <which and why>``).
- E-stop pressed, or its stream of messages has ended: zero (``e-stop``). It latches like a
  takeover: letting the button go does not set the robot in motion.
- Deadman not held, or its messages have ended (a joystick unplugged while pressed): zero, for
  person and policy alike (``deadman``). It counts once it is required, has been heard of, or
  somebody publishes it. Of several deadmen all have to be held.
- Two persons at once: zero until one lets go (``two teleop sources``).
- A person's messages come: they drive, zeros included (``teleop``), and the policy is muted.
  While that person's own deadman has just been let go or has ended, they are worth zero.
- They have ended: zero, until ``release``, or with ``takeover_release="auto"`` until they have
  been gone for ``auto_release_after`` (``taken over``).
- The policy's messages come: they drive (``policy``); when they come too late, zero (``late
  commands``); otherwise zero (``no input``).

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
LATE = "late commands"
UNHEARD = "unheard input: "
"""This with the sentence of the input behind it."""

_STILL = (0.0,) * 6
# So many messages in a row, none later than the timeout, make a stream whose end is an alarm; a
# button that only tells its changes never gets there, and its last word stays valid.
_STREAM = 5
# A burst that a link lets go is over when nothing has come for this long.
BURST_SECONDS = 0.03
# An operator who has let go for so long no longer holds up anybody else's stick.
OPERATOR_QUIET = 1.0


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
        self._policy = _Stream()
        self._teleop: dict[Hashable, _Stream] = {}
        self._teleop_at = -math.inf
        self._operator: tuple[float, bool] | None = None
        self._deaf: str | None = None
        self._deadmen = 0
        self._let_go_at = -math.inf
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

    def policy(self, velocities: Sequence[float], now: float, age: float | None = None) -> None:
        """The policy asks for [6] velocities, m/s and rad/s."""
        self._policy.take(_sound(velocities), now, age, self._fresh_for)

    def teleop(
        self,
        velocities: Sequence[float],
        now: float,
        source: Hashable = "",
        age: float | None = None,
    ) -> None:
        """A person asks for [6] velocities, m/s and rad/s: from now on the person drives."""
        stream = self._teleop.setdefault(source, _Stream())
        stream.take(_sound(velocities), now, age, self._fresh_for)
        self._teleop_at = now
        self._taken_over = True

    def teleop_publishers(self, count: int) -> None:
        """How many senders the teleop topic has; more than one and none of them drives."""
        self._publishers = count

    def deadman(self, pressed: bool, now: float) -> None:
        """The deadman button's position; it has to be told again and again while held."""
        self._deadman = (now, bool(pressed))
        if not pressed:
            self._let_go_at = now

    def deadman_publishers(self, count: int) -> None:
        """How many publish a deadman: it then counts, also before its first word."""
        self._deadmen = count

    def operator_deadman(self, pressed: bool, now: float) -> None:
        """Whether the person behind teleop still holds on; told again and again while held."""
        self._operator = (now, bool(pressed))

    def deaf(self, reason: str | None) -> None:
        """Why somebody may be speaking unheard on a safety input; None when nobody can."""
        self._deaf = reason

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
        self._operator = None
        self._policy = _Stream()

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
        if self._deaf is not None:
            return _STILL, UNHEARD + self._deaf
        estop = self._estop
        if estop is not None:
            ended = self._estop_stream >= _STREAM and not self._fresh(estop[0], now)
            if ended or estop[1] or self._estop_latched:
                return _STILL, ESTOP
        deadman = self._deadman
        if deadman is None:
            if self.settings.deadman_required or self._deadmen:
                return _STILL, DEADMAN
        elif (
            not deadman[1]
            or not self._fresh(deadman[0], now)
            or (self._deadmen > 1 and self._fresh(self._let_go_at, now))
        ):
            return _STILL, DEADMAN
        persons = [one for one in self._teleop.values() if self._fresh(one.heard, now)]
        if len(persons) > 1 or (persons and self._publishers > 1):
            return _STILL, TWO_SOURCES
        if persons:
            return self._from(persons[0], TELEOP, now)
        self._teleop.clear()
        if self._taken_over:
            return _STILL, TAKEN_OVER
        if not self._fresh(self._policy.heard, now):
            return _STILL, NO_INPUT
        return self._from(self._policy, POLICY, now)

    def _from(self, stream: _Stream, state: str, now: float) -> tuple[tuple[float, ...], str]:
        """What a stream that is being heard is worth."""
        if not stream.counts(now, self._fresh_for):
            return _STILL, LATE
        if stream.wish is None:
            return _STILL, BAD_INPUT
        if state == TELEOP and not self._operator_holds(now):
            return _STILL, state
        return stream.wish, state

    def _operator_holds(self, now: float) -> bool:
        """Whether the operator's deadman lets a person's velocities through."""
        if self._operator is None:
            return True
        at, pressed = self._operator
        return self._fresh(at, now) if pressed else now - at >= OPERATOR_QUIET

    def _fresh(self, at: float, now: float) -> bool:
        return now - at < self._fresh_for


class _Stream:
    """The newest command of one source, and when it was sent.

    Attributes:
        wish: [6] velocities, or None for one that is no number.
        heard: when the newest message arrived, seconds.
    """

    def __init__(self) -> None:
        self.wish: tuple[float, ...] | None = None
        self.heard = -math.inf
        self._sent = -math.inf
        self._burst = False

    def take(
        self, wish: tuple[float, ...] | None, now: float, age: float | None, gap: float
    ) -> None:
        """A message; one that was sent before the newest known one changes nothing but heard."""
        silent = gap <= now - self.heard < math.inf
        pause = now - self.heard
        self.heard = now
        if age is None:
            # The first message after a gap may be the first of many that were held back.
            self._burst = silent or (self._burst and pause < BURST_SECONDS)
            self.wish, self._sent = wish, now
        elif now - age >= self._sent:
            self._burst = False
            self.wish, self._sent = wish, now - age

    def counts(self, now: float, fresh_for: float) -> bool:
        """Whether the newest command is young enough, and known to be the newest."""
        if self._burst and now - self.heard < BURST_SECONDS:
            return False
        return now - self._sent < fresh_for


def _sound(velocities: Sequence[float]) -> tuple[float, ...] | None:
    values = tuple(float(value) for value in velocities)
    if len(values) != len(_STILL) or not all(math.isfinite(value) for value in values):
        return None
    return values
