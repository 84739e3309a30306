"""A camera of a process of its own: pictures that change, at a rate, with any reliability."""

from __future__ import annotations

import argparse
import time

import numpy as np
import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from mobile_vla_ros.nodes.wiring.image_message import image_message


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--topic", default="image")
    parser.add_argument("--rate", type=float, default=20.0)
    parser.add_argument("--size", default="64x48")
    parser.add_argument("--frames", type=int, default=0, help="0: for ever")
    parser.add_argument("--wait-for", type=int, default=0, help="subscribers before the first")
    parser.add_argument("--best-effort", action="store_true")
    parser.add_argument("--frozen", action="store_true")
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    rclpy.init()
    node = rclpy.create_node("camera_double")
    policy = ReliabilityPolicy.BEST_EFFORT if arguments.best_effort else ReliabilityPolicy.RELIABLE
    publisher = node.create_publisher(
        Image, arguments.topic, QoSProfile(depth=5, reliability=policy)
    )
    while publisher.get_subscription_count() < arguments.wait_for:
        time.sleep(0.02)
    time.sleep(0.3 if arguments.wait_for else 0.0)
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    number = 0
    due = time.monotonic()
    while not arguments.frames or number < arguments.frames:
        number += 1
        if not arguments.frozen:
            pixels[0, 1] = (number & 255, number >> 8 & 255, 7)
        publisher.publish(image_message(pixels, node.get_clock().now().to_msg(), str(number)))
        due = max(due + 1 / arguments.rate, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))
    time.sleep(2.0)


if __name__ == "__main__":
    main()
