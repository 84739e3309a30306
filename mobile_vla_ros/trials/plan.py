"""The plan of a field trial: which checkpoint starts where, in which order, and how often."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mobile_vla_ros.files import once, text_of
from mobile_vla_ros.trials.record import TrialError


@dataclass(frozen=True)
class PlannedTrial:
    """One trial to be driven.

    Attributes:
        number: position in the plan, from 1.
        pair: name of the start; the trials of all checkpoints from one start are matched.
        scenario: scenario name.
        instruction: what the policy is told.
        start: number of the start within its scenario, from 1 (in simulation: the seed's index).
        checkpoint: the checkpoint's name; under a blind plan a code such as ``X``.
    """

    number: int
    pair: str
    scenario: str
    instruction: str
    start: int
    checkpoint: str


@dataclass(frozen=True)
class TrialPlan:
    """A fixed list of trials.

    Attributes:
        trials: in the order in which they are to be driven.
        checkpoints: name (or code) -> path of the model; empty paths under a blind plan, whose
            key file holds them.
        seed: seed of the order.
        blind: whether the names are codes.
        pairs_needed: matched pairs that find ``difference`` with the wanted power, or None.
        difference: the two success rates to be told apart, or None.
        alpha, power: of the planned test.
        sequential: whether the report may be looked at after every trial.
    """

    trials: tuple[PlannedTrial, ...]
    checkpoints: Mapping[str, str]
    seed: int
    blind: bool = False
    pairs_needed: int | None = None
    difference: tuple[float, float] | None = None
    alpha: float = 0.05
    power: float = 0.8
    sequential: bool = False

    def trial(self, number: int) -> PlannedTrial:
        """The trial with this number.

        Raises:
            TrialError: there is none.
        """
        if not 1 <= number <= len(self.trials):
            raise TrialError(f"the plan has trials 1 to {len(self.trials)}, not {number}")
        return self.trials[number - 1]


def make_plan(
    scenarios: Mapping[str, str],
    checkpoints: Mapping[str, str],
    *,
    repeats: int | None = None,
    seed: int = 0,
    codes: np.random.Generator | None = None,
    blind: bool = False,
    difference: tuple[float, float] | None = None,
    alpha: float = 0.05,
    power: float = 0.8,
    sequential: bool = False,
) -> tuple[TrialPlan, dict[str, str]]:
    """Lays out scenarios x starts x checkpoints in a random, balanced order.

    The starts form blocks. In a block every checkpoint drives once, one after the other, so that
    light, floor and battery are alike within a pair; which one goes first is balanced over the
    blocks, and the scenarios take turns in random order.

    Args:
        scenarios: scenario name -> instruction.
        checkpoints: checkpoint name -> path.
        repeats: starts per scenario; None takes as many as ``difference`` needs.
        seed: of the order; it stands in the plan.
        codes: draws a blind plan's codes; by default they follow from ``seed``, and whoever knows
            the order in which the checkpoints were given can work them out.
        blind: replace the names by codes.
        difference: the two success rates to be told apart, e.g. (0.9, 0.6).
        alpha: significance level of the planned test.
        power: probability of finding a difference of that size.
        sequential: use the test that may be looked at after each trial.

    Returns:
        The plan, and the key code -> checkpoint name (empty unless blind).

    Raises:
        TrialError: nothing to plan, or neither repeats nor a difference.
    """
    if not scenarios or not checkpoints:
        raise TrialError("a plan needs at least one scenario and one checkpoint")
    if repeats is not None and repeats < 1:
        raise TrialError(f"repeats must be at least 1, not {repeats}")
    needed = None if difference is None else _pairs_needed(difference, alpha, power)
    if repeats is None:
        if needed is None:
            raise TrialError("say how often to repeat (--repeats) or what difference to detect")
        repeats = -(-needed // len(scenarios))
    rng = np.random.default_rng(seed)
    names = list(checkpoints)
    key: dict[str, str] = {}
    if blind:
        letters = [chr(ord("A") + index) for index in range(len(names))]
        shuffled = [names[index] for index in (codes or rng).permutation(len(names))]
        key = dict(zip(letters, shuffled, strict=True))
        names = letters
    plan = TrialPlan(
        trials=_in_blocks(scenarios, names, repeats, rng),
        checkpoints={name: "" if blind else str(checkpoints[name]) for name in names},
        seed=seed,
        blind=blind,
        pairs_needed=needed,
        difference=difference,
        alpha=alpha,
        power=power,
        sequential=sequential,
    )
    return plan, key


def _pairs_needed(difference: tuple[float, float], alpha: float, power: float) -> int:
    # Here, because whoever only reads plans (a node) need not wait for scipy.
    from mobile_vla_ros.stats.paired import pairs_needed

    try:
        return pairs_needed(*difference, alpha=alpha, power=power)
    except ValueError as error:
        raise TrialError(f"the difference to detect cannot be planned for: {error}") from error


def _in_blocks(
    scenarios: Mapping[str, str], names: list[str], repeats: int, rng: np.random.Generator
) -> tuple[PlannedTrial, ...]:
    """The trials in order: from every start each checkpoint once, one after the other."""
    orders = _balanced_orders(names, repeats * len(scenarios), rng)
    trials: list[PlannedTrial] = []
    for start in range(1, repeats + 1):
        turn = list(scenarios)
        for scenario in [turn[index] for index in rng.permutation(len(turn))]:
            for name in orders.pop():
                trials.append(
                    PlannedTrial(
                        number=len(trials) + 1,
                        pair=f"{scenario}#{start}",
                        scenario=scenario,
                        instruction=scenarios[scenario],
                        start=start,
                        checkpoint=name,
                    )
                )
    return tuple(trials)


def plan_to_json(plan: TrialPlan) -> dict[str, Any]:
    """The plan as plain JSON values."""
    return asdict(plan)


def read_plan(path: str | Path) -> TrialPlan:
    """Reads a plan written by ``mobile_vla trials plan``.

    Raises:
        TrialError: the file is missing, not JSON, or not a plan.
    """
    try:
        values = json.loads(text_of(path), object_pairs_hook=once)
        trials = tuple(_planned(trial) for trial in values.pop("trials"))
        if values.get("difference") is not None:
            low, high = map(float, values["difference"])
            values["difference"] = (low, high)
        plan = TrialPlan(trials=trials, **values)
        _check(plan)
        return plan
    except OSError as error:
        raise TrialError(f"cannot read the trial plan {path}: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise TrialError(f"{path} is not a trial plan: {error}") from error


def _planned(values: Any) -> PlannedTrial:
    trial = PlannedTrial(**values)
    for name in ("pair", "scenario", "instruction", "checkpoint"):
        if not isinstance(getattr(trial, name), str):
            raise TrialError(f"a trial's {name} must be text, not {getattr(trial, name)!r}")
    for name in ("number", "start"):
        if type(getattr(trial, name)) is not int:
            raise TrialError(
                f"a trial's {name} must be a whole number, not {getattr(trial, name)!r}"
            )
    return trial


def _check(plan: TrialPlan) -> None:
    numbers = [trial.number for trial in plan.trials]
    if numbers != list(range(1, len(numbers) + 1)):
        raise TrialError("its trials are not numbered 1, 2, 3 ...")
    named = isinstance(plan.checkpoints, Mapping) and all(
        isinstance(path, str) for path in plan.checkpoints.values()
    )
    if not named:
        raise TrialError("checkpoints must map names to paths")
    missing = [t.checkpoint for t in plan.trials if t.checkpoint not in plan.checkpoints]
    if missing:
        raise TrialError(f"the checkpoint {missing[0]!r} of a trial is not among its checkpoints")
    for name in ("blind", "sequential"):
        if not isinstance(getattr(plan, name), bool):
            raise TrialError(f"{name} must be true or false, not {getattr(plan, name)!r}")
    for name in ("alpha", "power"):
        value = getattr(plan, name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
            raise TrialError(f"{name} must lie between 0 and 1, not {value!r}")


def _balanced_orders(
    names: Sequence[str], blocks: int, rng: np.random.Generator
) -> list[tuple[str, ...]]:
    """One order per block; every name stands in every place equally often, up to one block."""
    orders: list[tuple[str, ...]] = []
    while len(orders) < blocks:
        # The cyclic shifts of one random order put each name once in each place.
        base = [names[index] for index in rng.permutation(len(names))]
        shifts = [tuple(base[shift:] + base[:shift]) for shift in range(len(base))]
        orders += [shifts[index] for index in rng.permutation(len(shifts))]
    orders = orders[:blocks]
    return [orders[index] for index in rng.permutation(blocks)]
