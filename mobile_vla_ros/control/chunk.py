"""The action chunk: what the policy says should happen from a frame's capture time on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

# Stamps of this century have a float64 resolution of 2.4e-7 s: a step boundary is met within this
# fraction of a step, so that rounding never plays a step one tick longer.
_STEP_ROUNDING = 1e-6


@dataclass(frozen=True, eq=False)
class ActionChunk:
    """One prediction of the policy: velocities for the next ``horizon`` seconds.

    Step k is in force from ``stamp + k * action_period`` until ``stamp + (k+1) * action_period``.
    A chunk is a message: it may carry anything a model can produce. ``problem`` says whether it
    may drive.

    Attributes:
        velocities: float32 [chunk, dof], m/s and rad/s in ``base_frame`` (REP-103).
        axes: name of each column, from ``AXES``.
        stamp: capture time of the newest frame behind it, seconds on the image stamps' clock.
        action_period: seconds between two steps.
        generation: number of the order (instruction, stop, reset) it was made under.
        frames: how many frames the window held that made it.
        window_stamps: capture times of those frames, seconds, oldest first.
        normalised: float32 [chunk, dof] in [-1, 1], the policy's own output, when kept.
    """

    velocities: np.ndarray
    axes: tuple[str, ...]
    stamp: float
    action_period: float
    generation: int = 0
    frames: int = 0
    window_stamps: tuple[float, ...] = ()
    normalised: np.ndarray | None = None

    @property
    def horizon(self) -> float:
        """Seconds from ``stamp`` until the last step ends."""
        return len(self.velocities) * self.action_period

    def at(self, age: float) -> np.ndarray:
        """The step in force ``age`` seconds after ``stamp`` (zero-order hold).

        Args:
            age: seconds since ``stamp``. A negative one (two clocks that differ a little) is
                answered with the first step.

        Returns:
            [dof], m/s and rad/s: a row of ``velocities``, not a copy.

        Raises:
            ValueError: the chunk is used up, or ``age`` is not a number. A last step is never
                held on: nobody planned what comes after it.
        """
        if not age < self.horizon:
            raise ValueError(f"a chunk of {self.horizon:g} s has no step at {age:g} s")
        step = math.floor(max(age, 0.0) / self.action_period + _STEP_ROUNDING)
        return self.velocities[min(step, len(self.velocities) - 1)]

    def problem(self, axes: tuple[str, ...]) -> str | None:
        """Says why this chunk must not drive a base with these axes; None when it may."""
        velocities = self.velocities
        if not isinstance(velocities, np.ndarray) or velocities.dtype.kind not in "fiu":
            return "the velocities are not an array of numbers"
        if velocities.ndim != 2 or velocities.shape[0] < 1 or velocities.shape[1] != len(axes):
            return f"the velocities are {list(velocities.shape)}, not [chunk, {len(axes)}]"
        if tuple(self.axes) != tuple(axes):
            return f"the axes are {', '.join(self.axes)}, not {', '.join(axes)}"
        if not np.isfinite(velocities).all():
            return "a velocity is NaN or infinite"
        if not (math.isfinite(self.stamp) and math.isfinite(self.action_period)):
            return "the stamp or the action period is NaN or infinite"
        if self.action_period <= 0:
            return f"the action period is {self.action_period:g} s"
        return None
