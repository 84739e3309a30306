"""A model process with a policy of a few lines, whose misbehaviour a test can order.

The real process runs here; only the policy that it loads is another. The `checkpoint` is a text
file that says what that policy does:

    echo            velocities (mean of the picture / 1000, number of frames remembered / 100)
    slow:SECONDS    the same, after sleeping
    raise_at:GREY   raises at a picture whose first value is GREY
    die_at:GREY     ends without a word at such a picture
    hang_at:GREY    never answers such a picture
    refuse          says that the checkpoint is no good
    other           as echo, with a chunk of another length
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from mobile_vla_ros.control import ActionChunk
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.serving import model

SIZE = 32


class Stream:
    feature_distance = 1.0

    def __init__(self, behaviour: str, value: float, chunk: int, instruction: str):
        if instruction == "too long":
            raise InputError("the instruction is too long")
        self.behaviour, self.value, self.chunk = behaviour, value, chunk
        self.stamps: list[float] = []
        self.feature = np.zeros((1, 4), np.float32)

    def reset(self) -> None:
        self.stamps.clear()

    def step(self, image: np.ndarray, stamp: float, generation: int = 0) -> ActionChunk:
        self.stamps = [*self.stamps, stamp][-8:]
        self.feature = np.full((1, 4), image.mean(), np.float32)
        if self.behaviour == "slow":
            time.sleep(self.value)
        elif image[0, 0, 0] == self.value:
            if self.behaviour == "raise_at":
                raise RuntimeError("planted")
            if self.behaviour == "die_at":
                os._exit(3)
            if self.behaviour == "hang_at":
                time.sleep(1000)
        velocities = np.tile(
            np.float32([image.mean() / 1000, len(self.stamps) / 100]), (self.chunk, 1)
        )
        return ActionChunk(
            velocities=velocities,
            axes=("linear.x", "angular.z"),
            stamp=stamp,
            action_period=0.4,
            generation=generation,
            frames=len(self.stamps),
            window_stamps=tuple(self.stamps),
        )


class Policy:
    device = "cpu"
    dtype = "float32"

    def __init__(self, behaviour: str, value: float):
        self.behaviour, self.value = behaviour, value
        self.config = SimpleNamespace(
            window_size=8,
            chunk_size=5 if behaviour == "other" else 10,
            image_size=SIZE,
            action_axes=("linear.x", "angular.z"),
            action_axes_confirmed=True,
            frame_period=0.4,
            action_period=0.4,
        )

    def warm_up(self) -> None:
        pass

    def stream(self, instruction: str, **_overrides) -> Stream:
        # The time of a step is measured with this instruction; misbehaviour waits for a robot.
        calm = instruction == "move forward" and self.behaviour != "slow"
        behaviour = "echo" if calm else self.behaviour
        return Stream(behaviour, self.value, self.config.chunk_size, instruction)


def load(settings: dict) -> Policy:
    behaviour, _, value = Path(settings["checkpoint"]).read_text().strip().partition(":")
    if behaviour == "refuse":
        raise InputError("the checkpoint is no good")
    return Policy(behaviour, float(value or -1))


if __name__ == "__main__":
    sys.exit(model.main(load=load))
