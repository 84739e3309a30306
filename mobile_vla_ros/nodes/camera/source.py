"""A source of frames: a device, a network camera, a file, image files or a GStreamer pipeline.

A film is what has an end; everything else is live, and of what is live the newest frame counts.
"""

from __future__ import annotations

import re
import stat
import threading
import time
from pathlib import Path

import cv2
import numpy as np

from mobile_vla_ros.errors import InputError

# A driver's timestamp further away from the grab than this is on another clock.
DRIVER_STAMP_TRUST = 1.0
V4L2_MANUAL_EXPOSURE = 1.0
# A network camera that is silent for so long, s, is gone.
STREAM_SILENCE = 10.0
_ADDRESS = re.compile(r"(?!file:)[a-zA-Z][a-zA-Z0-9+.-]*://")


class CameraError(InputError):
    """A source that cannot be opened or has gone; the sentence names it."""


class Source:
    """An opened source of frames.

    Args:
        name: device number, device path, address of a network camera, file, image pattern or
            GStreamer pipeline.
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
        self.is_address = not self.is_pipeline and _ADDRESS.match(name) is not None
        self._capture = self._open()
        self.is_stream = self._is_stream()
        self.is_file = not (self.is_pipeline or self.is_device or self.is_stream)
        self._newest = _Newest(self._capture) if self.is_stream else None
        self._age = 0.0
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
        elif self.is_address and cv2.videoio_registry.hasBackend(cv2.CAP_FFMPEG):
            patience = round(1000 * STREAM_SILENCE)
            limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, patience]
            limits += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, patience]
            capture = cv2.VideoCapture(self.name, cv2.CAP_FFMPEG, limits)
        else:
            capture = cv2.VideoCapture(self.name)
        if not capture.isOpened():
            capture.release()
            hint = "no such file, or no format that OpenCV reads"
            if self.is_device:
                hint = "look at 'ls -l /dev/v4l/by-id' and whether another program holds it"
            elif self.is_address:
                hint = "nobody answers there, or with no format that OpenCV reads"
            raise CameraError(f"camera source '{self.name}' cannot be opened: {hint}")
        return capture

    def _is_stream(self) -> bool:
        """Whether it is live and comes over a network or a pipe: it says no number of frames."""
        if self.is_address:
            return self._capture.get(cv2.CAP_PROP_FRAME_COUNT) <= 0
        try:
            return not self.is_pipeline and stat.S_ISFIFO(Path(self.name).stat().st_mode)
        except OSError:
            return False

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
        if self.is_stream:
            kind = "stream"
        width = int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH))
        height = int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        rate = f"{self.rate:.3g} frames/s" if self.rate else "a rate that it does not say"
        return f"{kind} {self.name}, {width}x{height}, {rate}"

    def read(self) -> np.ndarray | None:
        """The next frame, uint8 [H,W,3] BGR; None at the end or when the camera is gone.

        Of a stream it is the newest that was not read yet.
        """
        if self._newest is not None:
            frame, self._age = self._newest.take()
            return frame
        good, frame = self._capture.read()
        return frame if good and frame is not None and frame.size else None

    def age(self) -> float:
        """Seconds since the driver captured the frame just read; 0 when it does not say.

        V4L2 drivers stamp buffers on the monotonic clock, and OpenCV hands that on as the
        position in milliseconds. Other sources' positions are not capture times. Of a stream it is
        how long the frame has waited here: what the camera and the network took nobody says.
        """
        if self.is_stream:
            return self._age
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
        if self._newest is not None:
            self._newest.end()
        else:
            self._capture.release()


class _Newest:
    """Reads a stream as fast as it comes, and keeps the newest frame.

    A stream that is read more slowly than it is sent piles up in the buffers on its way, and what
    is read grows old.

    Args:
        capture: is read by a thread of its own from now on, which also releases it.
    """

    def __init__(self, capture: cv2.VideoCapture) -> None:
        self._capture = capture
        self._changed = threading.Condition()
        self._frame: np.ndarray | None = None
        self._read_at = 0.0
        self._over = False
        threading.Thread(target=self._follow, name="stream", daemon=True).start()

    def take(self) -> tuple[np.ndarray | None, float]:
        """The newest frame, once, and its age, s; (None, 0) when no more come."""
        with self._changed:
            self._changed.wait_for(lambda: self._frame is not None or self._over, STREAM_SILENCE)
            frame, self._frame = self._frame, None
            return frame, 0.0 if frame is None else time.monotonic() - self._read_at

    def end(self) -> None:
        """The thread ends after the frame that it waits for."""
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def _follow(self) -> None:
        while not self._over:
            good, frame = self._capture.read()
            with self._changed:
                if good and frame is not None and frame.size:
                    self._frame, self._read_at = frame, time.monotonic()
                else:
                    self._over = True
                self._changed.notify_all()
        self._capture.release()
