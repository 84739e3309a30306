"""A driver with full knowledge of the field: smooth, or like a person at the keyboard."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mobile_vla_ros.errors import InputError
from mobile_vla_ros.sim.arena import Arena
from mobile_vla_ros.sim.expert import MAX_LINEAR

STYLES = ("smooth", "keyboard")
KEY_ANGULAR = 0.5  # rad/s, what a turning key gives


@dataclass(frozen=True)
class DriverSettings:
    """How the scripted driver drives.

    Attributes:
        style: "smooth" (any velocity) or "keyboard" (the lab's keys: forward, the forward
            diagonals, turning on the spot, stop).
        max_linear: m/s.
        noise: strength of the pushes on the base, 0 (none) to about 1.5. The commands recorded
            stay the driver's own, so pushes teach recoveries and never mistakes.
    """

    style: str = "smooth"
    max_linear: float = MAX_LINEAR
    noise: float = 0.0

    def __post_init__(self) -> None:
        if self.style not in STYLES:
            raise InputError(f"'{self.style}' is no driving style: give {' or '.join(STYLES)}")
        if not 0 <= self.noise <= 3:
            raise InputError(f"a noise of {self.noise:g}: give 0 (none) to 3")
        if not 0.05 <= self.max_linear <= 1.0:
            raise InputError(f"a speed of {self.max_linear:g} m/s: give 0.05 to 1.0")


class ScriptedDriver:
    """Drives a field: ask for an action once per ``frame_period`` and hold it so long.

    Args:
        field: what to drive.
        settings: style, speed and noise.
        rng: where the pushes come from.
    """

    def __init__(self, field: Arena, settings: DriverSettings, rng: np.random.Generator) -> None:
        self._field = field
        self._settings = settings
        self._rng = rng
        self._push = np.zeros(2)
        self._push_left = 0

    def action(self) -> tuple[float, float, float]:
        """(vx, vy, wz) for the present state, m/s, m/s, rad/s; pushes the base if noisy."""
        vx, wz = self._field.expert(self._settings.max_linear)
        if self._settings.style == "keyboard":
            vx, wz = self._keys(vx, wz)
        if self._settings.noise > 0:
            self._disturb(standing=vx == 0.0 and wz == 0.0)
        return vx, 0.0, wz

    def _keys(self, vx: float, wz: float) -> tuple[float, float]:
        turn = float(np.sign(wz)) * KEY_ANGULAR if abs(wz) > 0.22 else 0.0
        if vx == 0.0:
            # Turning on the spot before the bottle; small errors are within the tolerance.
            return 0.0, turn
        speed = self._settings.max_linear
        if abs(wz) > 0.75:
            return 0.0, turn
        outcome = self._field.outcome()
        if outcome.distance < 0.75:
            # A shorter press: half the speed for as long.
            speed /= 2
        return speed, turn

    def _disturb(self, standing: bool) -> None:
        if standing:
            self._push_left, self._push = 0, np.zeros(2)
        elif self._push_left > 0:
            self._push_left -= 1
            if self._push_left == 0:
                self._push = np.zeros(2)
        elif self._rng.random() < 0.15:
            self._push_left = int(self._rng.integers(1, 4))
            self._push = self._rng.normal(size=2) * (0.06, 0.45) * self._settings.noise
        jitter = self._rng.normal(size=2) * (0.015, 0.06) * self._settings.noise
        push = np.zeros(2) if standing else self._push + jitter
        if self._field.outcome().distance < 0.65:
            push *= 0.25  # a hard push so near would be an accident, not a recovery
        self._field.disturb(float(np.clip(push[0], -0.15, 0.15)), float(np.clip(push[1], -1, 1)))
