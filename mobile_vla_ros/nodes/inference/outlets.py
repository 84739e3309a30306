"""What the policy says, as topics: the chunk, the plan, the frame's feature.

One lock, `_lock`, is held around publishing, so that nothing is published on what `close` has
destroyed; it is never taken under the driver's lock.
"""

from __future__ import annotations

import threading

from nav_msgs.msg import Path
from rclpy.node import Node
from sensor_msgs.msg import Image
from trajectory_msgs.msg import MultiDOFJointTrajectory

from mobile_vla_ros.control import ActionChunk
from mobile_vla_ros.nodes.wiring.feature_message import feature_message
from mobile_vla_ros.nodes.wiring.qos import queued
from mobile_vla_ros.nodes.wiring.trajectory import chunk_message, plan_message


class Outlets:
    """`~/chunk`, `~/plan` and `~/features`, from configuring to cleaning up.

    Args:
        node: the node that owns them.
        base_frame: of chunks and plans.
    """

    def __init__(self, node: Node, base_frame: str) -> None:
        self._node = node
        self._frame = base_frame
        self._lock = threading.Lock()
        self._open = True
        self._chunks = node.create_publisher(MultiDOFJointTrajectory, "~/chunk", queued())
        self._plans = node.create_publisher(Path, "~/plan", queued())
        self._features = node.create_publisher(Image, "~/features", queued())

    def publish(self, chunk: ActionChunk, stamp: int, feature: dict | None) -> None:
        """One chunk of the frame captured at `stamp` (ns), and that frame's packed feature."""
        with self._lock:
            if not self._open:
                return
            self._chunks.publish(chunk_message(chunk, stamp, self._frame))
            if feature:
                self._features.publish(feature_message(feature, stamp))
            if self._plans.get_subscription_count():
                self._plans.publish(plan_message(chunk, stamp, self._frame))

    @property
    def features_wanted(self) -> bool:
        """Whether somebody listens to features."""
        with self._lock:
            return self._open and self._features.get_subscription_count() > 0

    def close(self) -> None:
        with self._lock:
            self._open = False
            for publisher in (self._chunks, self._plans, self._features):
                self._node.destroy_publisher(publisher)
