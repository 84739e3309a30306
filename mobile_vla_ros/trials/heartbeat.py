"""The heartbeat of trials, without which the guard lets nothing move."""

from __future__ import annotations

import threading
from collections.abc import Callable

from mobile_vla_ros.errors import InputError
from mobile_vla_ros.trials.stage import Stage

# The guard forgets a velocity after its timeout, 0.25 s: so long after the policy has been told to
# stand, a heartbeat wakes nothing from before.
SETTLE_SECONDS = 0.5
# How often it is said that the policy is missing, s.
ABSENT_SECONDS = 5.0
# How soon a policy that is missing, or does not answer, is asked again, s.
LOOK_PERIOD = 0.25
ASK_PERIOD = 0.5
# A person who holds a switch and says nothing for this long has let go, s.
OPERATOR_TIMEOUT = 0.25


class Heartbeat:
    """Whether the robot may move, as far as the trials' program can answer for it.

    A program that was killed may have left the policy enabled. The heartbeat of its successor
    would set the robot in motion then, so it comes only after the policy has been told to stand.

    Args:
        stage: the other programs.
        needed: whether the policy has to be told; in shadow mode it commands nobody.
        closing: set when the program ends.
        warn: called with a sentence about what keeps the robot from moving.
        real: seconds of a clock that never jumps.
    """

    def __init__(
        self,
        stage: Stage,
        *,
        needed: bool,
        closing: threading.Event,
        warn: Callable[[str], None],
        real: Callable[[], float],
    ) -> None:
        self._stage = stage
        self._needed = needed
        self._closing = closing
        self._warn = warn
        self._real = real
        self._settled = threading.Event()
        self._operator: tuple[float, bool] | None = None

    def settle(self) -> None:
        """Makes the policy stand, whoever enabled it before; for a thread that may wait.

        A policy that is not seen may only not have been discovered yet, and may be enabled: so
        nothing moves before one has answered.
        """
        warned = self._real()
        while self._needed and not self._closing.is_set():
            # An end must not wait for a policy that is not there.
            if not self._stage.policy_listens():
                if self._real() - warned > ABSENT_SECONDS:
                    warned = self._real()
                    self._warn(f"nothing moves yet: {self._stage.policy_name} is not running")
                self._closing.wait(LOOK_PERIOD)
                continue
            try:
                self._stage.order_to_stand()
            except InputError as error:
                self._warn(f"nothing moves yet: {error}")
                self._closing.wait(ASK_PERIOD)
            else:
                self._closing.wait(SETTLE_SECONDS)
                break
        self._settled.set()

    def settled(self, patience: float) -> bool:
        """Whether the policy has been told to stand; waits up to ``patience`` s for it."""
        return self._settled.wait(patience)

    def hear_operator(self, held: bool) -> None:
        """A person's own switch: once there is one, nothing moves unless it is held."""
        self._operator = (self._real(), held)

    def beats(self) -> bool:
        """Whether the robot may move now."""
        held = self._settled.is_set()
        if self._operator is not None:
            when, pressed = self._operator
            held = held and pressed and self._real() - when < OPERATOR_TIMEOUT
        return held
