"""One field: physics, camera and judge together, advanced by hand."""

from __future__ import annotations

import numpy as np

from mobile_vla_ros.sim.camera import Camera, CameraSettings
from mobile_vla_ros.sim.engine import mujoco
from mobile_vla_ros.sim.expert import FieldState
from mobile_vla_ros.sim.layout import Layout, sample_layout
from mobile_vla_ros.sim.outcome import (
    TIME_LIMIT,
    TOUCHED_BOTTLE,
    TOUCHED_BOX,
    TOUCHED_WALL,
    Judge,
    Outcome,
)
from mobile_vla_ros.sim.robot import Drive, Odometry
from mobile_vla_ros.sim.scenario import Scenario
from mobile_vla_ros.sim.world import TIMESTEP, build_model

TICK_STEPS = 2  # physics steps between two looks at contacts and commands
TICK = TICK_STEPS * TIMESTEP  # s


class Field:
    """The simulated field of one scenario and seed. Not thread-safe; render from one thread.

    Args:
        scenario: a name such as ``1box_left`` or ``2box_right_far``, or a parsed one.
        seed: decides where things stand and how they look, 0 or more.
        camera: what the robot sees with.
        time_limit: s after which the run has failed.

    Raises:
        ScenarioError: the name means nothing.
    """

    def __init__(
        self,
        scenario: str | Scenario,
        seed: int,
        camera: CameraSettings | None = None,
        time_limit: float = TIME_LIMIT,
    ) -> None:
        self.layout: Layout = sample_layout(scenario, seed)
        self.scenario = self.layout.scenario
        self.seed = seed
        self.camera_settings = camera or CameraSettings()
        self._time_limit = time_limit
        self._model = build_model(self.layout, self.camera_settings)
        self._data = mujoco.MjData(self._model)
        self._drive = Drive(self._model, self._data)
        self._camera: Camera | None = None
        names = {TOUCHED_BOTTLE: "bottle", TOUCHED_WALL: "wall_", TOUCHED_BOX: "box"}
        self._touch = {
            geom: reason
            for geom in range(self._model.ngeom)
            for reason, name in names.items()
            if self._model.geom(geom).name.startswith(name)
        }
        self.reset()

    def reset(self) -> None:
        """Puts the robot back to the start, at time 0."""
        mujoco.mj_resetData(self._model, self._data)
        self._drive.reset()
        self._ticks = 0
        self._owed = 0.0
        if self._camera is not None:
            self._camera.reset()
        mujoco.mj_forward(self._model, self._data)
        self.begin()

    def begin(self) -> None:
        """Starts judging anew, from the present moment and place; ``reset`` does it too."""
        self._began = self.time
        self._judge = Judge(self.layout, self._time_limit)
        self._judge.update(0.0, self.pose, self.velocities)

    @property
    def instruction(self) -> str:
        """The sentence that asks for this scenario's side."""
        return self.scenario.instruction

    @property
    def time(self) -> float:
        """Seconds since the start; the capture stamp of a frame rendered now."""
        return self._ticks * TICK

    @property
    def pose(self) -> tuple[float, float, float]:
        """True (x, y, yaw) in the field frame, m and rad."""
        return self._drive.true_pose()

    @property
    def velocities(self) -> tuple[float, float]:
        """True (vx, wz) in the robot's frame, m/s and rad/s."""
        return self._drive.true_velocities()

    @property
    def odom(self) -> Odometry:
        """What the wheels tell, in a frame that starts at the robot's start."""
        return self._drive.odometry(self.time)

    @property
    def state(self) -> FieldState:
        """All that the scripted driver needs to know."""
        return FieldState(self.layout, self.pose, self.velocities)

    @property
    def physics(self) -> tuple[mujoco.MjModel, mujoco.MjData]:
        """MuJoCo's model and state, to look at."""
        return self._model, self._data

    def command(self, vx: float, vy: float, wz: float) -> None:
        """A velocity command (m/s, m/s, rad/s); the base cannot strafe and ignores ``vy``.

        It holds for at most 0.5 s.

        Raises:
            ValueError: a velocity that is not finite.
        """
        del vy
        self._drive.command(float(vx), float(wz), self.time)

    def disturb(self, vx: float, wz: float) -> None:
        """Adds to every command until changed: the base no longer does quite what it is told."""
        self._drive.disturbance = (float(vx), float(wz))

    def advance(self, dt: float) -> None:
        """Lets ``dt`` seconds pass, in ticks of 10 ms; what is left over counts next time."""
        self._owed += dt
        while self._owed > TICK / 2:
            self._owed -= TICK
            self._drive.update(self.time, TICK)
            mujoco.mj_step(self._model, self._data, nstep=TICK_STEPS)
            self._drive.integrate(TICK)
            self._ticks += 1
            self._judge.update(
                self.time - self._began, self.pose, self.velocities, self._touched()
            )

    def step(self, velocities: tuple[float, ...] | np.ndarray, dt: float) -> None:
        """Commands ``(vx, vy, wz)`` or ``(vx, wz)`` and lets ``dt`` seconds pass.

        Raises:
            ValueError: another number of velocities, or one that is not finite.
        """
        values = [float(value) for value in velocities]
        if len(values) not in (2, 3):
            raise ValueError(f"expected (vx, wz) or (vx, vy, wz), got {len(values)} velocities")
        self.command(values[0], 0.0, values[-1])
        self.advance(dt)

    def render(self) -> np.ndarray:
        """The camera's view now, uint8 [H, W, 3] RGB.

        Raises:
            InputError: no EGL or OSMesa library on this machine.
        """
        if self._camera is None:
            self._camera = Camera(self._model, self.camera_settings, self.seed)
        return self._camera.render(self._data)

    def outcome(self) -> Outcome:
        """How the run stands."""
        return self._judge.outcome()

    def if_ended(self) -> str:
        """The reason that the outcome would have if the run ended now."""
        return self._judge.if_ended()

    def conclude(self) -> None:
        """Ends the run as it stands: whoever drove has let go for good."""
        self._judge.conclude()

    def close(self) -> None:
        """Frees the graphics context."""
        if self._camera is not None:
            self._camera.close()
            self._camera = None

    def __enter__(self) -> Field:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _touched(self) -> str | None:
        for index in range(self._data.ncon):
            for geom in self._data.contact.geom[index]:
                if int(geom) in self._touch:
                    return self._touch[int(geom)]
        return None
