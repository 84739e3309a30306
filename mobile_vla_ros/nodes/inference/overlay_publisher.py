"""`~/overlay/compressed`: what the robot sees and intends, drawn only while somebody looks.

A thread of its own draws; it lets go of the interpreter while OpenCV works. The newest look is
handed over by one assignment; `_lock` keeps `end` from destroying what is being published on.
"""

from __future__ import annotations

import threading
from typing import Any

from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import CompressedImage

from mobile_vla_ros.axes import unit_of
from mobile_vla_ros.nodes.inference.driver import Driver
from mobile_vla_ros.nodes.wiring.image_message import compressed_message
from mobile_vla_ros.nodes.wiring.images import ImageError, ImageFormat, decode_compressed, to_rgb
from mobile_vla_ros.nodes.wiring.qos import newest_only
from mobile_vla_ros.pictures import encode_jpeg
from mobile_vla_ros.states import DRIVING

PERIOD = 0.1


class OverlayPublisher:
    """Draws frames with the plan, the state and the command.

    Args:
        node: the node that owns the topic.
        driver: says what is intended.
    """

    def __init__(self, node: Node, driver: Driver) -> None:
        self._node = node
        self._driver = driver
        self._lock = threading.Lock()
        self._publisher: Publisher | None = None
        self._frame_id = ""
        self._wanted = False
        self._look: tuple[ImageFormat | None, Any] | None = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._draw_all, name="overlay", daemon=True)
        self._thread.start()

    def begin(self, frame_id: str) -> None:
        """Offers the topic; `frame_id` is that of its messages."""
        self._frame_id = frame_id
        self._publisher = self._node.create_publisher(
            CompressedImage, "~/overlay/compressed", newest_only()
        )

    def end(self) -> None:
        """Takes the topic back."""
        with self._lock:
            publisher, self._publisher = self._publisher, None
            self._wanted, self._look = False, None
            if publisher is not None:
                self._node.destroy_publisher(publisher)

    def look_around(self) -> None:
        """Finds out whether somebody looks."""
        with self._lock:
            publisher = self._publisher
            self._wanted = publisher is not None and publisher.get_subscription_count() > 0

    def show(self, form: ImageFormat | None, data: Any) -> None:
        """A frame that may be drawn: how to read its bytes (None: compressed), and they."""
        if self._wanted:
            self._look = (form, data)

    def close(self) -> None:
        self._ending.set()
        self._thread.join(0.5)

    def _draw_all(self) -> None:
        while not self._ending.wait(PERIOD):
            look, self._look = self._look, None
            if look is not None:
                self._draw(*look)

    def _draw(self, form: ImageFormat | None, data: Any) -> None:
        # OpenCV is loaded when the first one looks.
        from mobile_vla_ros.nodes.inference.overlay import draw_overlay

        try:
            image = decode_compressed(data) if form is None else to_rgb(form, data)
        except ImageError:
            return  # the model says so
        view = self._driver.view
        text = "no command"
        if view.command is not None and view.command.velocities is not None:
            text = "  ".join(
                f"{axis} {value:+.2f} {unit_of(axis)}"
                for axis, value in zip(self._driver.axes, view.command.velocities, strict=False)
            )
        chunk = view.chunk if view.state == DRIVING else None
        instruction = self._driver.orders.instruction.strip()
        picture = draw_overlay(image, chunk, view.state, instruction, text)
        stamp = self._node.get_clock().now().to_msg()
        message = compressed_message(encode_jpeg(picture), stamp, self._frame_id)
        with self._lock:
            if self._publisher is not None:
                self._publisher.publish(message)
