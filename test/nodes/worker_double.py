"""A model worker with a policy of a few lines, whose misbehaviour a test can order.

The real worker process runs here; only the policy that it loads is another. The `checkpoint` is
a text file that says what that policy does:

    steady              velocities (first red value / 1000, last red value / 1000)
    slow:SECONDS        the same, after sleeping
    held:SECONDS        the same, after sleeping in C with the interpreter lock held
    held_after:N        holds the interpreter lock for a minute, in C, from frame N on
    nan_after:N         not-a-number from frame N on
    infinite_after:N    infinite from frame N on
    shape_after:N       three columns instead of two from frame N on
    raise_after:N       raises from frame N on
    die_after:N         ends without a word from frame N on
    refuse              says that the checkpoint is no good
    load:SECONDS        takes so long to load, then drives as `steady` does
    forward:SPEED       (SPEED, 0)
    expert:SPEED        drives the simulated field by what is true of it, at most so fast
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from mobile_vla_ros.control import ActionChunk
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.nodes.inference import worker

CHUNK = 10


class Stream:
    feature_distance = 1.0

    @property
    def feature(self) -> np.ndarray:
        return np.full((1, 16), self.stamps[-1] % 1000, np.float32)

    def __init__(self, behaviour: str, value: float, frame_period: float, action_period: float):
        self.behaviour, self.value = behaviour, value
        self.frame_period, self.action_period = frame_period, action_period
        self.stamps: list[float] = []

    def reset(self) -> None:
        self.stamps.clear()

    def step(self, image: np.ndarray, stamp: float, generation: int = 0) -> ActionChunk:
        self.stamps = [*self.stamps, stamp][-8:]
        velocities = np.tile(
            np.float32([image[0, 0, 0] / 1000, image[-1, -1, 0] / 1000]), (CHUNK, 1)
        )
        if self.behaviour == "forward":
            velocities[:] = (self.value, 0.0)
        if self.behaviour == "slow":
            time.sleep(self.value)
        if self.behaviour == "held":
            hold(self.value)
        if self.behaviour.endswith("_after") and generation >= 0:
            self.value -= 1
            if self.value < 0:
                velocities = self.misbehave(velocities)
        return ActionChunk(
            velocities=velocities,
            axes=("linear.x", "angular.z"),
            stamp=stamp,
            action_period=self.action_period,
            generation=generation,
            frames=len(self.stamps),
            window_stamps=tuple(self.stamps),
        )

    def misbehave(self, velocities: np.ndarray) -> np.ndarray:
        fault = self.behaviour.removesuffix("_after")
        if fault == "held":
            hold(60.0)
        if fault == "raise":
            raise RuntimeError("the test asked for it")
        if fault == "die":
            os._exit(3)
        if fault == "shape":
            return np.zeros((CHUNK, 3), np.float32)
        velocities[3, 1] = {"nan": np.nan, "infinite": np.inf}.get(fault, 0.0)
        return velocities


class Policy:
    device = "cpu"
    dtype = "float32"

    def __init__(self, behaviour: str) -> None:
        self.behaviour, _, value = behaviour.partition(":")
        self.value = float(value or 0)
        self.config = SimpleNamespace(
            window_size=8,
            chunk_size=CHUNK,
            action_axes=("linear.x", "angular.z"),
            action_axes_confirmed=True,
            frame_period=0.1,
            action_period=0.1,
        )
        self.streams = 0
        if self.behaviour == "expert":
            import field_expert

            self.truth = field_expert.Truth()

    def warm_up(self) -> None:
        pass

    def stream(self, instruction: str, *, frame_period=0.1, action_period=0.1, **_) -> Stream:
        if "unreadable" in instruction:
            raise InputError(f"the instruction '{instruction}' cannot be read")
        self.streams += 1
        if self.behaviour == "expert" and self.streams > 1:
            from field_expert import ExpertStream

            return ExpertStream(self.truth, self.value, action_period)
        # the first stream belongs to the worker's own warm-up
        behaviour = "steady" if self.streams == 1 else self.behaviour
        return Stream(behaviour, self.value, frame_period, action_period)


def hold(seconds: float) -> None:
    """Sleeps in C without letting go of the interpreter lock."""
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))


def load(settings: dict) -> Policy:
    behaviour = Path(settings["checkpoint"]).read_text()
    if behaviour == "refuse":
        raise InputError("checkpoint refuse: the test says that it is no good")
    if behaviour.startswith("load:"):
        time.sleep(float(behaviour.partition(":")[2]))
    return Policy(behaviour)


if __name__ == "__main__":
    sys.exit(worker.main(load=load))
