"""A camera, a file or a GStreamer pipeline -> `image`: whatever OpenCV opens.

python -m mobile_vla_ros.nodes.camera_node --ros-args -p source:=/dev/v4l/by-id/...-index0
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable

import numpy as np
from rclpy.duration import Duration
from rclpy.node import Node
from sensor_msgs.msg import Image

from mobile_vla_ros.nodes.camera.facts import FACT_PARAMETERS, CameraFacts
from mobile_vla_ros.nodes.camera.source import CameraError, Source
from mobile_vla_ros.nodes.wiring import policy_image
from mobile_vla_ros.nodes.wiring.image_message import image_message
from mobile_vla_ros.nodes.wiring.parameters import Declared, declare
from mobile_vla_ros.nodes.wiring.program import Program, Topic
from mobile_vla_ros.nodes.wiring.qos import queued
from mobile_vla_ros.nodes.wiring.running import Life, StopSignal, run_node

PARAMETERS = (
    Declared(
        "source",
        "0",
        "what to open: a device number, a device (/dev/v4l/by-id/... keeps its name when others"
        " are plugged in), a network camera's address (rtsp://..., http://...), a video file, an"
        " image pattern (frame_%03d.png), or a GStreamer pipeline (anything with a '!')",
    ),
    Declared("width", 1280, "pixels asked of a device; 0 = as it comes", 0, 16384),
    Declared("height", 720, "pixels asked of a device; 0 = as it comes", 0, 16384),
    Declared("rate", 0.0, "frames/s; 0 = the source's own", 0.0, 1000.0),
    Declared(
        "fourcc",
        "MJPG",
        "pixel format asked of a device; '' = as it comes; most USB cameras need MJPG for 720p",
    ),
    Declared("frame_id", "camera", "header.frame_id of the images"),
    Declared("loop", True, "a file starts again at its end; false = the node ends there"),
    Declared(
        "exposure",
        0.0,
        "fixed exposure in the driver's unit (V4L2: 100 us); 0 = automatic",
        0.0,
        1e6,
    ),
    Declared(
        "exposure_lock",
        0.0,
        "hold exposure and white balance as they are this many seconds after opening, so that"
        " brightness does not swing while driving; 0 = never",
        0.0,
        60.0,
    ),
    *policy_image.PARAMETERS,
    *FACT_PARAMETERS,
    Declared("reopen_period", 1.0, "seconds between attempts after a camera is lost", 0.1, 60.0),
)
PROGRAM = Program(
    node="camera",
    module="camera_node",
    about=__doc__ or "",
    parameters=PARAMETERS,
    tells=(
        Topic("image", "sensor_msgs/Image", "bgr8, reliable, stamped when it was captured"),
        policy_image.TOPIC,
        Topic("camera_info", "sensor_msgs/CameraInfo", "with each image, of the same stamp"),
        Topic("/tf_static", "tf2_msgs/TFMessage", "base_frame -> frame_id, with camera_height"),
        Topic(
            "footprint",
            "geometry_msgs/PolygonStamped",
            "of the base, m in base_frame; latched, with footprint_length and footprint_width",
        ),
    ),
)
# The images of a slow reliable subscriber wait here; five of 720p fit in the 32 MB of fastdds.xml.
QUEUE_DEPTH = 5


class CameraNode(Life, Node):
    """Publishes what a source shows on `image`, reliable."""

    def __init__(self, **options) -> None:
        super().__init__("camera", **options)
        self._settings = declare(self, PARAMETERS)
        if self._settings["fourcc"] and len(self._settings["fourcc"]) != 4:
            raise CameraError(f"fourcc is '{self._settings['fourcc']}': it needs four letters")
        self._facts = CameraFacts(self, self._settings)
        self._opened = time.monotonic()
        self._held = False
        """Whether exposure is as it is to be: held, or never to be held."""
        self._source = self._open()
        self._publisher = self.create_publisher(Image, "image", queued(QUEUE_DEPTH))
        self._small = policy_image.PolicyImage(self, self._settings)
        self.get_logger().info(
            f"opened {self._source.description}: on {self._publisher.topic_name}"
        )
        self._stopping = threading.Event()
        self._frames = 0
        self._failure = ""
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)

    def work(self, stop: StopSignal) -> int:
        """Publishes until told to stop, or until a file without `loop` is over.

        Returns:
            exit status: 1 when the source gave not a single frame.
        """
        self._thread.start()
        while not stop.wait(0.1) and self._thread.is_alive():
            pass
        self._stopping.set()
        self._thread.join(2.0)
        if self._failure:
            self.get_logger().error(self._failure)
        return 1 if self._failure else 0

    def _open(self) -> Source:
        settings = self._settings
        source = Source(
            settings["source"],
            settings["width"],
            settings["height"],
            settings["fourcc"],
            settings["exposure"],
        )
        self._opened = time.monotonic()
        self._held = not (settings["exposure_lock"] and source.is_device)
        return source

    def _run(self) -> None:
        pace = _pace(self._settings["rate"] or (self._source.rate if self._source.is_file else 0))
        published = 0
        while not self._stopping.is_set():
            frame = self._source.read()
            age = self._source.age()
            if frame is None:
                if self._source.is_file and not (self._settings["loop"] and published):
                    if not self._frames:
                        self._failure = f"camera source '{self._source.name}' holds no frame"
                    return
                published = 0
                self._reopen()
                continue
            self._hold_exposure_when_due()
            self._publish(frame, age)
            published += 1
            self._frames += 1
            self._stopping.wait(pace(time.monotonic()))

    def _hold_exposure_when_due(self) -> None:
        lock = self._settings["exposure_lock"]
        if not self._held and time.monotonic() - self._opened >= lock:
            self._source.hold_exposure()
            self._held = True
            self.get_logger().info("exposure and white balance are held from now on")

    def _reopen(self) -> None:
        """Opens the source again: at once for a file, until it is back for a camera."""
        lost = not self._source.is_file
        self._source.close()
        if lost:
            self.get_logger().error(f"camera '{self._source.name}' is lost: trying to reopen it")
        while not self._stopping.is_set():
            try:
                self._source = self._open()
            except CameraError as error:
                self.get_logger().warning(str(error), throttle_duration_sec=10.0)
                self._stopping.wait(self._settings["reopen_period"])
                continue
            if lost:
                self.get_logger().info(f"camera is back: {self._source.description}")
            return

    def _publish(self, frame: np.ndarray, age: float) -> None:
        stamp = (self.get_clock().now() - Duration(seconds=age)).to_msg()
        frame_id = self._settings["frame_id"]
        self._publisher.publish(image_message(frame, stamp, frame_id, encoding="bgr8"))
        self._small.publish(frame[:, :, ::-1], stamp, frame_id)
        self._facts.publish(stamp, *frame.shape[:2])


def _pace(rate: float) -> Callable[[float], float]:
    """How long to wait before the next frame, at `rate` frames/s; 0 = not at all."""
    due: list[float] = []

    def wait(now: float) -> float:
        if rate <= 0:
            return 0.0
        # After a stall, frames do not hurry to make up for it.
        due[:] = [max(due[0] + 1 / rate, now)] if due else [now + 1 / rate]
        return due[0] - now

    return wait


def main(args: list[str] | None = None) -> int:
    return run_node(PROGRAM, lambda _stop: CameraNode(), args)


if __name__ == "__main__":
    sys.exit(main())
