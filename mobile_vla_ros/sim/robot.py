"""The robot: a round differential-drive base with wheels that roll and slip on the floor."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mobile_vla_ros.planar import moved, yaw_of
from mobile_vla_ros.sim.engine import mujoco
from mobile_vla_ros.sim.layout import ROBOT_RADIUS

WHEEL_RADIUS = 0.06  # m
TRACK = 0.26  # m, between the wheels' contact points
COMMAND_TIMEOUT = 0.5  # s; a base that hears nothing stops
LAG = 0.15  # s, time constant from command to wheel set-point
MAX_WHEEL_SPEED = 14.0  # rad/s


def robot_mjcf(start: tuple[float, float, float], camera: str) -> str:
    """MJCF of the base at ``start`` (x, y, yaw); ``camera`` is the MJCF of what it carries."""
    x, y, yaw = start
    wheels = "".join(
        f"""
      <body name="{name}_wheel" pos="0 {sign * TRACK / 2} {WHEEL_RADIUS}">
        <joint name="{name}_wheel" axis="0 1 0" armature="0.002" damping="0.001"/>
        <geom name="{name}_tyre" type="sphere" size="{WHEEL_RADIUS}" mass="0.4" condim="4"
          priority="1" friction="0.9 0.003 0.0001" rgba="0 0 0 0" group="3"/>
        <geom type="cylinder" size="{WHEEL_RADIUS} 0.015" euler="90 0 0" mass="0"
          contype="0" conaffinity="0" rgba="0.1 0.1 0.1 1"/>
      </body>"""
        for name, sign in (("left", 1), ("right", -1))
    )
    return f"""
    <body name="base" pos="{x} {y} 0" euler="0 0 {math.degrees(yaw)}">
      <freejoint name="base"/>
      <geom name="chassis" type="cylinder" size="{ROBOT_RADIUS} 0.045" pos="0 0 0.085" mass="5"
        rgba="0.25 0.25 0.28 1"/>
      <geom name="mast" type="cylinder" size="0.015 0.12" pos="-0.03 0 0.25" mass="0.4"
        contype="0" conaffinity="0" rgba="0.2 0.2 0.2 1"/>
      <geom name="front_caster" type="sphere" size="0.02" pos="0.11 0 0.022" mass="0.05"
        condim="1" rgba="0.3 0.3 0.3 1"/>
      <geom name="rear_caster" type="sphere" size="0.02" pos="-0.11 0 0.022" mass="0.05"
        condim="1" rgba="0.3 0.3 0.3 1"/>
      {camera}{wheels}
    </body>"""


ACTUATORS = """
    <velocity name="left_motor" joint="left_wheel" kv="0.6" forcerange="-2.5 2.5"/>
    <velocity name="right_motor" joint="right_wheel" kv="0.6" forcerange="-2.5 2.5"/>"""


@dataclass(frozen=True)
class Odometry:
    """What the wheel encoders tell: pose since reset (m, rad) and body velocities (m/s, rad/s)."""

    x: float
    y: float
    yaw: float
    vx: float
    vy: float
    wz: float
    stamp: float

    def row(self) -> tuple[float, float, float, float, float, float, float]:
        """(x, y, yaw, vx, vy, wz, stamp), as episodes store it."""
        return (self.x, self.y, self.yaw, self.vx, self.vy, self.wz, self.stamp)


class Drive:
    """Turns velocity commands into wheel set-points: lag, wheel limits, command timeout."""

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        self._data = data
        self._motors = [model.actuator(f"{name}_motor").id for name in ("left", "right")]
        self._wheels = [model.joint(f"{name}_wheel").dofadr[0] for name in ("left", "right")]
        self._base = model.joint("base")
        self.reset()

    def reset(self) -> None:
        """Forgets command and odometry."""
        self._command = (0.0, 0.0)
        self._command_time = -math.inf
        self._lagged = (0.0, 0.0)
        self._pose = (0.0, 0.0, 0.0)
        self.disturbance = (0.0, 0.0)

    def command(self, vx: float, wz: float, now: float) -> None:
        """A velocity command (m/s, rad/s) heard at ``now`` (s)."""
        if not (math.isfinite(vx) and math.isfinite(wz)):
            raise ValueError(f"velocities must be finite, got {vx} m/s and {wz} rad/s")
        self._command = (vx, wz)
        self._command_time = now

    def update(self, now: float, dt: float) -> None:
        """Sets the wheels' speeds for the next ``dt`` seconds."""
        heard = now - self._command_time < COMMAND_TIMEOUT - 1e-9
        target = self._command if heard else (0.0, 0.0)
        if heard:
            target = (target[0] + self.disturbance[0], target[1] + self.disturbance[1])
        share = 1.0 - math.exp(-dt / LAG)
        vx, wz = (a + share * (b - a) for a, b in zip(self._lagged, target, strict=True))
        self._lagged = (vx, wz)
        speeds = np.array([vx - wz * TRACK / 2, vx + wz * TRACK / 2]) / WHEEL_RADIUS
        # One factor for both wheels keeps the path's curvature.
        speeds *= min(1.0, MAX_WHEEL_SPEED / max(np.abs(speeds).max(), 1e-9))
        self._data.ctrl[self._motors] = speeds

    def integrate(self, dt: float) -> None:
        """Advances the wheel odometry over the last ``dt`` seconds."""
        vx, wz = self.wheel_velocities()
        self._pose = moved(self._pose, (vx, 0.0, wz), dt)

    def wheel_velocities(self) -> tuple[float, float]:
        """(vx, wz) by the wheels, m/s and rad/s."""
        left, right = self._data.qvel[self._wheels] * WHEEL_RADIUS
        return float(left + right) / 2, float(right - left) / TRACK

    def odometry(self, now: float) -> Odometry:
        """Wheel odometry at ``now``."""
        vx, wz = self.wheel_velocities()
        x, y, yaw = self._pose
        return Odometry(x, y, math.remainder(yaw, math.tau), vx, 0.0, wz, now)

    def true_pose(self) -> tuple[float, float, float]:
        """(x, y, yaw) in the field frame, m and rad."""
        x, y, _, qw, qx, qy, qz = self._data.qpos[self._base.qposadr[0] :][:7]
        return float(x), float(y), yaw_of(qx, qy, qz, qw)

    def true_velocities(self) -> tuple[float, float]:
        """(vx, wz) of the chassis in its own frame, m/s and rad/s."""
        velocity = self._data.qvel[self._base.dofadr[0] :][:6]
        yaw = self.true_pose()[2]
        vx = math.cos(yaw) * velocity[0] + math.sin(yaw) * velocity[1]
        return float(vx), float(velocity[5])
