"""What is missing when the robot waits: said once, with what to do, after a while.

Called from the upkeep thread; no lock is held.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from rclpy.node import Node

from mobile_vla_ros.nodes.inference.driver import Driver
from mobile_vla_ros.states import WAITING_FOR_CAMERA, WAITING_FOR_INSTRUCTION

# Whoever starts camera or instruction together with the node has had time by then.
CAMERA_PATIENCE = 3.0
INSTRUCTION_PATIENCE = 4.0
_PICTURES = {
    "sensor_msgs/msg/Image": "raw",
    "sensor_msgs/msg/CompressedImage": "compressed",
}


class Patience:
    """Looks at how long the node has waited.

    Args:
        node: whose log and graph are used.
        driver: says what the node waits for.
        camera_topic: full name of the topic of its pictures; None: it listens to none.
        clock: seconds, steady.
    """

    def __init__(
        self,
        node: Node,
        driver: Driver,
        camera_topic: Callable[[], str | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._node = node
        self._driver = driver
        self._camera_topic = camera_topic
        self._clock = clock
        self._state = ""
        self._since = 0.0
        self._said = False

    def look_around(self) -> None:
        """Says what is missing, once for each time that it waits."""
        state, now = self._driver.view.state, self._clock()
        if state != self._state:
            self._state, self._since, self._said = state, now, False
        waited = now - self._since
        if self._said:
            return
        topic = self._camera_topic()
        if state == WAITING_FOR_CAMERA and topic and waited >= CAMERA_PATIENCE:
            self._said = True
            self._node.get_logger().warning(missing_camera(topic, self._picture_topics()))
        elif state == WAITING_FOR_INSTRUCTION and waited >= INSTRUCTION_PATIENCE:
            self._said = True
            name = self._node.get_fully_qualified_name()
            self._node.get_logger().info(
                "it stands until it has an instruction: ros2 topic pub --once"
                f" {name}/instruction std_msgs/msg/String '{{data: go to the gray basket}}'"
            )

    def _picture_topics(self) -> dict[str, str]:
        """Topics that somebody publishes pictures on, with how."""
        own = f"{self._node.get_fully_qualified_name()}/"
        return {
            topic: _PICTURES[types[0]]
            for topic, types in sorted(self._node.get_topic_names_and_types())
            if types
            and types[0] in _PICTURES
            and not topic.startswith(own)
            and self._node.count_publishers(topic)
        }


def missing_camera(topic: str, there: dict[str, str]) -> str:
    """What to say about pictures that do not come.

    Args:
        topic: full name of the topic that is listened to.
        there: topics with pictures -> `raw` or `compressed`.
    """
    if topic in there:
        return f"no picture has come on {topic} yet, though somebody publishes there"
    shown = ", ".join(f"{name} ({kind})" for name, kind in there.items())
    advice = (
        f"pictures are on {shown}: remap image (image_topic:= of the launch file), or give"
        " image_transport:=compressed for a compressed one"
        if there
        else "nobody publishes pictures at all: start a camera, e.g. ros2 launch mobile_vla_ros"
        " camera.launch.py"
    )
    return f"waiting for pictures on {topic}, where nobody publishes; {advice}"
