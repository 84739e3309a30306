"""Pictures as messages, out and in again."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from sensor_msgs.msg import Image

from mobile_vla_ros.nodes.wiring.image_message import compressed_message, image_message
from mobile_vla_ros.nodes.wiring.images import ImageError, decode_compressed, rgb_image
from mobile_vla_ros.pictures import encode_png

RGB = np.random.default_rng(0).integers(0, 255, (6, 8, 3), dtype=np.uint8)


def test_a_picture_comes_back_from_its_message_with_stamp_and_frame() -> None:
    message = image_message(RGB, Time(sec=7, nanosec=5), "camera")
    np.testing.assert_array_equal(rgb_image(message), RGB)
    assert (message.header.stamp.sec, message.header.frame_id) == (7, "camera")
    turned = image_message(RGB[..., ::-1], encoding="bgr8")
    np.testing.assert_array_equal(rgb_image(turned), RGB)


def test_a_compressed_picture_comes_back_from_its_message() -> None:
    message = compressed_message(encode_png(RGB), Time(sec=7), "camera")
    np.testing.assert_array_equal(decode_compressed(message.data), RGB)
    assert (message.header.stamp.sec, message.header.frame_id) == (7, "camera")


@pytest.mark.skipif(importlib.util.find_spec("cv_bridge") is not None, reason="has cv_bridge")
def test_an_encoding_that_only_cv_bridge_reads_is_said_with_the_way_out() -> None:
    message = Image(height=6, width=8, encoding="bayer_grbg8", step=8, data=bytes(48))
    with pytest.raises(ImageError, match=r"publish one of rgb8, .* or install cv_bridge"):
        rgb_image(message)
