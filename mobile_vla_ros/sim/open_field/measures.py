"""What runs in the open field amount to: the measures of visual navigation, by what was asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mobile_vla_ros.control.pilot import PilotSettings
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.files import write_json
from mobile_vla_ros.sim.closed_loop import Run
from mobile_vla_ros.sim.evaluation import Evaluation, mean_of, run_record, run_summary
from mobile_vla_ros.sim.open_field.judge import STOOD, WRONG_TARGET, Asked, OpenOutcome
from mobile_vla_ros.sim.open_field.scenario import is_open
from mobile_vla_ros.stats.intervals import wilson_interval

# Waiting for a person to pass is no arrival.
OPEN_PILOT = PilotSettings(arrival_hold=4.0)


def evaluation_of(runs: Sequence[Run]) -> Evaluation:
    """Runs of one field and what they amount to.

    Raises:
        InputError: runs of two fields, which no one number sums up.
    """
    kinds = {is_open(run.scenario) for run in runs}
    if len(kinds) > 1:
        raise InputError("runs of the lab's and of the open field: evaluate one field at a time")
    return OpenEvaluation(tuple(runs)) if kinds == {True} else Evaluation(tuple(runs))


class OpenEvaluation(Evaluation):
    """Runs in the open field."""

    def summary(self) -> dict[str, Any]:
        """The result as plain values.

        As in the lab's field, and in all and in every part beside it: ``spl`` (success weighted
        by path length) and ``navigation_error`` (m from the robot's centre to the target's
        outline at the end), both over the runs that ask for a thing, ``wrong_targets``,
        ``false_stops`` (runs with one or more). Parts: ``by_tier``, ``by_target``,
        ``by_wording`` (trained, kept), ``by_sentence``, ``by_language``, ``by_side``,
        ``by_pair`` and ``by_room`` (trained, kept); ``runs`` lists each.
        """
        return {
            **open_summary(self.runs),
            "field": "open",
            "by_scenario": _by(self.runs, None),
            "by_tier": _by(self.runs, lambda asked: asked.tier),
            "by_target": _by(self.runs, lambda asked: asked.target),
            "by_wording": _by(self.runs, lambda asked: _kept(asked.kept_wording)),
            "by_sentence": _by(self.runs, lambda asked: asked.wording),
            "by_language": _by(self.runs, lambda asked: asked.language),
            "by_side": _by(self.runs, lambda asked: asked.side or "either"),
            "by_pair": _by(self.runs, lambda asked: _kept(asked.kept_pair)),
            "by_room": _by(self.runs, lambda asked: _kept(asked.kept_room)),
            "runs": [_record(run) for run in self.runs],
        }

    def sentence(self) -> str:
        """How many did what was asked, with a 95 % interval."""
        low, high = wilson_interval(self.successes, len(self.runs))
        return (
            f"{self.successes} of {len(self.runs)} did what was asked "
            f"(95 %: {100 * low:.0f} to {100 * high:.0f} %)"
        )

    def write(self, report: str = "", plot: str = "") -> None:
        """Writes `summary` as JSON and the paths as a figure; an empty name leaves one out.

        Raises:
            InputError: a file that cannot be written.
        """
        if plot:
            from mobile_vla_ros.sim.open_field.picture import draw_open_paths

            draw_open_paths(self.runs, plot)
        if report:
            try:
                write_json(report, self.summary(), indent=2)
            except OSError as error:
                raise InputError(f"cannot write {report}: {error.strerror}") from error


def open_summary(runs: Sequence[Run]) -> dict[str, Any]:
    """The measures of some runs; see `OpenEvaluation.summary`."""
    outcomes = [outcome_of(run) for run in runs]
    driven = [outcome for outcome in outcomes if outcome.shortest is not None]
    weighted = [outcome.weighted for outcome in outcomes if outcome.weighted is not None]
    return {
        **run_summary(runs),
        "spl": mean_of(weighted),
        "navigation_error": mean_of([outcome.distance for outcome in driven]),
        "wrong_targets": sum(outcome.reason == WRONG_TARGET for outcome in outcomes),
        "false_stops": sum(outcome.false_stops > 0 for outcome in outcomes),
        "stood_as_told": sum(outcome.reason == STOOD for outcome in outcomes),
    }


def outcome_of(run: Run) -> OpenOutcome:
    """A run's outcome, which a run in the open field has."""
    assert isinstance(run.outcome, OpenOutcome)
    return run.outcome


def _by(runs: Sequence[Run], key: Callable[[Asked], str] | None) -> dict[str, Any]:
    groups: dict[str, list[Run]] = {}
    for run in runs:
        asked = outcome_of(run).asked
        assert asked is not None
        groups.setdefault(run.scenario if key is None else key(asked), []).append(run)
    return {name: open_summary(part) for name, part in sorted(groups.items())}


def _kept(kept: bool) -> str:
    return "kept" if kept else "trained"


def _record(run: Run) -> dict[str, Any]:
    outcome = outcome_of(run)
    assert outcome.asked is not None
    return {
        **run_record(run),
        **vars(outcome.asked),
        "shortest": outcome.shortest,
        "driven": outcome.driven,
        "spl": outcome.weighted,
        "false_stops": outcome.false_stops,
    }
