"""A pinhole camera's numbers: from a calibration file, from its field of view, or not known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from mobile_vla_ros.errors import InputError
from mobile_vla_ros.files import home_path, text_of
from mobile_vla_ros.rig import Rig


class CalibrationError(InputError):
    """A calibration file that cannot be used; the sentence says why."""


@dataclass(frozen=True)
class CameraModel:
    """What sensor_msgs/CameraInfo says, for frames of one size.

    Attributes:
        source: ``calibrated``, ``nominal`` (from the field of view) or ``unknown``.
        width, height: pixels that it is for; 0 where it fits any.
        distortion_model: as ROS names it; '' when not known.
        d: distortion coefficients.
        k: float64 [3,3], camera matrix; zeros when not known, as ROS says it.
        r: float64 [3,3], rectification.
        p: float64 [3,4], projection.
    """

    source: str
    width: int
    height: int
    distortion_model: str
    d: np.ndarray
    k: np.ndarray
    r: np.ndarray
    p: np.ndarray

    def sized(self, width: int, height: int) -> CameraModel:
        """The model for frames of another size, of the same shape.

        Raises:
            CalibrationError: the shape is another, so it is another part of the picture.
        """
        if not self.width or (width, height) == (self.width, self.height):
            return self
        across, down = width / self.width, height / self.height
        if abs(across / down - 1) > 0.01:
            raise CalibrationError(
                f"the calibration is for {self.width}x{self.height}, the frames are "
                f"{width}x{height}: calibrate at the frames' size"
            )
        scale = np.diag([across, down, 1.0])
        return CameraModel(
            self.source,
            width,
            height,
            self.distortion_model,
            self.d,
            scale @ self.k,
            self.r,
            scale @ self.p,
        )


def read_calibration(path: str | Path) -> CameraModel:
    """Reads the YAML that ROS's camera_calibration writes.

    Raises:
        CalibrationError: there is no such file, or a matrix is missing or of another shape.
    """
    file = home_path(path)
    try:
        values = yaml.safe_load(text_of(file))
    except OSError as error:
        raise CalibrationError(f"cannot read the calibration {file}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError):
        raise CalibrationError(f"the calibration {file} is no YAML") from None
    if not isinstance(values, dict):
        raise CalibrationError(f"the calibration {file} is no YAML of a camera")
    width, height = (
        side if isinstance(side, int) else 0
        for side in (values.get("image_width"), values.get("image_height"))
    )
    if width <= 0 or height <= 0:
        raise CalibrationError(f"the calibration {file} has no image_width and image_height")
    k = _matrix(file, values, "camera_matrix", (3, 3))
    if not (k[0, 0] > 0 and k[1, 1] > 0):
        raise CalibrationError(f"the calibration {file} has no focal length in camera_matrix")
    plain = np.hstack([k, np.zeros((3, 1))])
    return CameraModel(
        "calibrated",
        width,
        height,
        str(values.get("distortion_model") or "plumb_bob"),
        _matrix(file, values, "distortion_coefficients", (-1,), np.zeros(5)),
        k,
        _matrix(file, values, "rectification_matrix", (3, 3), np.eye(3)),
        _matrix(file, values, "projection_matrix", (3, 4), plain),
    )


def model_of_view(rig: Rig) -> CameraModel:
    """A pinhole with the rig's field of view; without one, zeros, which mean 'not calibrated'."""
    width, height, focal = rig.width or 0, rig.height or 0, rig.focal_length
    k, p = np.zeros((3, 3)), np.zeros((3, 4))
    if focal:
        k = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], np.float64)
        p = np.hstack([k, np.zeros((3, 1))])
    source, named = ("nominal", "plumb_bob") if focal else ("unknown", "")
    return CameraModel(source, width, height, named, np.zeros(5 if focal else 0), k, np.eye(3), p)


def _matrix(
    file: Path,
    values: dict[str, Any],
    name: str,
    shape: tuple[int, ...],
    missing: np.ndarray | None = None,
) -> np.ndarray:
    entry = values.get(name)
    if entry is None and missing is not None:
        return missing
    try:
        data = np.array(entry["data"], np.float64).reshape(shape)  # type: ignore[index]
    except (KeyError, TypeError, ValueError):
        raise CalibrationError(f"the calibration {file} has no usable {name}") from None
    if not np.isfinite(data).all():
        raise CalibrationError(f"the calibration {file}: {name} is not finite")
    return data
