"""Where did the robot stand? Lays the first picture of a start over what the camera sees now."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage

from mobile_vla_ros.files import write_bytes
from mobile_vla_ros.nodes.wiring.images import ImageError, decode_compressed, rgb_image
from mobile_vla_ros.nodes.wiring.qos import newest_only
from mobile_vla_ros.pictures import encode_jpeg


class StartViews:
    """Keeps one picture per start in a folder, mixes it with the live one, and shows both.

    Args:
        node: the trial manager, which publishes ``~/start_view/compressed``.
        directory: folder of the pictures; made when the first is kept. A picture put there by
            hand, ``<start>.jpg``, serves as well.
    """

    def __init__(self, node: Node, directory: Path) -> None:
        self._directory = directory
        self._newest: Any = None
        self._publisher = node.create_publisher(
            CompressedImage, "~/start_view/compressed", newest_only()
        )

    def see(self, message: Any, start: str) -> None:
        """A camera message has come; shows it over the picture of ``start``, unless that is ''."""
        if start and self._publisher.get_subscription_count():
            view = self.compare(start, message)
            if view is not None:
                self._publisher.publish(CompressedImage(format="jpeg", data=view))
        self._newest = message

    def keep(self, start: str) -> None:
        """Keeps the newest camera picture for this start, unless there is one."""
        path = self._path(start)
        pixels = _pixels(self._newest)
        if path.exists() or pixels is None:
            return
        write_bytes(path, encode_jpeg(pixels))

    def compare(self, start: str, message: Any) -> bytes | None:
        """Half the kept picture, half the live one, as JPEG; None when there is none."""
        import cv2

        path = self._path(start)
        pixels = _pixels(message)
        if pixels is None or not path.exists():
            return None
        try:
            kept = decode_compressed(path.read_bytes())
        except (ImageError, OSError):
            return None
        kept = cv2.resize(kept, (pixels.shape[1], pixels.shape[0]))
        return encode_jpeg(cv2.addWeighted(pixels, 0.5, kept, 0.5, 0.0))

    def _path(self, start: str) -> Path:
        return self._directory / f"{re.sub(r'[^A-Za-z0-9_#-]', '_', start)}.jpg"


def _pixels(message: Any) -> np.ndarray | None:
    if message is None:
        return None
    try:
        if hasattr(message, "format"):
            return decode_compressed(message.data)
        return np.ascontiguousarray(rgb_image(message))
    except ImageError:
        return None
