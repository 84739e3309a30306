"""How ``mobile_vla sim evaluate`` drives: in this process, or spread over several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from mobile_vla_ros.sim.camera import CameraSettings
from mobile_vla_ros.sim.closed_loop import LoopSettings, Run, StreamingPolicy
from mobile_vla_ros.sim.collect import one_thread
from mobile_vla_ros.sim.evaluate import Evaluation, evaluate, evaluation_of
from mobile_vla_ros.spreading import spread

Fields = Sequence[tuple[str, int]]


@dataclass(frozen=True)
class Driving:
    """What the runs of one evaluation share; see `evaluate`."""

    loop: LoopSettings
    camera: CameraSettings
    swap_instruction: bool = False
    person: bool = False

    def evaluate(
        self, policy: StreamingPolicy, plan: Fields, progress: Callable[[Run], None] | None = None
    ) -> Evaluation:
        """Drives through (scenario, seed) pairs, one after the other."""
        return evaluate(
            policy,
            plan=plan,
            camera=self.camera,
            loop=self.loop,
            swap_instruction=self.swap_instruction,
            person=self.person,
            progress=progress,
        )


def evaluate_spread(
    loading: tuple[Any, ...],
    plan: Fields,
    how: Driving,
    workers: int,
    on: str,
    progress: Callable[[Run], None],
) -> Evaluation:
    """The same over processes or machines, one field a job, the policy loaded once in each.

    Every process computes with one thread, so that the result is the same with any number.

    Args:
        loading: the arguments of `load_policy`.
        plan: (scenario, seed) pairs.
        how: what the runs share.
        workers: processes here.
        on: "here" or "ray".
        progress: called after each run.
    """
    runs: dict[int, Run] = {}
    jobs = [(loading, how, name, seed) for name, seed in plan]
    for index, run in spread(_drive, jobs, workers, on, one_thread):
        runs[index] = run
        progress(run)
    return evaluation_of([runs[index] for index in sorted(runs)])


def _drive(loading: tuple[Any, ...], how: Driving, name: str, seed: int) -> Run:
    return how.evaluate(_policy(loading), [(name, seed)]).runs[0]


@lru_cache(maxsize=1)
def _policy(loading: tuple[Any, ...]) -> StreamingPolicy:
    import torch

    from mobile_vla_ros.policy import load_policy

    torch.set_num_threads(1)
    return load_policy(*loading)
