"""A policy drives a field in process, through the same pilot as on the robot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from mobile_vla_ros.control.chunk import ActionChunk
from mobile_vla_ros.control.pilot import Pilot, PilotSettings
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.sim.arena import Arena
from mobile_vla_ros.sim.corrector import Corrector
from mobile_vla_ros.sim.outcome import STOPPED_FOR, Outcome
from mobile_vla_ros.states import ARRIVED


class Stream(Protocol):
    """What follows an instruction frame by frame."""

    action_axes: Sequence[str]

    def step(self, image: np.ndarray, stamp: float, generation: int = 0) -> ActionChunk:
        """uint8 [H, W, 3] RGB and its capture time in s -> the chunk that starts there."""
        ...

    def reset(self) -> None:
        """Forgets all frames."""
        ...


class StreamingPolicy(Protocol):
    """What can be handed in to drive."""

    def stream(self, instruction: str) -> Stream:
        """Starts following ``instruction``."""
        ...


@dataclass(frozen=True)
class LoopSettings:
    """The timing of the loop.

    Attributes:
        camera_period: s between frames.
        latency: s from a frame's capture until its chunk is there; meanwhile newer frames wait
            in a queue of one, as they do for slow hardware.
        pilot: control rate, limits and timeouts, as the node's parameters.
    """

    camera_period: float = 0.1
    latency: float = 0.0
    pilot: PilotSettings = field(default_factory=PilotSettings)

    def __post_init__(self) -> None:
        if not 0 <= self.latency <= 10:
            raise InputError(f"a latency of {self.latency:g} s: give 0 to 10 s")
        if not 1 / self.pilot.control_rate - 1e-9 <= self.camera_period <= 1.0:
            raise InputError(
                f"a camera period of {self.camera_period:g} s: give "
                f"{1 / self.pilot.control_rate:g} (one control tick) to 1 s"
            )
        if self.camera_period > self.pilot.image_timeout / 2:
            raise InputError(
                f"frames every {self.camera_period:g} s would count as a silent camera: raise "
                f"image_timeout above {2 * self.camera_period:g} s"
            )


@dataclass(frozen=True)
class Run:
    """One closed-loop run.

    Attributes:
        scenario, seed: the field.
        outcome: how it ended.
        path: float64 [N, 3], true (x, y, yaw) at every control tick, m and rad, field frame.
        state: the pilot's last state.
        takeovers: how often a person took over; None: nobody stood beside.
    """

    scenario: str
    seed: int
    outcome: Outcome
    path: np.ndarray
    state: str
    takeovers: int | None = None


def drive(
    sim: Arena,
    policy: StreamingPolicy,
    settings: LoopSettings | None = None,
    instruction: str | None = None,
    on_frame: Callable[[np.ndarray, tuple[float, float]], None] | None = None,
    person: Corrector | None = None,
) -> Run:
    """Lets ``policy`` drive ``sim`` from its start until the run is decided.

    Args:
        sim: reset by this call.
        policy: see ``StreamingPolicy``.
        settings: timing.
        instruction: what the policy is told; by default the field's own sentence, which may
            change on the way.
        on_frame: called at each frame with the picture and the (vx, wz) that starts with it.
        person: takes over when the policy is about to fail; a new one for each run.
    """
    settings = settings or LoopSettings()
    sim.reset()
    text = instruction or sim.instruction
    stream = policy.stream(text)
    pilot = Pilot(settings.pilot, tuple(stream.action_axes))
    pilot.model_loading(sim.time)
    pilot.model_ready(sim.time)
    pilot.activate(sim.time)
    pilot.set_instruction(text, sim.time)
    period = 1 / settings.pilot.control_rate
    worker = _Worker(stream, settings.latency)
    next_frame = 0.0
    frames = 0
    command = (0.0, 0.0)
    arrived_at: float | None = None
    path = [sim.pose]
    while not sim.outcome().decided:
        now = sim.time
        if instruction is None and sim.instruction != text:
            text = sim.instruction
            worker = _Worker(policy.stream(text), settings.latency)
            pilot.set_instruction(text, now)
        seen: np.ndarray | None = None
        if now >= next_frame - 1e-6:
            image = seen = sim.render()
            frames += 1
            next_frame += settings.camera_period
            if pilot.frame(now, frames, now, now):
                worker.offer(image, now, pilot.generation)
        for chunk in worker.finished(now):
            pilot.result(chunk, now, now)
        if person is not None:
            person.watch(command, now)
            pilot.taken_over(person.driving, now)
        told = pilot.tick(now, now).velocities
        if person is not None and person.driving:
            command = person.command
        elif told is not None:
            vx, _, wz = planar_velocities(told, pilot.axes)
            command = (vx, wz)
        if on_frame is not None and seen is not None:
            on_frame(seen, command)
        if pilot.state != ARRIVED:
            arrived_at = None
        elif arrived_at is None:
            arrived_at = now
        elif now - arrived_at > STOPPED_FOR + 0.5:
            # Latched until a new instruction comes: waiting for the time limit shows nothing.
            sim.conclude()
            break
        if told is not None or (person is not None and person.driving):
            sim.command(command[0], 0.0, command[1])
        sim.advance(period)
        path.append(sim.pose)
    takeovers = None if person is None else person.takeovers
    return Run(sim.name, sim.seed, sim.outcome(), np.array(path), pilot.state, takeovers)


def planar_velocities(
    velocities: Sequence[float] | np.ndarray, axes: Sequence[str]
) -> tuple[float, float, float]:
    """(vx, vy, wz) out of velocities named by ``axes``; axes that are not named are zero."""
    named = dict(zip(axes, (float(value) for value in velocities), strict=True))
    return (
        named.get("linear.x", 0.0),
        named.get("linear.y", 0.0),
        named.get("angular.z", 0.0),
    )


class _Worker:
    """A model that takes ``latency`` seconds per frame and, when free, takes the newest one."""

    def __init__(self, stream: Stream, latency: float) -> None:
        self._stream = stream
        self._latency = latency
        self._generation: int | None = None
        self._busy: tuple[float, ActionChunk] | None = None
        self._waiting: tuple[np.ndarray, float, int] | None = None

    def offer(self, image: np.ndarray, stamp: float, generation: int) -> None:
        # The renderer writes every frame into the same memory.
        self._waiting = (image.copy(), stamp, generation)
        if self._busy is None:
            self._start(stamp)

    def finished(self, now: float) -> list[ActionChunk]:
        done = []
        while self._busy is not None and now >= self._busy[0] - 1e-6:
            due, chunk = self._busy
            done.append(chunk)
            self._busy = None
            if self._waiting is not None:
                self._start(due)
        return done

    def _start(self, now: float) -> None:
        assert self._waiting is not None
        image, stamp, generation = self._waiting
        self._waiting = None
        if generation != self._generation:
            self._stream.reset()
            self._generation = generation
        chunk = self._stream.step(image, stamp, generation)
        self._busy = (now + self._latency, chunk)
