"""Safety inputs: every publisher of a button is heard, whatever quality of service it offers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import Bool

from mobile_vla_ros.control.hearing import ROUTES, Hearing, Offer

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # ROS 2 Humble keeps it elsewhere
    from rclpy.qos_event import SubscriptionEventCallbacks

BOOL = "std_msgs/msg/Bool"
QUEUE = 10
# What rclpy says of a publisher whose node has not been discovered yet.
UNKNOWN = "_NODE_NAME_UNKNOWN_"


def offers_of(node: Node, topic: str) -> list[Offer]:
    """The publishers that the graph shows on `topic` (resolved name)."""
    return [
        Offer(
            id=bytes(info.endpoint_gid),
            type=info.topic_type,
            reliable=info.qos_profile.reliability == ReliabilityPolicy.RELIABLE,
            latched=info.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL,
            node="" if info.node_name == UNKNOWN else info.node_name,
        )
        for info in node.get_publishers_info_by_topic(topic)
    ]


class ButtonSubscription:
    """Hears a std_msgs/Bool from everybody who publishes it.

    Args:
        node: the node that owns the subscriptions.
        topic: relative topic name.
        callback: called with the button's position, once per message.
        now: the steady clock, seconds.
    """

    def __init__(
        self, node: Node, topic: str, callback: Callable[[bool], None], now: Callable[[], float]
    ) -> None:
        self._node = node
        self._callback = callback
        self._now = now
        self._topic = node.resolve_topic_name(topic)
        self.hearing = Hearing(topic, (BOOL,))
        # A message that comes by two routes counts once.
        self._seen: deque[int] = deque(maxlen=4 * QUEUE)
        for reliable, is_latched in ROUTES:
            heard: Any = self._on_latched if is_latched else self._on_any
            node.create_subscription(
                Bool,
                topic,
                heard,
                QoSProfile(
                    history=HistoryPolicy.KEEP_LAST,
                    depth=QUEUE,
                    reliability=(
                        ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
                    ),
                    durability=(
                        DurabilityPolicy.TRANSIENT_LOCAL
                        if is_latched
                        else DurabilityPolicy.VOLATILE
                    ),
                ),
                # The default would warn of every publisher that only another route hears.
                event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False),
            )

    def look(self) -> bool:
        """Asks the graph who is there; True when that has changed."""
        return self.hearing.graph(offers_of(self._node, self._topic), self._now())

    def _on_any(self, message: Bool, info) -> None:
        self._tell(message, info)

    def _on_latched(self, message: Bool, info) -> None:
        self.hearing.heard_latched(self._now())
        self._tell(message, info)

    def _tell(self, message: Bool, info) -> None:
        sent = info["source_timestamp"] if isinstance(info, dict) else info.source_timestamp
        if sent and sent in self._seen:
            return
        self._seen.append(sent)
        self._callback(message.data)
