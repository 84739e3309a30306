"""How well a policy drives: many fields, closed loop, one table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mobile_vla_ros.errors import InputError
from mobile_vla_ros.files import write_json
from mobile_vla_ros.sim.camera import CameraSettings
from mobile_vla_ros.sim.closed_loop import LoopSettings, Run, StreamingPolicy, drive
from mobile_vla_ros.sim.field import Field
from mobile_vla_ros.sim.scenario import SCENARIOS, instruction_for, parse_scenario
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
        ``reasons``; ``by_scenario`` and ``by_side`` hold the same for parts; ``runs`` lists each.
        """
        groups: dict[str, list[Run]] = {}
        sides: dict[str, list[Run]] = {}
        for run in self.runs:
            groups.setdefault(run.scenario, []).append(run)
            sides.setdefault(parse_scenario(run.scenario).side, []).append(run)
        return {
            **_summary(self.runs),
            "by_scenario": {name: _summary(runs) for name, runs in groups.items()},
            "by_side": {name: _summary(runs) for name, runs in sides.items()},
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
    }


def evaluation_plan(scenarios: Sequence[str], episodes: int, seed: int) -> list[tuple[str, int]]:
    """(scenario, seed) of each run: scenarios in turn, seeds counting up.

    Raises:
        InputError: no episodes, no scenario, an unknown one, or a negative seed.
    """
    if not scenarios:
        raise InputError(f"no scenario given: choose from {', '.join(SCENARIOS)}")
    for name in scenarios:
        parse_scenario(name)
    if episodes < 1:
        raise InputError(f"{episodes} episodes: give 1 or more")
    if seed < 0:
        raise InputError(f"a seed of {seed}: give 0 or more")
    return [(scenarios[i % len(scenarios)], seed + i) for i in range(episodes)]


def evaluate(
    policy: StreamingPolicy,
    scenarios: Sequence[str] = SCENARIOS,
    seeds: Iterable[int] = range(20),
    latency: float = 0.0,
    *,
    camera: CameraSettings | None = None,
    loop: LoopSettings | None = None,
    swap_instruction: bool = False,
    plan: Sequence[tuple[str, int]] | None = None,
    progress: Callable[[Run], None] | None = None,
) -> Evaluation:
    """Drives ``policy`` through fields, in process, as fast as the machine can.

    Args:
        policy: anything with ``stream(instruction)``.
        scenarios: names; every one is driven with every seed.
        seeds: of the fields.
        latency: s from capture to chunk, as slow hardware would take.
        camera: what the policy sees with.
        loop: timing; its latency is overridden by ``latency`` if that is not 0.
        swap_instruction: tell the policy the other side and expect it to pass there.
        plan: (scenario, seed) pairs instead of ``scenarios`` x ``seeds``.
        progress: called after each run.
    """
    loop = loop or LoopSettings()
    if latency:
        loop = LoopSettings(loop.camera_period, latency, loop.pilot)
    pairs = list(plan) if plan is not None else [(n, s) for s in seeds for n in scenarios]
    runs = []
    for name, seed in pairs:
        scenario = parse_scenario(name)
        if swap_instruction:
            scenario = scenario.mirrored()
        with Field(scenario, seed, camera) as sim:
            run = drive(sim, policy, loop, instruction_for(scenario.side))
        runs.append(run)
        if progress is not None:
            progress(run)
    return Evaluation(tuple(runs))


def _summary(runs: Sequence[Run]) -> dict[str, Any]:
    outcomes = [run.outcome for run in runs]
    reached = [outcome for outcome in outcomes if outcome.success]
    clearances = [outcome.clearance for outcome in outcomes]
    low, high = wilson_interval(len(reached), len(outcomes))
    return {
        "episodes": len(outcomes),
        "successes": len(reached),
        "success_rate": len(reached) / len(outcomes) if outcomes else 0.0,
        "wilson": [low, high],
        "driving_time": _mean([outcome.driving_time for outcome in reached]),
        "path_length": _mean([outcome.path_length for outcome in reached]),
        "clearance": {
            "mean": _mean(clearances),
            "least": min(clearances) if clearances else None,
        },
        "collisions": sum(outcome.collided for outcome in outcomes),
        "reasons": dict(Counter(outcome.reason for outcome in outcomes)),
    }


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
