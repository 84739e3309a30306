"""The forward camera: settings, and frames rendered without a window."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from mobile_vla_ros.errors import InputError
from mobile_vla_ros.rig import Rig
from mobile_vla_ros.sim.engine import mujoco

_GRAIN_ROOM = 64  # pixels by which the noise picture is larger than a frame


@dataclass(frozen=True)
class CameraSettings:
    """Where the camera looks from and what it delivers.

    Attributes:
        width, height: pixels.
        mount_height: m above the floor.
        tilt: degrees downwards.
        field_of_view: horizontal, degrees.
        forward: m ahead of the robot's centre.
        shadows: render shadow maps (a factor four slower in software).
        samples: per pixel against jagged edges, 0 to 8; 4 doubles the rendering time.
        noise: standard deviation of the sensor's noise in grey levels. Without any, two frames of
            a standing robot are equal to the last bit, as a frozen camera's are.
    """

    width: int = 640
    height: int = 360
    mount_height: float = 0.40
    tilt: float = 20.0
    field_of_view: float = 96.0
    forward: float = 0.05
    shadows: bool = False
    samples: int = 0
    noise: float = 0.6

    @property
    def rig(self) -> Rig:
        """As a recording keeps it."""
        return Rig(
            camera="simulated field",
            width=self.width,
            height=self.height,
            mount_height=self.mount_height,
            tilt=self.tilt,
            field_of_view=self.field_of_view,
            exposure="fixed",
        )

    def __post_init__(self) -> None:
        if not (16 <= self.width <= 1920 and 16 <= self.height <= 1080):
            raise InputError(
                f"a camera of {self.width}x{self.height} pixels: width must be 16 to 1920 and "
                "height 16 to 1080"
            )
        if not 20 <= self.field_of_view <= 140:
            raise InputError(f"a field of view of {self.field_of_view:g} degrees: give 20 to 140")
        if not 0.1 <= self.mount_height <= 2.0:
            raise InputError(f"a camera {self.mount_height:g} m high: give 0.1 to 2 m")
        if not -45 <= self.tilt <= 80:
            raise InputError(f"a tilt of {self.tilt:g} degrees: give -45 to 80 (down)")
        if not 0 <= self.noise <= 50:
            raise InputError(f"sensor noise of {self.noise:g} grey levels: give 0 to 50")
        if self.samples not in range(9):
            raise InputError(f"{self.samples} samples per pixel: give 0 to 8")

    @property
    def vertical_field_of_view(self) -> float:
        """Degrees, for square pixels."""
        half = math.tan(math.radians(self.field_of_view) / 2) * self.height / self.width
        return math.degrees(2 * math.atan(half))

    def project(self, pose: tuple[float, float, float], points: np.ndarray) -> np.ndarray:
        """Image places of points in the field frame, for a robot at ``pose`` that stands level.

        Args:
            pose: (x, y, yaw) of the robot, m and rad.
            points: float [N, 3], m, field frame.

        Returns:
            float64 [N, 2]: (u, v) as fractions of width and height, 0 at the upper left; NaN for
            points behind the camera. Values outside [0, 1] are out of view.
        """
        x, y, yaw = pose
        c, s = math.cos(yaw), math.sin(yaw)
        relative = np.asarray(points, float) - (x, y, 0.0)
        ahead = c * relative[:, 0] + s * relative[:, 1] - self.forward
        left = -s * relative[:, 0] + c * relative[:, 1]
        up = relative[:, 2] - self.mount_height
        tilt = math.radians(self.tilt)
        depth = math.cos(tilt) * ahead - math.sin(tilt) * up
        upward = math.sin(tilt) * ahead + math.cos(tilt) * up
        half_u = math.tan(math.radians(self.field_of_view) / 2)
        half_v = half_u * self.height / self.width
        depth = np.where(depth > 0.01, depth, np.nan)
        return np.stack(
            [0.5 - left / depth / half_u / 2, 0.5 - upward / depth / half_v / 2], axis=1
        )


def camera_mjcf(settings: CameraSettings) -> str:
    """MJCF of the camera in the robot's base frame."""
    tilt = math.radians(settings.tilt)
    # x of the camera is the robot's right; y leans forward by the tilt.
    axes = f"0 -1 0 {math.sin(tilt)} 0 {math.cos(tilt)}"
    return (
        f'<camera name="front" pos="{settings.forward} 0 {settings.mount_height}" '
        f'xyaxes="{axes}" fovy="{settings.vertical_field_of_view}"/>'
    )


class Camera:
    """Renders the view of the model's camera ``front``. Use it from one thread only."""

    def __init__(self, model: mujoco.MjModel, settings: CameraSettings, seed: int = 0) -> None:
        self.settings = settings
        self._seed = seed
        self._grain = self._make_grain() if settings.noise > 0 else None
        self.reset()
        try:
            self._renderer = mujoco.Renderer(model, settings.height, settings.width)
        except Exception as error:
            raise InputError(
                "MuJoCo cannot render here: install an EGL or OSMesa library "
                f"(libegl1, libosmesa6) or set MUJOCO_GL ({error})"
            ) from error
        flags = self._renderer.scene.flags
        flags[mujoco.mjtRndFlag.mjRND_SHADOW] = settings.shadows
        flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False

    def render(self, data: mujoco.MjData, camera: str = "front") -> np.ndarray:
        """uint8 [H, W, 3] RGB of the present state."""
        self._renderer.update_scene(data, camera)
        image = self._renderer.render()
        if self._grain is None:
            return image
        height, width = image.shape[:2]
        top, left = self._rng.integers(_GRAIN_ROOM, size=2)
        grain = self._grain[top : top + height, left : left + width]
        return cv2.add(image, grain)

    def reset(self) -> None:
        """Starts the noise over, so that a run repeated gives the same frames."""
        self._rng = np.random.default_rng([self._seed, 404])

    def _make_grain(self) -> np.ndarray:
        """A noise picture larger than a frame; each frame takes another part of it."""
        rng = np.random.default_rng([self._seed, 405])
        shape = (self.settings.height + _GRAIN_ROOM, self.settings.width + _GRAIN_ROOM, 3)
        level = self.settings.noise
        grain = rng.standard_normal(shape, dtype=np.float32) * level + 2 * level
        return np.clip(grain.round(), 0, 255).astype(np.uint8)

    def close(self) -> None:
        """Frees the graphics context."""
        self._renderer.close()
