"""Incident capsules of takeovers in the simulated field, as the robot's own would be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mobile_vla_ros.control.chunk import ActionChunk
from mobile_vla_ros.episodes.incident import write_incident
from mobile_vla_ros.episodes.incident_ring import IncidentRing
from mobile_vla_ros.rig import ATTRIBUTE
from mobile_vla_ros.sim.arena import Arena
from mobile_vla_ros.sim.camera import CameraSettings
from mobile_vla_ros.sim.closed_loop import LoopSettings, Stream, StreamingPolicy, drive
from mobile_vla_ros.sim.corrector import Corrector
from mobile_vla_ros.sim.fields import build_field
from mobile_vla_ros.states import DRIVING, INSTRUCTION_EVENT, TAKEN_OVER

REASON = "takeover"


def takeover_capsules(
    policy: StreamingPolicy,
    directory: str | Path,
    plan: Sequence[tuple[str, int]],
    *,
    camera: CameraSettings | None = None,
    loop: LoopSettings | None = None,
) -> list[Path]:
    """Lets a policy drive beside a scripted person, and keeps a capsule of each first takeover.

    The pictures are stored without loss, so that a replay sees what the policy saw.

    Args:
        policy: anything with ``stream(instruction)``.
        directory: an existing folder.
        plan: (scenario, seed) pairs; drives without a takeover leave nothing.
        camera: what is seen.
        loop: timing.

    Returns:
        The capsules.
    """
    found = []
    for scenario, seed in plan:
        with build_field(scenario, seed, camera) as sim:
            keeper = _Keeper(sim, policy)
            drive(sim, keeper, loop, on_frame=keeper.heard, person=keeper.person)
            incident = keeper.ring.poll(sim.time, finish=True)
        if incident is not None:
            path = Path(directory) / f"incident_{scenario}_{seed}.h5"
            found.append(write_incident(path, incident))
    return found


class _Keeper:
    """Stands between the drive and the policy, and hears what the robot's topics would carry."""

    def __init__(self, sim: Arena, policy: StreamingPolicy) -> None:
        self.ring = IncidentRing()
        self.person = Corrector(sim)
        self._sim = sim
        self._policy = policy
        self._began = False
        self._taken = False

    def stream(self, instruction: str) -> Stream:
        """The policy's own stream, heard."""
        rig = self._sim.camera_settings.rig.to_json()
        self.ring.attributes = {"instruction": instruction, ATTRIBUTE: rig}
        self.ring.add_event(self._sim.time, INSTRUCTION_EVENT + instruction)
        return _Heard(self._policy.stream(instruction), self.ring)

    def heard(self, image: np.ndarray, command: tuple[float, float]) -> None:
        """The command at each frame, and who gives it."""
        now = self._sim.time
        if not self._began:
            self._began = True
            self.ring.add_event(now, DRIVING)
        self.ring.add_command(now, command[0], 0.0, command[1])
        if self.person.driving and not self._taken:
            self._taken = True
            self.ring.add_event(now, TAKEN_OVER)
            self.ring.trigger(REASON, now)


class _Heard:
    def __init__(self, stream: Stream, ring: IncidentRing) -> None:
        self._stream = stream
        self._ring = ring
        self.action_axes = stream.action_axes

    def step(self, image: np.ndarray, stamp: float, generation: int = 0) -> ActionChunk:
        chunk = self._stream.step(image, stamp, generation)
        self._ring.axes, self._ring.action_period = chunk.axes, chunk.action_period
        picture = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()
        self._ring.add_frame(stamp, stamp, picture)
        self._ring.add_chunk(stamp, stamp, chunk.velocities)
        return chunk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
