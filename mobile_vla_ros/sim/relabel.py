"""Episodes that a policy drives while the scripted driver says what it should have done.

The rows carry what was commanded; ``expert_chunks`` carries the labels (DAgger: S. Ross,
G. Gordon, D. Bagnell, A reduction of imitation learning and structured prediction to no-regret
online learning, AISTATS 2011).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from mobile_vla_ros.axes import PLANAR_AXES
from mobile_vla_ros.episodes import EpisodeWriter
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.rig import ATTRIBUTE
from mobile_vla_ros.sim.arena import Arena
from mobile_vla_ros.sim.camera import CameraSettings
from mobile_vla_ros.sim.closed_loop import LoopSettings, StreamingPolicy, drive
from mobile_vla_ros.sim.collect import Collected, Drive, episode_path, start_time
from mobile_vla_ros.sim.corrector import Corrector
from mobile_vla_ros.sim.fields import build_field


def collect_driven(
    policy: StreamingPolicy,
    directory: str | Path,
    plan: Sequence[tuple[str, int]],
    *,
    camera: CameraSettings | None = None,
    loop: LoopSettings | None = None,
    frame_period: float = 0.4,
    push: float = 0.0,
    corrected: bool = False,
    progress: Callable[[Collected], None] | None = None,
) -> list[Collected]:
    """Writes one episode per (scenario, seed), driven by ``policy``, labelled by the expert.

    Args:
        policy: anything with ``stream(instruction)``.
        directory: an existing folder.
        plan: (scenario, seed) pairs.
        camera: what is seen and recorded.
        loop: timing; frames come every ``camera_period``, a whole part of ``frame_period``.
        frame_period: s between recorded rows.
        push: strength of random pushes on the base, as ``DriverSettings.noise``.
        corrected: a scripted person takes over when the policy is about to fail, drives it out,
            and lets go; the rows say who drove, as `train --corrections` reads them.
        progress: called after each episode.

    Raises:
        InputError: an episode of that name is there already.
    """
    camera = camera or CameraSettings()
    loop = loop or LoopSettings()
    every = round(frame_period / loop.camera_period)
    if every < 1 or abs(every * loop.camera_period - frame_period) > 1e-6:
        raise InputError(
            f"rows every {frame_period:g} s do not fit frames every {loop.camera_period:g} s"
        )
    done = []
    for scenario, seed in plan:
        path = episode_path(Path(directory), scenario, seed)
        if path.exists():
            raise InputError(f"{path} is there already: choose other seeds or an empty folder")
        rng = np.random.default_rng([seed, 505])
        with build_field(scenario, seed, camera) as sim:
            person = Corrector(sim) if corrected else None
            rows = _Rows(sim, every, push, rng, person)
            run = drive(sim, policy, loop, on_frame=rows.take, person=person)
        taken = rows.drive
        taken.success, taken.reason = run.outcome.success, run.outcome.reason
        writer = EpisodeWriter(
            path,
            scenario=scenario,
            instruction=sim.instruction,
            action_axes=PLANAR_AXES,
            frame_period=frame_period,
            image_format="jpeg",
            camera={"name": "simulated field", "encoding": "rgb8", **asdict(camera)},
            odom=True,
            takeovers=corrected,
            attributes={
                "driver": "policy",
                "clearance": run.outcome.clearance,
                ATTRIBUTE: camera.rig.to_json(),
                **sim.truth(taken.states, frame_period),
            },
            flush=False,
        )
        written = taken.write(writer, start_time(seed).timestamp())
        simulated = (len(taken.frames) - 1) * frame_period
        done.append(
            Collected(
                *(written, scenario, seed, taken.success, len(taken.frames), simulated),
                takeovers=run.takeovers,
                path_length=run.outcome.path_length,
            )
        )
        if progress is not None:
            progress(done[-1])
    return done


class _Rows:
    """Takes a row at every ``every``-th frame, and pushes the base now and then."""

    def __init__(
        self,
        sim: Arena,
        every: int,
        push: float,
        rng: np.random.Generator,
        person: Corrector | None,
    ) -> None:
        self.drive = Drive()
        self._person = person
        self._sim = sim
        self._every = every
        self._push = push
        self._rng = rng
        self._frame = 0

    def take(self, image: np.ndarray, command: tuple[float, float]) -> None:
        if self._frame % self._every == 0:
            person = self._person is not None and self._person.driving
            self.drive.add(self._sim, (command[0], 0.0, command[1]), image, person)
            if self._push > 0:
                pushed = self._rng.random() < 0.25 and self._sim.outcome().distance > 0.65
                push = self._rng.normal(size=2) * (0.06, 0.45) * self._push * pushed
                self._sim.disturb(float(push[0]), float(push[1]))
        self._frame += 1
