"""Pictures as they go out: the one place that fills a sensor_msgs/Image or CompressedImage."""

from __future__ import annotations

import array
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CompressedImage, Image


def image_message(
    pixels: np.ndarray, stamp: Time | None = None, frame_id: str = "", encoding: str = "rgb8"
) -> Image:
    """A sensor_msgs/Image.

    Args:
        pixels: uint8 [H,W,3] in the order that `encoding` names; copied.
        stamp: capture time.
        frame_id: frame of the camera.
        encoding: rgb8 or bgr8.
    """
    height, width = pixels.shape[:2]
    message = Image(height=height, width=width, step=3 * width, encoding=encoding)
    # rclpy takes an array of bytes as it is; anything else it checks value by value.
    data = array.array("B")
    data.frombytes(np.ascontiguousarray(pixels).reshape(-1).data)
    message.data = data
    return _headed(message, stamp, frame_id)


def compressed_message(
    data: bytes, stamp: Time | None = None, frame_id: str = ""
) -> CompressedImage:
    """A sensor_msgs/CompressedImage of JPEG bytes."""
    message = CompressedImage(format="jpeg", data=array.array("B", data))
    return _headed(message, stamp, frame_id)


def _headed(message: Any, stamp: Time | None, frame_id: str) -> Any:
    if stamp is not None:
        message.header.stamp = stamp
    message.header.frame_id = frame_id
    return message
