"""An evaluation's course of events where time is real: say, reset, watch, note, next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mobile_vla_ros.errors import InputError
from mobile_vla_ros.sim.closed_loop import Run
from mobile_vla_ros.sim.fields import instruction_of
from mobile_vla_ros.sim.outcome import STOPPED_FOR, Outcome
from mobile_vla_ros.states import ARRIVED, WAITING_FOR_INSTRUCTION

SETTLE = 1.0  # s from a new field to its instruction, so that frames of the old one are gone
REPEAT = 2.0  # s after which an instruction that changed nothing is said again


class CourseError(InputError):
    """The driving node never became ready."""


@dataclass(frozen=True)
class Order:
    """What is to be done now; fields that are None change nothing.

    Attributes:
        say: instruction to publish, "" to clear it.
        field: (scenario, seed) to set up.
        begin: start judging from here.
        conclude: end the run as it stands.
        done: the last run is over.
    """

    say: str | None = None
    field: tuple[str, int] | None = None
    begin: bool = False
    conclude: bool = False
    done: bool = False


class Course:
    """Leads a driving node, known only by its published state, through a list of fields.

    Args:
        plan: (scenario, seed) of each run.
        ready_timeout: s that the driving node may take to wait for an instruction.
    """

    def __init__(self, plan: Sequence[tuple[str, int]], ready_timeout: float = 180.0) -> None:
        self._plan = list(plan)
        self._ready_timeout = ready_timeout
        self._phase = "clear"
        self._since: float | None = None
        self._said = -np.inf
        self._arrived: float | None = None
        self._path: list[tuple[float, float, float]] = []
        self.runs: list[Run] = []

    def update(
        self, now: float, state: str, outcome: Outcome, pose: tuple[float, float, float]
    ) -> Order:
        """Looks at how things stand; call it about twenty times a second.

        Args:
            now: steady clock, s.
            state: the driving node's last ``~/state``, "" before any.
            outcome: the present run's.
            pose: true (x, y, yaw).

        Raises:
            CourseError: the driving node does not get ready.
        """
        if self._since is None:
            self._since = now
        if self._phase == "clear":
            return self._clear(now, state)
        if self._phase == "settle":
            if now - self._since < SETTLE:
                return Order()
            self._go("drive", now)
            self._path, self._arrived = [], None
            return Order(say=self._instruction(), begin=True)
        if self._phase == "drive":
            return self._drive(now, state, outcome, pose)
        return Order(done=True)

    def _clear(self, now: float, state: str) -> Order:
        if not self._plan:
            self._go("done", now)
            return Order(done=True)
        if state == WAITING_FOR_INSTRUCTION:
            self._go("settle", now)
            return Order(field=self._plan[0])
        assert self._since is not None
        if now - self._since > self._ready_timeout:
            raise CourseError(
                f"the driving node did not get ready for an instruction within "
                f"{self._ready_timeout:g} s (its last state: '{state or 'never heard'}')"
            )
        return self._repeated(now, "")

    def _drive(
        self, now: float, state: str, outcome: Outcome, pose: tuple[float, float, float]
    ) -> Order:
        self._path.append(pose)
        if outcome.decided:
            scenario, seed = self._plan.pop(0)
            self.runs.append(Run(scenario, seed, outcome, np.array(self._path), state))
            self._go("clear", now)
            self._said = now
            return Order(say="")
        if state != ARRIVED:
            self._arrived = None
        elif self._arrived is None:
            self._arrived = now
        elif now - self._arrived > STOPPED_FOR + 0.5:
            return Order(conclude=True)
        if state == WAITING_FOR_INSTRUCTION:
            return self._repeated(now, self._instruction())
        return Order()

    def _repeated(self, now: float, text: str) -> Order:
        if now - self._said < REPEAT:
            return Order()
        self._said = now
        return Order(say=text)

    def _instruction(self) -> str:
        return instruction_of(*self._plan[0])

    def _go(self, phase: str, now: float) -> None:
        self._phase, self._since, self._said = phase, now, now
