"""Pictures for the page: the policy's overlay, or the camera where no policy draws one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import CompressedImage

from mobile_vla_ros.nodes.wiring.camera_subscription import CameraSubscription
from mobile_vla_ros.nodes.wiring.images import ImageError, rgb_image
from mobile_vla_ros.nodes.wiring.qos import newest_only
from mobile_vla_ros.pictures import encode_jpeg

LOOK_SECONDS = 0.5
# Between two pictures by which a robot is placed.
START_SECONDS = 0.5
# A camera's raw pictures cost this process much: fewer, and small.
CAMERA_SECONDS = 0.2
CAMERA_WIDTH = 480
# So long without an overlay: the camera itself is shown.
OVERLAY_SILENT = 2.0


class PagePictures:
    """Subscribes while a page looks, and to no more than is shown.

    Args:
        node: owns the subscriptions.
        settings: the node's parameters.
        looked_at: whether a page looks now.
        show: takes a JPEG picture.
        placing: whether a trial manager waits for the robot to be placed.
        show_start: takes a JPEG picture of the start over the live one.
    """

    def __init__(
        self,
        node: Node,
        settings: dict[str, Any],
        looked_at: Callable[[], bool],
        show: Callable[[bytes], None],
        placing: Callable[[], bool],
        show_start: Callable[[bytes], None],
    ) -> None:
        self._node = node
        self._topic = f"{settings['policy']}/overlay/compressed"
        self._transport = settings["image_transport"]
        self._looked_at = looked_at
        self._show = show
        self._placing = placing
        self._show_start = show_start
        self._start_topic = f"{settings['trials']}/start_view/compressed"
        self._start: Any = None
        self._start_at = 0.0
        self._overlay: Any = None
        self._camera: CameraSubscription | None = None
        self._overlay_at = 0.0
        self._camera_at = 0.0
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        node.create_timer(LOOK_SECONDS, self._look, clock=steady)

    def _look(self) -> None:
        now = time.monotonic()
        looked_at = self._looked_at()
        if looked_at and self._overlay is None:
            self._overlay_at = now
            self._overlay = self._node.create_subscription(
                CompressedImage,
                self._topic,
                self._on_overlay,
                newest_only(ReliabilityPolicy.BEST_EFFORT),
            )
        elif not looked_at and self._overlay is not None:
            self._node.destroy_subscription(self._overlay)
            self._overlay = None
        self._look_at_start(looked_at and self._placing())
        drawn = now - self._overlay_at < OVERLAY_SILENT
        if looked_at and not drawn and self._camera is None:
            self._camera = CameraSubscription(
                self._node, self._on_camera, transport=self._transport
            )
        elif (not looked_at or drawn) and self._camera is not None:
            self._camera.destroy()
            self._camera = None

    def _look_at_start(self, wanted: bool) -> None:
        if wanted and self._start is None:
            self._start = self._node.create_subscription(
                CompressedImage,
                self._start_topic,
                self._on_start,
                newest_only(ReliabilityPolicy.BEST_EFFORT),
            )
        elif not wanted and self._start is not None:
            self._node.destroy_subscription(self._start)
            self._start = None

    def _on_start(self, message: CompressedImage) -> None:
        now = time.monotonic()
        if now - self._start_at >= START_SECONDS:
            self._start_at = now
            self._show_start(bytes(message.data))

    def _on_overlay(self, message: CompressedImage) -> None:
        self._overlay_at = time.monotonic()
        self._show(bytes(message.data))

    def _on_camera(self, message: Any) -> None:
        now = time.monotonic()
        if now - self._camera_at < CAMERA_SECONDS:
            return
        self._camera_at = now
        if self._transport == "compressed":
            if "jpeg" in message.format or "jpg" in message.format:
                self._show(bytes(message.data))
            return
        try:
            pixels = rgb_image(message)
        except ImageError:
            return
        step = max(1, pixels.shape[1] // CAMERA_WIDTH)
        self._show(encode_jpeg(np.ascontiguousarray(pixels[::step, ::step])))
