"""A judge that knows how a trial went: a simulated field, or a program that sees the goal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# A judge that knows better says so within this time after the policy believes it has arrived, s.
PATIENCE = 4.0


class Judge:
    """Tells a verdict on this trial from one that was still about the last."""

    def __init__(self) -> None:
        self._ready = False
        self._missing = ""

    def begin(self) -> None:
        """A trial is prepared: what was decided before is not about it."""
        self._ready = False

    def hear(self, words: Mapping[str, Any]) -> tuple[str, str] | None:
        """The judge's words; returns (outcome, reason) once they decide the present trial.

        Args:
            words: ``decided``, and then ``success`` and ``reason``; before that, perhaps,
                ``missing``: what has not been reached yet.
        """
        if not words.get("decided"):
            # Only what is decided after this is about the trial now running.
            self._ready = True
            self._missing = str(words.get("missing", ""))
            return None
        if not self._ready:
            return None
        outcome = "success" if words.get("success") else "failure"
        return outcome, str(words.get("reason", ""))

    def objection(self, waited: float) -> str:
        """Why an arrival is none, once the judge has not agreed for long enough; else ''.

        Args:
            waited: seconds since the policy believed that it had arrived.
        """
        if waited <= PATIENCE:
            return ""
        return self._missing or "the judge says nothing"
