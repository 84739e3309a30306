"""A source of frames: a device, a file, image files or a GStreamer pipeline, by OpenCV."""

from __future__ import annotations

import time

import cv2
import numpy as np

from mobile_vla_ros.errors import InputError

# A driver's timestamp further away from the grab than this is on another clock.
DRIVER_STAMP_TRUST = 1.0
V4L2_MANUAL_EXPOSURE = 1.0


class CameraError(InputError):
    """A source that cannot be opened or has gone; the sentence names it."""


class Source:
    """An opened source of frames.

    Args:
        name: device number, device path, file, image pattern or GStreamer pipeline.
        width, height, fourcc: asked of a device; zero or '' leaves them alone.
        exposure: fixed exposure of a device; 0 = automatic.

    Raises:
        CameraError: OpenCV cannot open it, or it gives no frame.
    """

    def __init__(
        self,
        name: str,
        width: int = 0,
        height: int = 0,
        fourcc: str = "",
        exposure: float = 0.0,
    ) -> None:
        self.name = name
        self.is_pipeline = "!" in name
        self.is_device = not self.is_pipeline and (name.isdigit() or name.startswith("/dev/"))
        self.is_file = not (self.is_pipeline or self.is_device)
        self._capture = self._open()
        if self.is_device:
            self._ask(width, height, fourcc, exposure)

    def _open(self) -> cv2.VideoCapture:
        if self.is_pipeline:
            if not cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
                raise CameraError(
                    f"source '{self.name}' is a GStreamer pipeline, which this OpenCV is built"
                    " without: use apt's python3-opencv"
                )
            capture = cv2.VideoCapture(self.name, cv2.CAP_GSTREAMER)
        elif self.is_device:
            device = int(self.name) if self.name.isdigit() else self.name
            capture = cv2.VideoCapture(device, cv2.CAP_V4L2)
        else:
            capture = cv2.VideoCapture(self.name)
        if not capture.isOpened():
            capture.release()
            hint = "look at 'ls -l /dev/v4l/by-id' and whether another program holds it"
            raise CameraError(
                f"camera source '{self.name}' cannot be opened: "
                + (hint if self.is_device else "no such file, or no format that OpenCV reads")
            )
        return capture

    def _ask(self, width: int, height: int, fourcc: str, exposure: float) -> None:
        # One buffer: an old frame is of no use to whoever drives.
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        if fourcc:
            self._capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*fourcc))
        if width and height:
            self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, width)
            self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, height)
        if exposure:
            self._capture.set(cv2.CAP_PROP_AUTO_EXPOSURE, V4L2_MANUAL_EXPOSURE)
            self._capture.set(cv2.CAP_PROP_EXPOSURE, exposure)

    @property
    def rate(self) -> float:
        """Frames/s as the source says; 0 when it does not."""
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        return rate if np.isfinite(rate) and 0 < rate < 1000 else 0.0

    @property
    def description(self) -> str:
        """What was opened: kind, name, size and rate as the source itself says them."""
        kind = "device" if self.is_device else "pipeline" if self.is_pipeline else "file"
        width = int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH))
        height = int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        rate = f"{self.rate:.3g} frames/s" if self.rate else "a rate that it does not say"
        return f"{kind} {self.name}, {width}x{height}, {rate}"

    def read(self) -> np.ndarray | None:
        """The next frame, uint8 [H,W,3] BGR; None at the end or when the device is gone."""
        good, frame = self._capture.read()
        return frame if good and frame is not None and frame.size else None

    def age(self) -> float:
        """Seconds since the driver captured the frame just read; 0 when it does not say.

        V4L2 drivers stamp buffers on the monotonic clock, and OpenCV hands that on as the
        position in milliseconds. Other sources' positions are not capture times.
        """
        if not self.is_device:
            return 0.0
        age = time.monotonic() - self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        return age if 0.0 <= age < DRIVER_STAMP_TRUST else 0.0

    def hold_exposure(self) -> None:
        """Keeps the exposure and white balance that the automatics have settled on."""
        exposure = self._capture.get(cv2.CAP_PROP_EXPOSURE)
        temperature = self._capture.get(cv2.CAP_PROP_WB_TEMPERATURE)
        self._capture.set(cv2.CAP_PROP_AUTO_EXPOSURE, V4L2_MANUAL_EXPOSURE)
        self._capture.set(cv2.CAP_PROP_EXPOSURE, exposure)
        self._capture.set(cv2.CAP_PROP_AUTO_WB, 0)
        self._capture.set(cv2.CAP_PROP_WB_TEMPERATURE, temperature)

    def close(self) -> None:
        self._capture.release()
