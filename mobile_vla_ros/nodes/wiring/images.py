"""Pictures as nodes get them: what `pictures` reads, and what only cv_bridge reads.

ROS is imported only when cv_bridge is, so that the child processes do without.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mobile_vla_ros import pictures
from mobile_vla_ros.pictures import (
    ENCODINGS,
    ImageError,
    ImageFormat,
    decode_compressed,
    fingerprint,
)

__all__ = [
    "ImageError",
    "ImageFormat",
    "decode_compressed",
    "fingerprint",
    "image_format",
    "rgb_image",
    "to_rgb",
]


def image_format(message: Any) -> ImageFormat:
    """Checks a sensor_msgs/Image without touching its pixels.

    Raises:
        ImageError: see `pictures.image_format`; or an encoding that cv_bridge could read, where
            there is no cv_bridge.
    """
    known = message.encoding in ENCODINGS
    if not known:
        _require_cv_bridge(message.encoding)
    return pictures.image_format(message, foreign=not known)


def to_rgb(form: ImageFormat, data: Any) -> np.ndarray:
    """Reads image bytes as uint8 [H,W,3] RGB: `pictures.to_rgb`, else cv_bridge.

    Raises:
        ImageError: cv_bridge cannot read this encoding.
    """
    if form.encoding in ENCODINGS:
        return pictures.to_rgb(form, data)
    return _through_cv_bridge(form, data)


def rgb_image(message: Any) -> np.ndarray:
    """The RGB pixels of a sensor_msgs/Image: uint8 [H,W,3], perhaps a view on the message.

    Raises:
        ImageError: see `image_format` and `to_rgb`.
    """
    return to_rgb(image_format(message), message.data)


def _require_cv_bridge(encoding: str) -> Any:
    try:
        import cv_bridge
    except ImportError:
        raise ImageError(
            f"image encoding '{encoding}' is not read here: publish one of {', '.join(ENCODINGS)},"
            " or install cv_bridge"
        ) from None
    return cv_bridge


def _through_cv_bridge(form: ImageFormat, data: Any) -> np.ndarray:
    cv_bridge = _require_cv_bridge(form.encoding)
    from sensor_msgs.msg import Image

    message = Image(
        height=form.height,
        width=form.width,
        encoding=form.encoding,
        step=form.step,
        is_bigendian=int(form.is_bigendian),
        data=bytes(data),
    )
    try:
        return cv_bridge.CvBridge().imgmsg_to_cv2(message, "rgb8")
    except cv_bridge.CvBridgeError as error:
        raise ImageError(
            f"cv_bridge cannot read image encoding '{form.encoding}': {error}"
        ) from error
