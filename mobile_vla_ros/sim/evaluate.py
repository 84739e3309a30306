"""How well a policy drives: many fields, closed loop, one table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from mobile_vla_ros.control.pilot import PilotSettings
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.sim.camera import CameraSettings
from mobile_vla_ros.sim.closed_loop import LoopSettings, Run, StreamingPolicy, drive
from mobile_vla_ros.sim.corrector import Corrector
from mobile_vla_ros.sim.evaluation import Evaluation, run_record
from mobile_vla_ros.sim.field import Field
from mobile_vla_ros.sim.fields import build_field, parse_field_scenario
from mobile_vla_ros.sim.open_field.measures import OPEN_PILOT, evaluation_of
from mobile_vla_ros.sim.open_field.scenario import is_open
from mobile_vla_ros.sim.scenario import SCENARIOS, instruction_for, parse_scenario

__all__ = ["Evaluation", "evaluate", "evaluation_of", "evaluation_plan", "run_record"]


def evaluation_plan(scenarios: Sequence[str], episodes: int, seed: int) -> list[tuple[str, int]]:
    """(scenario, seed) of each run: scenarios in turn, seeds counting up.

    Raises:
        InputError: no episodes, no scenario, an unknown one, or a negative seed.
    """
    if not scenarios:
        raise InputError(f"no scenario given: choose from {', '.join(SCENARIOS)}")
    for name in scenarios:
        parse_field_scenario(name)
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
    person: bool = False,
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
        person: a scripted person takes over when the policy is about to fail.
        progress: called after each run.
    """
    pairs = list(plan) if plan is not None else [(n, s) for s in seeds for n in scenarios]
    runs = []
    for name, seed in pairs:
        timing = loop or LoopSettings(pilot=OPEN_PILOT if is_open(name) else PilotSettings())
        if latency:
            timing = LoopSettings(timing.camera_period, latency, timing.pilot)
        run = _driven(policy, name, seed, timing, camera, swap_instruction, person)
        runs.append(run)
        if progress is not None:
            progress(run)
    return evaluation_of(runs)


def _driven(
    policy: StreamingPolicy,
    name: str,
    seed: int,
    loop: LoopSettings,
    camera: CameraSettings | None,
    swap_instruction: bool,
    person: bool,
) -> Run:
    if is_open(name):
        if swap_instruction:
            raise InputError(
                "the open field has no other side to ask for: see whether words count with "
                "scenarios that end in _change"
            )
        with build_field(name, seed, camera) as sim:
            return drive(sim, policy, loop, person=Corrector(sim) if person else None)
    scenario = parse_scenario(name)
    if swap_instruction:
        scenario = scenario.mirrored()
    with Field(scenario, seed, camera) as sim:
        beside = Corrector(sim) if person else None
        return drive(sim, policy, loop, instruction_for(scenario.side), person=beside)
