"""The policy's feature of a frame as a message: a 32FC1 image (latent x D) with its stamp."""

from __future__ import annotations

import array

import numpy as np
from sensor_msgs.msg import Image

from mobile_vla_ros.nodes.wiring.features import unpack_feature
from mobile_vla_ros.nodes.wiring.trajectory import NANOSECONDS

ENCODING = "32FC1"


def feature_message(packed: dict, stamp: int) -> Image:
    """The message for a packed feature; `stamp` is its frame's capture time, nanoseconds."""
    feature = unpack_feature(packed)
    height, width = feature.shape
    message = Image(height=height, width=width, step=4 * width, encoding=ENCODING)
    message.data = array.array("B", feature.tobytes())
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, NANOSECONDS)
    return message


def feature_of(message: Image) -> np.ndarray | None:
    """float32 [latent, D] of a message; None when it is something else."""
    if message.encoding != ENCODING:
        return None
    values = np.frombuffer(message.data, "<f4")
    if values.size != message.height * message.width:
        return None
    return values.reshape(message.height, message.width)
