"""Other publishers on the topic of the node's velocities: two that drive one base."""

from __future__ import annotations

from rclpy.node import Node

from mobile_vla_ros.nodes.inference.driver import Driver


class Rivals:
    """Looks for them in the graph; with `exclusive` they keep the robot standing.

    Args:
        node: whose own publisher does not count.
        driver: says where velocities go, and is told to stand.
    """

    def __init__(self, node: Node, driver: Driver) -> None:
        self._node = node
        self._driver = driver
        self.exclusive = False
        self.names: list[str] = []

    def look_around(self) -> None:
        """Reads the graph once."""
        topic = self._driver.base_topic
        if topic is None:
            self.names = []
            return
        found = self._others_on(topic)
        if found != self.names:
            self.names = found
            if found:
                self._node.get_logger().warning(
                    f"{', '.join(found)} publishes on {topic} too"
                    + (": not driving" if self.exclusive else "")
                )
        if self.exclusive:
            self._driver.taken_over(bool(found))

    def _others_on(self, topic: str) -> list[str]:
        mine = (self._node.get_name(), self._node.get_namespace())
        everyone = [
            (info.node_name, info.node_namespace)
            for info in self._node.get_publishers_info_by_topic(topic)
        ]
        if mine in everyone:
            everyone.remove(mine)
        return [f"{namespace.rstrip('/')}/{name}" for name, namespace in everyone]
