"""Camera images on their way to the model: checked, stamped, copied once, the newest only.

Runs in the executor's thread and does nothing slow there; takes no lock of its own (its numbers
are read from another thread one by one).
"""

from __future__ import annotations

import time

from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image

from mobile_vla_ros.nodes.inference.driver import Driver
from mobile_vla_ros.nodes.inference.model import Frame, Model
from mobile_vla_ros.nodes.inference.overlay_publisher import OverlayPublisher
from mobile_vla_ros.nodes.wiring.camera_subscription import CameraSubscription
from mobile_vla_ros.nodes.wiring.capture_time import CaptureTime
from mobile_vla_ros.nodes.wiring.diagnostics import Percentiles
from mobile_vla_ros.nodes.wiring.images import ImageError, ImageFormat, fingerprint, image_format
from mobile_vla_ros.nodes.wiring.trajectory import NANOSECONDS
from mobile_vla_ros.nodes.wiring.voices import Turns
from mobile_vla_ros.pictures import check_size, is_grey

COMPLAINT_PERIOD = 5.0
# Whether pictures are grey is looked at in one of so many.
GREY_EVERY = 10
GREY_WARNING = "the camera's pictures are grey: the policy has learnt colours"
CHANGED_WARNING = (
    "the camera changed from {} to {}: the policy may see another picture than it was trained with"
)


class FrameIntake:
    """What is done with each message of the camera.

    Args:
        node: whose clock and log are used.
        driver: is told of every frame, and says which the model is to have.
        model: gets them.
        overlays: gets them too, while somebody looks.
    """

    def __init__(
        self, node: Node, driver: Driver, model: Model, overlays: OverlayPublisher
    ) -> None:
        self._node = node
        self._driver = driver
        self._model = model
        self._overlays = overlays
        self._capture = CaptureTime()
        self._kind = self._first_kind = ""
        self._frames = self._lost = self._bad = 0
        self._seconds = Percentiles()
        self._turns = Turns()
        self._grey = False
        self.camera: CameraSubscription | None = None
        """What brings the messages; None while there is none."""

    def begin(self, stamp_source: str, clock_offset: float) -> None:
        """Counts anew; see `CaptureTime`."""
        self._capture = CaptureTime(stamp_source, clock_offset)
        self._kind = self._first_kind = ""
        self._frames = self._lost = self._bad = 0
        self._seconds = Percentiles()
        self._turns = Turns()
        self._grey = False

    def take(self, message: Image | CompressedImage, info) -> None:
        """One message has come."""
        now = time.monotonic()
        self._frames += 1
        number = info.get("publication_sequence_number")
        if self._turns.hear(number, message.header.frame_id, now):
            self._driver.two_cameras(True)
        try:
            check_size(len(message.data))
            form = None if isinstance(message, CompressedImage) else image_format(message)
        except ImageError as error:
            self.refuse(str(error))
            self._driver.unreadable()
            return
        self._note_kind(message.format if form is None else _words(form))
        if self._frames % GREY_EVERY == 1:
            self._note_grey(message, form)
        here = self._node.get_clock().now().nanoseconds
        stamp = self._capture.nanoseconds(message.header.stamp, here)
        order = self._driver.frame(stamp / NANOSECONDS, fingerprint(message.data), now)
        if order is not None:
            frame = Frame(stamp / NANOSECONDS, stamp, *order, form, now)
            self._model.offer(frame, message.data)
        self._overlays.show(form, message.data)
        self._seconds.see(time.monotonic() - now)

    def refuse(self, sentence: str) -> None:
        """A frame is no picture, for the reason in `sentence`."""
        self._bad += 1
        self._node.get_logger().error(sentence, throttle_duration_sec=COMPLAINT_PERIOD)

    def look_around(self) -> None:
        """Several times a second: whether one camera alone speaks."""
        camera = self.camera
        if camera is not None:
            listed = self._node.count_publishers(camera.topic_name)
            self._driver.two_cameras(self._turns.two(listed, time.monotonic()))

    def lost(self, count: int) -> None:
        """DDS has lost so many messages more."""
        self._lost += count

    def readings(self) -> dict[str, object]:
        """For diagnostics."""
        p50, p99 = self._seconds.at(50, 99)
        return {
            "image_callback_p50": p50,
            "image_callback_p99": p99,
            "frames_received": self._frames,
            "frames_lost_by_dds": self._lost,
            "frames_skipped": self._model.replaced,
            "bad_images": self._bad,
            "camera_warning": "; ".join(self._warnings()),
        }

    def _note_grey(self, message: Image | CompressedImage, form: ImageFormat | None) -> None:
        """Warns of pictures without colour."""
        if form is not None:
            grey = form.encoding.startswith("mono")
        else:
            grey = is_grey(message.data)
        if grey and not self._grey:
            self._node.get_logger().warning(GREY_WARNING)
        self._grey = grey

    def _note_kind(self, kind: str) -> None:
        """Warns of a camera that changes its size, encoding or format."""
        if kind == self._kind:
            return
        if self._kind:
            self._node.get_logger().warning(
                CHANGED_WARNING.format(self._kind, kind), throttle_duration_sec=COMPLAINT_PERIOD
            )
        self._kind = kind
        self._first_kind = self._first_kind or kind

    def _warnings(self) -> list[str]:
        """What stays remarkable about the pictures, for as long as it does."""
        found = [GREY_WARNING] if self._grey else []
        first, now = self._first_kind, self._kind
        return found if first == now else [*found, CHANGED_WARNING.format(first, now)]


def _words(form: ImageFormat) -> str:
    return f"{form.width}x{form.height} {form.encoding}"
