"""The course of a trial: what is heard while it runs, and what has to happen next."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mobile_vla_ros.axes import UNICYCLE_AXES
from mobile_vla_ros.states import DRIVING
from mobile_vla_ros.trials.agreement import Agreement
from mobile_vla_ros.trials.judge import Judge
from mobile_vla_ros.trials.lifelines import Lifelines
from mobile_vla_ros.trials.session import TrialSession


@dataclass(frozen=True)
class Due:
    """What has to be done now.

    Attributes:
        question: why a verdict is needed; the robot stands meanwhile. "" when none is.
        over: the trial that has to be written down; it is handed out once.
    """

    question: str = ""
    over: TrialSession | None = None


class TrialCourse:
    """Feeds the running trial, if any, with what is heard, whichever thread hears it.

    ``now`` is the time that trials are timed with; ``real`` is seconds of a clock that runs on
    when a simulated one does not.

    Args:
        recorded: whether trials are recorded.
        shadow: whether a person drives and the policy only watches.
        judged: whether a judge is listened to.
    """

    def __init__(self, *, recorded: bool, shadow: bool, judged: bool) -> None:
        self._shadow = shadow
        self._judged = judged
        self._lock = threading.Lock()
        self._session: TrialSession | None = None
        self._agreement = Agreement()
        self._lifelines = Lifelines(recorded)
        self._judge = Judge()
        self._axes: tuple[str, ...] = UNICYCLE_AXES
        self._state = ""
        self._taken = False
        self._clamps: float | None = None
        self._reason = ""
        self._asked = False
        self._ending = False

    # what is heard

    def hear_state(self, state: str, now: float) -> None:
        """The policy's state string."""
        with self._lock:
            self._state = state
            if self._session is not None:
                self._session.hear_state(state, now)

    def hear_takeover(self, taken: bool, now: float) -> bool:
        """Whether a person drives; returns whether that begins now."""
        with self._lock:
            started = taken and not self._taken
            self._taken = taken
            if self._session is not None:
                self._session.hear_takeover(taken, now)
        return started

    def hear_recorder(self, recording: bool, message: str, real: float) -> None:
        """The recorder's status."""
        with self._lock:
            self._lifelines.hear_recorder(recording, message, real)

    def hear_policy(self, clamps: float, axes: Sequence[str], real: float) -> None:
        """The policy's diagnostics: commands its limiter has cut since it started, its axes."""
        with self._lock:
            self._lifelines.hear_policy(real)
            self._axes = tuple(axes) or self._axes
            if not math.isfinite(clamps):
                return
            if self._session is not None and self._clamps is not None:
                self._session.hear_clamps(max(0, int(clamps - self._clamps)))
            self._clamps = clamps

    def hear_chunk(
        self, axes: Sequence[str], velocities: Sequence[Sequence[float]], latency: float
    ) -> None:
        """The policy's own output [steps, dof] in m/s and rad/s, ``latency`` s after capture."""
        wanted = max(map(abs, velocities[0])) if len(velocities) else 0.0
        with self._lock:
            if self._session is not None:
                self._session.hear_chunk(float(wanted), latency)
            if self._shadow and len(velocities):
                self._agreement.predicted(axes, velocities[0])

    def hear_command(self, vx: float, vy: float, wz: float, now: float, real: float) -> None:
        """A velocity sent to the base, m/s and rad/s."""
        with self._lock:
            self._lifelines.hear_velocity(real)
            if self._session is not None:
                self._session.hear_command(vx, vy, wz, now)
                if self._shadow:
                    self._agreement.driven(vx, vy, wz)

    def hear_odometry(self, x: float, y: float, yaw: float, now: float) -> None:
        """A pose, m and rad."""
        with self._lock:
            if self._session is not None:
                self._session.hear_odometry(x, y, yaw, now)

    def hear_reason(self, reason: str) -> None:
        """The operator's words for the next verdict."""
        with self._lock:
            self._reason = reason

    def hear_judge(self, words: Mapping[str, Any], now: float) -> None:
        """A judge's words (see ``Judge.hear``)."""
        with self._lock:
            verdict, session = self._judge.hear(words), self._session
            if verdict is not None and session is not None and session.phase != "over":
                session.decide(*verdict, now)

    @property
    def axes(self) -> tuple[str, ...]:
        """What the policy's velocities are."""
        return self._axes

    # from its beginning to its end

    @property
    def idle(self) -> bool:
        """Whether no trial runs, nor is one being written down."""
        return self._session is None

    def prepare(self) -> None:
        """A trial will begin: what a judge has decided until now is not about it."""
        with self._lock:
            self._judge.begin()

    def begin(self, session: TrialSession, real: float) -> None:
        """From now on what is heard is about this trial."""
        now = session.started
        with self._lock:
            self._lifelines.begin(real)
            session.hear_state(self._state, now)
            if self._taken:
                session.hear_takeover(True, now)
            self._agreement = Agreement()
            self._reason = ""
            self._session = session

    def tick(self, now: float, real: float) -> Due:
        """Moves time on; to be called about twenty times a second."""
        with self._lock:
            session = self._session
            if session is None or self._ending:
                return Due()
            phase = session.tick(now)
            if phase == "running" and (
                missing := self._lifelines.missing(real, driving=self._state == DRIVING)
            ):
                session.decide("abort", missing, now)
            elif phase == "verdict" and self._judged:
                objection = self._judge.objection(session.waiting(now))
                if objection:
                    session.decide("failure", f"{session.cause}, but {objection}", now)
            phase = session.phase
            asks = phase == "verdict" and not self._asked
            self._asked = phase == "verdict"
            self._ending = phase == "over"
            return Due(session.cause if asks else "", session if self._ending else None)

    def decide(self, outcome: str, now: float) -> tuple[str, str]:
        """The operator's verdict; returns (name of the trial or '' when none runs, reason).

        Raises:
            TrialError: it is over already.
        """
        with self._lock:
            reason, self._reason = self._reason, ""
            if self._session is None:
                return "", reason
            self._session.decide(outcome, reason, now)
            return self._session.identity["trial"], reason

    def interrupt(self, cause: str, now: float) -> TrialSession | None:
        """The program ends; returns the trial that has to be written down, if any."""
        with self._lock:
            session = self._session
            if session is not None and session.phase != "over":
                session.decide("interrupted", cause, now)
            ending, self._ending = self._ending, True
        return None if ending else session

    def end(self) -> None:
        """The trial is written down, or has not begun after all."""
        with self._lock:
            self._session = None
            self._ending = False

    # what is told

    def agreement(self) -> dict[str, Any]:
        """Between policy and person, of the trial in shadow mode."""
        with self._lock:
            return self._agreement.summary()

    def status(self, now: float) -> dict[str, Any]:
        """The trial that runs, and what was heard of the robot."""
        with self._lock:
            session = self._session
            return {
                "phase": session.phase if session is not None else "waiting",
                "trial": session.identity["trial"] if session is not None else None,
                "scenario": session.identity["scenario"] if session is not None else None,
                "elapsed": now - session.started if session is not None else 0.0,
                "interventions": session.interventions if session is not None else 0,
                "policy_state": self._state,
                "taken_over": self._taken,
            }
