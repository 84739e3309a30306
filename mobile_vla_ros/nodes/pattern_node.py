"""Publishes frames that can be told apart, on request with commands: for benchmarks and trying.

python -m mobile_vla_ros.nodes.pattern_node --ros-args -p rate:=30.0 -p width:=1280
"""

from __future__ import annotations

import array
import math
import sys
import time

import numpy as np
from geometry_msgs.msg import Twist
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.time import Time
from sensor_msgs.msg import Image

from mobile_vla_ros.axes import UNICYCLE_AXES
from mobile_vla_ros.nodes.wiring.image_message import image_message
from mobile_vla_ros.nodes.wiring.parameters import Declared, declare
from mobile_vla_ros.nodes.wiring.program import Program, Topic
from mobile_vla_ros.nodes.wiring.qos import queued
from mobile_vla_ros.nodes.wiring.running import Life, StopSignal, run_node
from mobile_vla_ros.nodes.wiring.velocity import twist_of

PARAMETERS = (
    Declared("width", 1280, "pixels", 8, 16384),
    Declared("height", 720, "pixels", 8, 16384),
    Declared("rate", 30.0, "frames/s", 0.1, 1000.0),
    Declared("count", 0, "frames after which the node ends; 0 = never", 0, 10_000_000),
    Declared("pictures", 16, "different pictures, shown in turn", 1, 256),
    Declared("noise", 24, "grey levels of noise in a picture: how hard it is to compress", 0, 255),
    Declared("command_rate", 0.0, "commands/s that move a robot; 0 = none", 0.0, 1000.0),
    Declared("frame_id", "camera", "header.frame_id of the images"),
)
PROGRAM = Program(
    node="pattern",
    module="pattern_node",
    about=__doc__ or "",
    parameters=PARAMETERS,
    tells=(
        Topic("image", "sensor_msgs/Image", "rgb8; its first eight bytes are its number"),
        Topic("cmd_vel", "geometry_msgs/Twist", "with command_rate: a weaving drive at 0.2 m/s"),
    ),
)
QUEUE_DEPTH = 5
ACKNOWLEDGE_SECONDS = 0.5


def picture(width: int, height: int, number: int, noise: int = 24) -> np.ndarray:
    """Picture `number`: gradients that shift with it, under noise; uint8 [height,width,3] RGB."""
    rng = np.random.default_rng(number)
    x = np.arange(width, dtype=np.int32)[None, :, None]
    y = np.arange(height, dtype=np.int32)[:, None, None]
    channel = np.arange(3, dtype=np.int32)[None, None, :]
    smooth = (x * (channel + 1) // 8 + y // 2 + number * 16) % 256
    spread = rng.integers(0, noise + 1, (height, width, 3)) if noise else 0
    return ((smooth * (255 - noise)) // 255 + spread).astype(np.uint8)


class PatternNode(Life, Node):
    """A camera and a driver in one: numbered frames on `image`, a weaving drive on `cmd_vel`."""

    def __init__(self, **options) -> None:
        super().__init__("pattern", **options)
        self._settings = declare(self, PARAMETERS)
        settings = self._settings
        width, height = settings["width"], settings["height"]
        self._messages = []
        for number in range(settings["pictures"]):
            pixels = picture(width, height, number, settings["noise"])
            self._messages.append(image_message(pixels, frame_id=settings["frame_id"]))
        self._images = self.create_publisher(Image, "image", queued(QUEUE_DEPTH))
        # Who drives nothing is no publisher on a robot's topic.
        drives = settings["command_rate"] > 0
        self._commands = self.create_publisher(Twist, "cmd_vel", queued()) if drives else None
        self._longest_publish = 0.0

    def work(self, stop: StopSignal) -> int:
        """Publishes on an exact grid in time until told to stop or `count` is reached."""
        settings = self._settings
        start, clock = time.monotonic(), self.get_clock().now()
        frames = commands = 0
        while not stop.is_set():
            frame_due = start + frames / settings["rate"]
            command_rate = settings["command_rate"]
            command_due = start + commands / command_rate if command_rate else math.inf
            pause = min(frame_due, command_due) - time.monotonic()
            if pause > 0:
                time.sleep(pause)
            if command_due <= frame_due:
                self._publish_command(commands / command_rate)
                commands += 1
                continue
            # As a camera does: the stamp says when the shutter opened, not when we were woken.
            self._publish_frame(frames, clock + Duration(seconds=frames / settings["rate"]))
            frames += 1
            if frames == settings["count"]:
                break
        self.get_logger().info(
            f"{frames} frames published, longest publish {self._longest_publish * 1e3:.1f} ms"
        )
        return 0

    def _publish_frame(self, number: int, captured: Time) -> None:
        message = self._messages[number % len(self._messages)]
        message.data[:8] = array.array("B", np.int64(number).tobytes())
        message.header.stamp = captured.to_msg()
        begin = time.monotonic()
        self._images.publish(message)
        self._longest_publish = max(self._longest_publish, time.monotonic() - begin)

    def _publish_command(self, when: float) -> None:
        if self._commands is not None:
            turn = 0.5 * math.sin(when)
            self._commands.publish(twist_of(UNICYCLE_AXES, (0.2, turn)))

    def last_words(self) -> None:
        """A base goes on by the last velocity that it heard."""
        if self._commands is not None:
            self._commands.publish(Twist())
            self._commands.wait_for_all_acked(Duration(seconds=ACKNOWLEDGE_SECONDS))


def main(args: list[str] | None = None) -> int:
    return run_node(PROGRAM, lambda _stop: PatternNode(), args)


if __name__ == "__main__":
    sys.exit(main())
