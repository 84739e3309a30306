"""A scripted person beside the robot: takes over when the policy is about to fail."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mobile_vla_ros.planar import moved
from mobile_vla_ros.sim.arena import Arena
from mobile_vla_ros.sim.expert import MAX_ANGULAR, MAX_LINEAR


@dataclass(frozen=True)
class CorrectorSettings:
    """When the person takes over and lets go.

    Attributes:
        foresight: s that the present command is thought on.
        air: m that must stay free on that way.
        tolerance: difference between the policy's command and the person's own, as a share of
            full speed, that nobody minds.
        patience: s of a difference that is one full speed greater.
        least: s that the person drives at least.
        grace: s after letting go in which the policy may find its feet.
    """

    foresight: float = 1.0
    air: float = 0.05
    tolerance: float = 0.35
    patience: float = 0.8
    least: float = 2.5
    grace: float = 1.0


class Corrector:
    """Watches one run. The person drives as the scripted driver does, and sees all.

    Args:
        sim: the field.
        settings: when to take over.

    Attributes:
        driving: the person drives.
        command: (vx, wz) that the person wants while driving, m/s and rad/s.
        takeovers: how often the person took over.
    """

    def __init__(self, sim: Arena, settings: CorrectorSettings | None = None) -> None:
        self._sim = sim
        self._settings = settings or CorrectorSettings()
        self._last = 0.0
        self._since = -math.inf  # when driving began, or ended
        self._doubt = 0.0
        self.driving = False
        self.command = (0.0, 0.0)
        self.takeovers = 0

    def watch(self, command: tuple[float, float], now: float) -> None:
        """Looks at what the base was last told, and takes over or lets go.

        Args:
            command: (vx, wz), m/s and rad/s.
            now: simulated s; rising from call to call.
        """
        passed, self._last = now - self._last, now
        own = self._sim.expert(MAX_LINEAR)
        if self.driving:
            self.command = own
            if now - self._since >= self._settings.least and self._on_the_way(own):
                self.driving, self._since = False, now
            return
        if self._about_to_touch(command) or self._doubts(command, own, passed, now):
            self.driving, self._since, self._doubt = True, now, 0.0
            self.command = own
            self.takeovers += 1

    def _on_the_way(self, own: tuple[float, float]) -> bool:
        return own[0] > MAX_LINEAR / 3 and abs(own[1]) < MAX_ANGULAR / 2

    def _doubts(
        self, command: tuple[float, float], own: tuple[float, float], passed: float, now: float
    ) -> bool:
        if now - self._since < self._settings.grace:
            self._doubt = 0.0
            return False
        apart = max(abs(command[0] - own[0]) / MAX_LINEAR, abs(command[1] - own[1]) / MAX_ANGULAR)
        more = (apart - self._settings.tolerance) * passed
        self._doubt = max(0.0, self._doubt + more)
        return self._doubt > self._settings.patience

    def _about_to_touch(self, command: tuple[float, float]) -> bool:
        """Whether the command, held on, comes nearer to something than the air allows."""
        vx, wz = command
        if vx <= 0.02:
            return False
        pose = self._sim.pose
        here = least = self._sim.free(pose[0], pose[1])
        step = 0.1
        for _ in range(round(self._settings.foresight / step)):
            pose = moved(pose, (vx, 0.0, wz), step)
            least = min(least, self._sim.free(pose[0], pose[1]))
        return least < self._settings.air and least < here - 0.01
