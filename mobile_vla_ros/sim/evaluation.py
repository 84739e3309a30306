"""Runs and what they amount to: one table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mobile_vla_ros.errors import InputError
from mobile_vla_ros.files import write_json
from mobile_vla_ros.sim.closed_loop import Run
from mobile_vla_ros.sim.scenario import parse_scenario
from mobile_vla_ros.stats.intervals import wilson_interval


@dataclass(frozen=True)
class Evaluation:
    """Runs and what they amount to.

    Attributes:
        runs: every run, in the order driven.
    """

    runs: tuple[Run, ...]

    @property
    def successes(self) -> int:
        """Runs that reached the bottle by the rules."""
        return sum(run.outcome.success for run in self.runs)

    def summary(self) -> dict[str, Any]:
        """The result as plain values.

        ``episodes``, ``successes``, ``success_rate``, ``wilson`` [low, high] (95 %),
        ``driving_time`` (s) and ``path_length`` (m) as means over the successes (None without
        any), ``clearance`` (m, mean and smallest of the runs' smallest), ``collisions``,
        ``reasons``; with a person beside the robot also ``interventions``,
        ``interventions_per_100m`` and ``runs_without_intervention``; ``by_scenario`` and
        ``by_side`` hold the same for parts; ``runs`` lists each.
        """
        groups: dict[str, list[Run]] = {}
        sides: dict[str, list[Run]] = {}
        for run in self.runs:
            groups.setdefault(run.scenario, []).append(run)
            sides.setdefault(parse_scenario(run.scenario).side, []).append(run)
        return {
            **run_summary(self.runs),
            "by_scenario": {name: run_summary(runs) for name, runs in groups.items()},
            "by_side": {name: run_summary(runs) for name, runs in sides.items()},
            "runs": [run_record(run) for run in self.runs],
        }

    def sentence(self) -> str:
        """How many reached the bottle, with a 95 % interval."""
        low, high = wilson_interval(self.successes, len(self.runs))
        return (
            f"{self.successes} of {len(self.runs)} reached the bottle "
            f"(95 %: {100 * low:.0f} to {100 * high:.0f} %)"
        )

    def write(self, report: str = "", plot: str = "") -> None:
        """Writes `summary` as JSON and the paths as a figure; an empty name leaves one out.

        Raises:
            InputError: a file that cannot be written.
        """
        if plot:
            from mobile_vla_ros.sim.pathplot import draw_paths

            draw_paths(self.runs, plot)
        if report:
            try:
                write_json(report, self.summary(), indent=2)
            except OSError as error:
                raise InputError(f"cannot write {report}: {error.strerror}") from error


def run_record(run: Run) -> dict[str, Any]:
    """One run as plain values."""
    outcome = run.outcome
    return {
        "scenario": run.scenario,
        "seed": run.seed,
        "success": outcome.success,
        "reason": outcome.reason,
        "driving_time": outcome.driving_time,
        "path_length": outcome.path_length,
        "clearance": outcome.clearance,
        "distance": outcome.distance,
        "bearing": outcome.bearing,
        "passed": list(outcome.passed),
        "state": run.state,
        **({} if run.takeovers is None else {"interventions": run.takeovers}),
    }


def run_summary(runs: Sequence[Run]) -> dict[str, Any]:
    """How often these runs got there, how fast and how far; see `Evaluation.summary`."""
    outcomes = [run.outcome for run in runs]
    reached = [outcome for outcome in outcomes if outcome.success]
    clearances = [outcome.clearance for outcome in outcomes]
    low, high = wilson_interval(len(reached), len(outcomes))
    return {
        "episodes": len(outcomes),
        "successes": len(reached),
        "success_rate": len(reached) / len(outcomes) if outcomes else 0.0,
        "wilson": [low, high],
        "driving_time": mean_of([outcome.driving_time for outcome in reached]),
        "path_length": mean_of([outcome.path_length for outcome in reached]),
        "clearance": {
            "mean": mean_of(clearances),
            "least": min(clearances) if clearances else None,
        },
        "collisions": sum(outcome.collided for outcome in outcomes),
        "reasons": dict(Counter(outcome.reason for outcome in outcomes)),
        **_interventions(runs),
    }


def _interventions(runs: Sequence[Run]) -> dict[str, Any]:
    """How often the person beside the robot took over; nothing where nobody stood there."""
    counts = [run.takeovers for run in runs if run.takeovers is not None]
    if not counts or len(counts) != len(runs):
        return {}
    metres = sum(run.outcome.path_length for run in runs)
    return {
        "interventions": sum(counts),
        "interventions_per_100m": 100 * sum(counts) / metres if metres else None,
        "runs_without_intervention": counts.count(0),
    }


def mean_of(values: Sequence[float]) -> float | None:
    """None of nothing."""
    return float(np.mean(values)) if values else None
