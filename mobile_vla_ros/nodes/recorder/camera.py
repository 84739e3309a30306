"""The recorder's camera: each frame is paired after every command that arrived before it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image

from mobile_vla_ros.episodes.viewfinder import Sight, Viewfinder
from mobile_vla_ros.nodes.recorder.clock import RecorderClock
from mobile_vla_ros.nodes.recorder.durations import Durations
from mobile_vla_ros.nodes.wiring.camera_subscription import CameraSubscription
from mobile_vla_ros.nodes.wiring.capture_time import CaptureTime
from mobile_vla_ros.nodes.wiring.images import (
    ImageError,
    ImageFormat,
    decode_compressed,
    image_format,
    to_rgb,
)
from mobile_vla_ros.nodes.wiring.trajectory import NANOSECONDS
from mobile_vla_ros.nodes.wiring.voices import Voices
from mobile_vla_ros.pictures import check_compressed

IMAGE_QUEUE = 30


class RecordedCamera:
    """Hands the camera's frames on with their capture times.

    Args:
        node: the recorder.
        settings: its parameters by name.
        clock: the recorder's time.
        take: called with (sight, format or None for a compressed picture, bytes).
        left_out: called for each frame that cannot be recorded.
        lost: called with the number of frames that the middleware has lost.

    Attributes:
        viewfinder: has seen every frame.
    """

    def __init__(
        self,
        node: Node,
        settings: Mapping[str, Any],
        *,
        clock: RecorderClock,
        take: Callable[[Sight, ImageFormat | None, Any], None],
        left_out: Callable[[], None],
        lost: Callable[[int], None],
    ) -> None:
        self._node = node
        self._capture = CaptureTime(settings["stamp_source"], settings["clock_offset"])
        self._clock = clock
        self._take = take
        self._left_out = left_out
        self._voices = Voices()
        self._listed = 1
        self._newest: tuple[ImageFormat | None, Any] = (None, b"")
        self._arrived: deque[tuple[Any, float, tuple[float, float]]] = deque()
        # The first includes what other processes took from this one, the second does not.
        self._callback_times = Durations()
        self._callback_cpu = Durations()
        subscription = CameraSubscription(
            node,
            self._on_image,
            topic="image",
            transport=settings["image_transport"],
            reliability=settings["image_reliability"],
            depth=IMAGE_QUEUE,
            lost=lost,
        )
        self.viewfinder = Viewfinder(subscription.topic_name)
        # Frames are paired one round later than they arrive: by then every command that arrived
        # before them has been heard, in whatever order the executor went about it.
        self._pairing = node.create_guard_condition(self._on_pairing)

    def look(self) -> None:
        """Asks the graph how many cameras there are."""
        self._listed = self._node.count_publishers(self.viewfinder.topic)
        self._count_cameras()

    def _count_cameras(self) -> None:
        self.viewfinder.publishers = self._voices.count(self._listed, time.monotonic())

    def begin(self, now: float) -> Sight:
        """An episode is to begin with what the camera shows; returns the newest frame.

        Raises:
            InputError: it shows nothing that could be recorded; the sentence says why.
        """
        self.look()
        sight = self.viewfinder.begin(now)
        form, data = self._newest
        if form is None:
            decode_compressed(data)
        else:
            to_rgb(form, data)
        return sight

    def status(self) -> dict[str, Any]:
        """What a frame takes in the node."""
        return {
            "callback_ms": self._callback_times.summary(),
            "callback_cpu_ms": self._callback_cpu.summary(),
        }

    def _on_image(self, message: Image | CompressedImage, info: Any) -> None:
        begin, busy = time.perf_counter(), time.thread_time()
        received = self._clock.arrival(info)
        self._voices.hear(info.get("publication_sequence_number"), time.monotonic())
        self._count_cameras()
        self._pairing.trigger()
        spent = (time.perf_counter() - begin, time.thread_time() - busy)
        self._arrived.append((message, received, spent))
        if len(self._arrived) > IMAGE_QUEUE:
            self._on_pairing()

    def _on_pairing(self) -> None:
        while self._arrived:
            message, received, spent = self._arrived.popleft()
            begin, busy = time.perf_counter(), time.thread_time()
            self._hand_on(message, received)
            self._callback_times.add(spent[0] + time.perf_counter() - begin)
            self._callback_cpu.add(spent[1] + time.thread_time() - busy)

    def _hand_on(self, message: Image | CompressedImage, received: float) -> None:
        offset = self._clock.offset
        arrived = round((received - offset) * NANOSECONDS)
        stamp = self._capture.nanoseconds(message.header.stamp, arrived) / NANOSECONDS + offset
        form, shape = None, None
        try:
            if isinstance(message, Image):
                form = image_format(message)
                shape = (form.width, form.height, form.encoding)
            else:
                check_compressed(message.data, message.format)
        except ImageError as error:
            if self.viewfinder.refuse(str(error)):
                self._node.get_logger().error(f"left out: {error}")
            self._left_out()
            return
        self._newest = (form, message.data)
        sight = Sight(stamp, received, len(message.data), shape, message.header.frame_id)
        self.viewfinder.see(sight)
        self._take(sight, form, message.data)
