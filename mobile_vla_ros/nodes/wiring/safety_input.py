"""Safety inputs: every publisher of a button is heard, whatever quality of service it offers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from std_msgs.msg import Bool

from mobile_vla_ros.control.hearing import ROUTES, Hearing, Offer, Words
from mobile_vla_ros.nodes.wiring.qos import matched_publishers, newest_only

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:  # ROS 2 Humble keeps it elsewhere
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks

BOOL = "std_msgs/msg/Bool"
QUEUE = 10
# A word that the reliable route has not brought within this time was sent best effort, s.
ROUTES_DIFFER = 0.2
# What rclpy says of a publisher whose node has not been discovered yet.
UNKNOWN = "_NODE_NAME_UNKNOWN_"


def deadman_publisher(node: Node, topic: str = "deadman") -> Publisher:
    """A publisher of a button that is held: the newest word only, never one from before.

    The guard listens in several ways, one of which fits each publisher; rclpy's default would
    warn of those that do not fit that 'no messages will be sent'.
    """
    quiet = PublisherEventCallbacks(use_default_callbacks=False)
    return node.create_publisher(Bool, topic, newest_only(), event_callbacks=quiet)


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
        frees: the position that lets the robot move.
    """

    def __init__(
        self,
        node: Node,
        topic: str,
        callback: Callable[[bool], None],
        now: Callable[[], float],
        *,
        frees: bool,
    ) -> None:
        self._node = node
        self._callback = callback
        self._now = now
        self._topic = node.resolve_topic_name(topic)
        self.hearing = Hearing(topic, (BOOL,))
        self._words = Words(frees, 4 * QUEUE)
        # What the reliable route has brought, and what only the other latched one has so far.
        self._reliably: deque[int] = deque(maxlen=4 * QUEUE)
        self._undecided: deque[tuple[int, float]] = deque(maxlen=4 * QUEUE)
        self._routes: list[Subscription] = []
        for reliable, is_latched in ROUTES:
            callbacks: dict[tuple[bool, bool], Any] = {
                (False, False): self._on_any,
                (True, True): self._on_reliable,
                (False, True): self._on_latched,
            }
            route = node.create_subscription(
                Bool,
                topic,
                callbacks[reliable, is_latched],
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
            self._routes.append(route)

    def look(self) -> None:
        """Asks the graph who is there."""
        now = self._now()
        offers = offers_of(self._node, self._topic)
        # The first route is matched with everybody, if anything can be.
        if self.hearing.graph(offers, now, matched_publishers(self._routes[0])):
            self._words.forget()
        while self._undecided and now - self._undecided[0][1] >= ROUTES_DIFFER:
            sent, _ = self._undecided.popleft()
            if sent not in self._reliably:
                self.hearing.heard_latched(now, best_effort=True)

    def _on_any(self, message: Bool, info) -> None:
        self._tell(message, _sent(info))

    def _on_reliable(self, message: Bool, info) -> None:
        self._reliably.append(_sent(info))
        self.hearing.heard_latched(self._now(), best_effort=False)
        self._tell(message, _sent(info))

    def _on_latched(self, message: Bool, info) -> None:
        self._undecided.append((_sent(info), self._now()))
        self._tell(message, _sent(info))

    def _tell(self, message: Bool, sent: int) -> None:
        if self._words.counts(message.data, sent):
            self._callback(message.data)


def _sent(info: Any) -> int:
    """By its sender's clock, ns; 0 where the middleware does not tell."""
    return int(info["source_timestamp"] if isinstance(info, dict) else info.source_timestamp)
