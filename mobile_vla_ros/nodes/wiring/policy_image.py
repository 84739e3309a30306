"""The small picture beside the large one: what goes over the air to a policy elsewhere."""

from __future__ import annotations

import cv2
import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage

from mobile_vla_ros.nodes.wiring.image_message import compressed_message
from mobile_vla_ros.nodes.wiring.parameters import Declared
from mobile_vla_ros.nodes.wiring.program import Topic
from mobile_vla_ros.nodes.wiring.qos import queued
from mobile_vla_ros.pictures import encode_jpeg

# What a lossy network sends again must still be there; older frames are of no use.
HISTORY = 5
PARAMETERS = (
    Declared(
        "policy_image_width",
        0,
        "pixels; a JPEG so wide goes out as policy_image/compressed, to go over the air; 0 = off",
        0,
        1920,
    ),
    Declared("policy_image_quality", 85, "JPEG quality of policy_image", 1, 100),
)
TOPIC = Topic(
    "policy_image/compressed", "sensor_msgs/CompressedImage", "with policy_image_width: small JPEG"
)


class PolicyImage:
    """Publishes the small picture, where its width is not 0.

    Args:
        node: the camera.
        settings: values of `PARAMETERS`.
    """

    def __init__(self, node: Node, settings: dict) -> None:
        self._width = settings["policy_image_width"]
        self._quality = settings["policy_image_quality"]
        self._publisher = None
        if self._width:
            topic = "policy_image/compressed"
            self._publisher = node.create_publisher(CompressedImage, topic, queued(HISTORY))

    def publish(self, pixels: np.ndarray, stamp, frame_id: str) -> None:
        """Sends a picture.

        Args:
            pixels: uint8 [H,W,3] RGB; never enlarged.
            stamp: capture time, as of the large one.
            frame_id: frame of the camera.
        """
        if self._publisher is None:
            return
        height, width = pixels.shape[:2]
        if width > self._width:
            size = (self._width, max(1, round(height * self._width / width)))
            pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        data = encode_jpeg(pixels, self._quality)
        self._publisher.publish(compressed_message(data, stamp, frame_id))
