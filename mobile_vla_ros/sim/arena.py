"""What all fields share: physics, camera and judge together, advanced by hand."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np

from mobile_vla_ros.sim.camera import Camera, CameraSettings
from mobile_vla_ros.sim.engine import mujoco
from mobile_vla_ros.sim.outcome import Outcome
from mobile_vla_ros.sim.robot import Drive, Odometry
from mobile_vla_ros.sim.world import TIMESTEP

TICK_STEPS = 2  # physics steps between two looks at contacts and commands
TICK = TICK_STEPS * TIMESTEP  # s


_Same = TypeVar("_Same", bound="Arena")


class Judging(Protocol):
    """Watches one run and says how it stands."""

    def update(
        self,
        time: float,
        pose: tuple[float, float, float],
        velocities: tuple[float, float],
        touched: str | None = None,
    ) -> None:
        """One observation, s, field frame; `touched` is a reason that ends the run."""
        ...

    def outcome(self) -> Outcome:
        """How the run stands now."""
        ...

    def if_ended(self) -> str:
        """The reason that the outcome would have if the run ended now."""
        ...

    def conclude(self) -> None:
        """Ends the run as it stands."""
        ...


class Arena(ABC):
    """A field of any kind. Not thread-safe; render from one thread.

    Args:
        name: of the scenario.
        seed: decides where things stand and how they look, 0 or more.
        model: the compiled field.
        camera: what the robot sees with.
        touches: a geom's name, or its beginning, for each reason that touching it gives.
    """

    def __init__(
        self,
        name: str,
        seed: int,
        model: mujoco.MjModel,
        camera: CameraSettings,
        touches: Mapping[str, str],
    ) -> None:
        self.name = name
        self.seed = seed
        self.camera_settings = camera
        self._model = model
        self._data = mujoco.MjData(self._model)
        self._drive = Drive(self._model, self._data)
        self._camera: Camera | None = None
        self._touch = {
            geom: reason
            for geom in range(self._model.ngeom)
            for reason, start in touches.items()
            if self._model.geom(geom).name.startswith(start)
        }
        self.reset()

    # -- what each kind of field knows ---------------------------------------------------------

    @property
    def goal(self) -> str:
        """How a sentence calls what is driven to."""
        return "bottle"

    @property
    @abstractmethod
    def instruction(self) -> str:
        """The sentence that asks for what counts as success now."""

    @property
    @abstractmethod
    def state(self) -> Any:
        """All that the scripted driver needs to know."""

    @abstractmethod
    def expert(self, max_linear: float) -> tuple[float, float]:
        """(vx, wz) that the scripted driver commands now, m/s and rad/s."""

    @abstractmethod
    def free(self, x: float, y: float) -> float:
        """Free distance between a chassis at (x, y) and all that it must not touch now, m."""

    @abstractmethod
    def truth(self, states: Sequence[Any], period: float) -> dict[str, Any]:
        """The attributes that a simulated episode with these states carries."""

    @abstractmethod
    def new_judge(self) -> Judging:
        """One that has seen nothing yet."""

    def pass_time(self, seconds: float) -> None:
        """Moves what moves by itself; called before each tick of physics."""
        del seconds  # nothing does

    # -- what they share -----------------------------------------------------------------------

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
        self._judge = self.new_judge()
        self._judge.update(0.0, self.pose, self.velocities)

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
            self.pass_time(TICK)
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

    def __enter__(self: _Same) -> _Same:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _touched(self) -> str | None:
        for index in range(self._data.ncon):
            for geom in self._data.contact.geom[index]:
                if int(geom) in self._touch:
                    return self._touch[int(geom)]
        return None
