"""Conducts field trials one after the other: sets the stage, begins, ends, writes them down.

Nothing here knows ROS or reads a clock of its own. What gives orders to other programs is a
``Stage`` that is handed in; its orders may take long, so ``start``, ``finish`` and
``drive_unattended`` are for threads that may wait.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mobile_vla_ros.errors import InputError
from mobile_vla_ros.trials.book import TrialBook
from mobile_vla_ros.trials.course import TrialCourse
from mobile_vla_ros.trials.heartbeat import Heartbeat
from mobile_vla_ros.trials.plan import PlannedTrial
from mobile_vla_ros.trials.record import TrialError, TrialRecord
from mobile_vla_ros.trials.session import TrialRules, TrialSession
from mobile_vla_ros.trials.stage import Stage

SAVE_SECONDS = 60.0
# Launch files wait about five seconds for a node before they kill it.
LAST_SAVE_SECONDS = 3.0
UNATTENDED_PAUSE = 0.1
REFUSED_PAUSE = 2.0
# How often a line that could not be written is tried again, s.
RETRY_PERIOD = 2.0
# A trial that is asked for before the policy was told to stand waits for that this long, s.
SETTLE_PATIENCE = 10.0


@dataclass(frozen=True)
class TrialRequest:
    """What a trial without a plan is to be, and the operator's note for either kind."""

    scenario: str = ""
    instruction: str = ""
    checkpoint: str = ""
    note: str = ""


@dataclass(frozen=True)
class TrialSettings:
    """How trials are conducted.

    Attributes:
        rules: when a trial ends.
        shadow: a person drives and the policy only watches.
        field: starts are set up in a simulated field.
        field_seed: added to a start's number: the seed of its field.
    """

    rules: TrialRules = field(default_factory=TrialRules)
    shadow: bool = False
    field: bool = False
    field_seed: int = 0


@dataclass(frozen=True)
class Clocks:
    """Where the time comes from, s.

    Attributes:
        trial: what trials are timed with; it never jumps.
        real: runs on when a simulated clock does not.
        wall: since 1970, for the log.
    """

    trial: Callable[[], float] = time.monotonic
    real: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time


class TrialConductor:
    """From the plan's next line to a line in the log.

    Args:
        book: plan and log; closed by ``close``.
        course: where what is heard goes.
        stage: the other programs.
        heartbeat: no trial begins before it may beat.
        settings: how trials are conducted.
        closing: set when the program ends; nothing waits then.
        request: what a trial without a plan would be now.
        say: called with a sentence for whoever watches.
        begun: called with a trial's identity just before it begins.
        clocks: where the time comes from.
    """

    def __init__(
        self,
        book: TrialBook,
        course: TrialCourse,
        stage: Stage,
        heartbeat: Heartbeat,
        settings: TrialSettings,
        *,
        closing: threading.Event,
        request: Callable[[], TrialRequest],
        say: Callable[[str], None],
        begun: Callable[[Mapping[str, Any]], None] = lambda identity: None,
        clocks: Clocks = Clocks(),
    ) -> None:
        self._book = book
        self._course = course
        self._stage = stage
        self._heartbeat = heartbeat
        self._settings = settings
        self._closing = closing
        self._request = request
        self._say = say
        self._begun = begun
        self._clocks = clocks
        self._starting = threading.Lock()

    # requests

    def start(self) -> str:
        """Prepares recorder and policy, then lets the policy drive; returns what has begun.

        Raises:
            InputError: a trial is running, the plan is done, or a program refuses.
        """
        if not self._starting.acquire(blocking=False):
            raise TrialError("a trial is just being started")
        try:
            # Otherwise the order to stand, given at the start, might stop this trial.
            if not self._heartbeat.settled(SETTLE_PATIENCE):
                raise TrialError(f"{self._stage.policy_name} has not answered yet: is it running?")
            return self._start()
        finally:
            self._starting.release()

    def decide(self, outcome: str) -> str:
        """The operator's verdict on the running trial, or on one that was cut short.

        Raises:
            InputError: there is no trial to judge.
        """
        name, cause = self._course.decide(outcome, self._clocks.trial())
        if name:
            return f"{name}: {outcome}"
        if self._book.broken is not None:
            return self._close_broken(outcome, cause)
        raise TrialError("no trial is running")

    def finish(self, session: TrialSession, patience: float = SAVE_SECONDS) -> None:
        """Stops the robot, saves the episode, writes the line."""
        self.stand()
        more: dict[str, Any] = {}
        try:
            saved = self._stage.save_recording(session.outcome or "", patience)
        except InputError as error:
            self._say(f"the trial's episode is not complete: {error}")
        else:
            if saved is not None:
                more["episode"], digest = saved
                more["files"] = {**session.identity.get("files", {}), saved[0]: digest}
        if self._settings.shadow:
            more["agreement"] = self._course.agreement()
        record = session.record(self._clocks.trial(), self._clocks.wall(), **more)
        try:
            self._book.append(record)
        except TrialError as error:
            self._say(f"THE TRIAL IS NOT WRITTEN DOWN: {error}; free some space")
            self._retry(record)
        self._course.end()
        self._say(f"{record.trial}: {record.outcome} ({record.cause})")

    def stand(self) -> None:
        """Has the robot stand; in shadow mode the policy commands nobody, and goes on."""
        if not self._settings.shadow:
            self._stage.stand()

    def drive_unattended(self) -> None:
        """Starts trial after trial until the plan is done."""
        while not self._closing.wait(UNATTENDED_PAUSE):
            if not self._course.idle:
                continue
            if self._book.next() is None:
                self._say("every trial of the plan has been driven")
                return
            try:
                self.start()
            except InputError as error:
                self._say(str(error))
                self._closing.wait(REFUSED_PAUSE)

    def close(self) -> None:
        """An orderly end: the robot stands, a running trial is interrupted and written down.

        ``closing`` has been set, and nobody calls ``TrialCourse.tick`` any more.
        """
        session = self._course.interrupt("the trial manager was ended", self._clocks.trial())
        if session is not None:
            self.finish(session, LAST_SAVE_SECONDS)
        self._book.close()

    # what is told

    def status(self) -> dict[str, Any]:
        """The trial that runs, the next one, and how far the plan is."""
        planned = self._book.next()
        return {
            **self._course.status(self._clocks.trial()),
            "next": None
            if planned is None
            else {
                "number": planned.number,
                "scenario": planned.scenario,
                "pair": planned.pair,
                "checkpoint": planned.checkpoint,
            },
            "done": self._book.done,
            "planned": self._book.planned,
            "broken": self._book.broken,
        }

    # inside

    def _start(self) -> str:
        if not self._course.idle:
            raise TrialError("a trial is running: give its verdict first")
        planned = self._book.next()
        self._course.prepare()
        if self._book.plan is not None and planned is None:
            raise TrialError("every trial of the plan has been driven")
        if self._book.broken is not None:
            self._close_broken("interrupted")
        identity, path = self._identity(planned)
        scenario, words = identity["scenario"], identity["instruction"]
        stage = self._stage
        shown = "the next checkpoint" if planned is not None else path or "the checkpoint"
        stage.load(path, lambda: self._say(f"loading {shown}"))
        identity["checkpoint_sha256"] = stage.sha256(path)
        identity["files"] = stage.run_file()
        if self._settings.field:
            self.stand()
            start = planned.start if planned is not None else 0
            stage.set_up_field(scenario, self._settings.field_seed + start)
        stage.start_recording(scenario, words)
        noted = False
        try:
            self._book.begin(identity)
            noted = True
            stage.tell(words)
            self._begin(identity)
            if not self._settings.shadow:
                stage.drive()
        except InputError:
            self._forsake(noted)
            raise
        sentence = f"trial {identity['trial']} ({scenario}, {identity['checkpoint']}): {words}"
        self._say(sentence)
        return sentence

    def _identity(self, planned: PlannedTrial | None) -> tuple[dict[str, Any], str]:
        """What is known of the trial before it begins, and the path of its checkpoint."""
        request = self._request()
        scenario = planned.scenario if planned is not None else request.scenario
        words = planned.instruction if planned is not None else request.instruction
        if not scenario or not words:
            raise TrialError("set the parameters scenario and instruction, or give a plan")
        if planned is not None:
            name, path = planned.checkpoint, self._book.checkpoint(planned)
        else:
            path = request.checkpoint or self._stage.checkpoint()
            name = Path(path).name
        identity = {
            "trial": self._book.new_name(),
            "scenario": scenario,
            "instruction": words,
            "checkpoint": name,
            "pair": planned.pair if planned is not None else None,
            "number": planned.number if planned is not None else None,
            "note": request.note,
            "shadow": self._settings.shadow,
        }
        return identity, path

    def _begin(self, identity: dict[str, Any]) -> None:
        clocks = self._clocks
        session = TrialSession(
            identity, self._settings.rules, started=clocks.trial(), wall_start=clocks.wall()
        )
        self._begun(identity)
        self._course.begin(session, clocks.real())

    def _forsake(self, noted: bool) -> None:
        """A trial that could not begin leaves nothing behind, and the robot stands."""
        self._course.end()
        self.stand()
        self._stage.discard_recording()
        if noted:
            self._book.forget_begun()

    def _retry(self, record: TrialRecord) -> None:
        """A full disk may be emptied: the line is kept and tried again until it is written."""
        while not self._closing.wait(RETRY_PERIOD):
            try:
                self._book.append(record)
            except TrialError:
                continue
            self._say(f"{record.trial} is written down now")
            return

    def _close_broken(self, outcome: str, cause: str = "") -> str:
        record = self._book.close_broken(outcome, cause)
        sentence = f"{record.trial}: {record.outcome} (cut short)"
        self._say(sentence)
        return sentence
