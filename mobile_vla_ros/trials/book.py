"""The book of a field trial: what is planned, what has been driven, what was cut short."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from mobile_vla_ros.files import home_path, text_of
from mobile_vla_ros.trials.log import TrialLog, read_trials
from mobile_vla_ros.trials.plan import PlannedTrial, TrialPlan
from mobile_vla_ros.trials.record import TrialError, TrialRecord


class TrialBook:
    """A log and, if there is one, the plan that it works through.

    Args:
        path: the log; what it holds already is not driven again.
        plan: the trials to drive; None for trials that somebody makes up as they go.
        key: key file of a blind plan; "" without.

    Attributes:
        plan: as given.
        broken: the beginning of a trial that was cut short, or None.

    Raises:
        TrialError: the log cannot be written or is in use, or the key is missing or is none.
    """

    def __init__(self, path: str | Path, plan: TrialPlan | None = None, key: str = "") -> None:
        self.plan = plan
        self._paths = _checkpoint_paths(plan, key)
        self._log = TrialLog(path)
        records = read_trials(self._log.path)[0] if self._log.path.exists() else []
        self._written = len(records)
        self._done = {record.number for record in records if _settles(record)}
        self.broken = self._log.broken()
        if self.broken is not None and any(r.trial == self.broken.get("trial") for r in records):
            # It ended between its line and the end of its note.
            self._log.forget_running()
            self.broken = None

    def close(self) -> None:
        """Lets another program write the log."""
        self._log.close()

    @property
    def done(self) -> int:
        """How many trials of the plan need not be driven again."""
        return len(self._done)

    @property
    def planned(self) -> int | None:
        """How many trials the plan has; None without a plan."""
        return len(self.plan.trials) if self.plan is not None else None

    def next(self) -> PlannedTrial | None:
        """The next trial of the plan; None when it is done, or there is none."""
        if self.plan is None:
            return None
        return next((t for t in self.plan.trials if t.number not in self._done), None)

    def checkpoint(self, planned: PlannedTrial) -> str:
        """Path of the checkpoint that a planned trial is driven by."""
        return self._paths[planned.checkpoint]

    def new_name(self) -> str:
        """Name of the trial that begins now."""
        return f"{time.strftime('%Y%m%d_%H%M%S')}_{self._written + 1:03d}"

    def begin(self, beginning: dict[str, Any]) -> None:
        """Notes durably that a trial has begun.

        Raises:
            TrialError: the disk is full or cannot be written; no trial should start then.
        """
        self._log.begin({**beginning, "started": time.time()})

    def forget_begun(self) -> None:
        """The trial that was noted has not begun after all."""
        self._log.forget_running()

    def append(self, record: TrialRecord) -> None:
        """Adds a finished trial, durably.

        Raises:
            TrialError: the disk is full or cannot be written; the log is as it was before.
        """
        self._log.append(record)
        self._written += 1
        if _settles(record):
            self._done.add(record.number)

    def close_broken(self, outcome: str, cause: str = "") -> TrialRecord:
        """Writes down the trial that was cut short.

        Args:
            outcome: ``success`` or ``failure``, as somebody saw it; ``abort`` and ``interrupted``
                leave it to be driven again.
            cause: why.

        Returns:
            What was written.

        Raises:
            TrialError: there is none, or the log cannot be written.
        """
        if self.broken is None:
            raise TrialError("no trial was cut short")
        beginning = self.broken
        known = {
            key: beginning[key]
            for key in ("pair", "number", "note", "checkpoint_sha256")
            if key in beginning
        }
        record = TrialRecord(
            trial=str(beginning.get("trial", "unknown")),
            scenario=str(beginning.get("scenario", "")),
            instruction=str(beginning.get("instruction", "")),
            checkpoint=str(beginning.get("checkpoint", "")),
            outcome="interrupted" if outcome == "abort" else outcome,
            cause=cause or "the trial's program ended",
            started=float(beginning.get("started", 0.0)),
            ended=float(beginning.get("started", 0.0)),
            **known,
        )
        self.append(record)
        self.broken = None
        return record


def _settles(record: TrialRecord) -> bool:
    """Whether the plan's trial of this number need not be driven again."""
    return record.number is not None and (record.counts or record.shadow)


def _checkpoint_paths(plan: TrialPlan | None, key: str) -> dict[str, str]:
    if plan is None:
        return {}
    if not key:
        if plan.blind:
            raise TrialError("the plan is blind: give its key file, so that models can load")
        return dict(plan.checkpoints)
    file = home_path(key)
    try:
        return dict(json.loads(text_of(file))["paths"])
    except OSError as error:
        raise TrialError(f"cannot read the key {key}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise TrialError(f"{key} is not the key of a blind plan") from error
