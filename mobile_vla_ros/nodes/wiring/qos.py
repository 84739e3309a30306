"""Quality of service: the profiles the nodes use, and what a publisher on the network offers."""

from __future__ import annotations

from collections.abc import Iterable

from rclpy.exceptions import InvalidHandle
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription

RELIABILITIES = {
    "reliable": ReliabilityPolicy.RELIABLE,
    "best_effort": ReliabilityPolicy.BEST_EFFORT,
}


def newest_only(reliability: ReliabilityPolicy = ReliabilityPolicy.RELIABLE) -> QoSProfile:
    """Volatile, keep the last one: an old command or an old frame is of no use."""
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=reliability)


def queued(depth: int = 10) -> QoSProfile:
    """Reliable, volatile, keep the last `depth`: for requests and records."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=ReliabilityPolicy.RELIABLE
    )


def latched() -> QoSProfile:
    """Reliable and transient local, depth 1: whoever comes late still hears the last word."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=1,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL,
    )


def adapted_reliability(offers: Iterable[ReliabilityPolicy]) -> ReliabilityPolicy | None:
    """The reliability to ask for, given what every publisher of a topic offers.

    Reliable when all of them are reliable, else best effort, as the rosbag2 recorder decides: a
    reliable subscription does not match a best-effort publisher at all.

    Returns:
        None when there is no publisher to learn from.
    """
    offers = list(offers)
    if not offers:
        return None
    if all(offer == ReliabilityPolicy.RELIABLE for offer in offers):
        return ReliabilityPolicy.RELIABLE
    return ReliabilityPolicy.BEST_EFFORT


def offered_reliability(node: Node, topic: str) -> ReliabilityPolicy | None:
    """`adapted_reliability` of the publishers that the graph shows on `topic` (resolved name)."""
    publishers = node.get_publishers_info_by_topic(topic)
    return adapted_reliability(info.qos_profile.reliability for info in publishers)


def matched_publishers(subscription: Subscription | None) -> int | None:
    """With how many publishers a subscription is matched.

    Returns:
        None without a subscription, and where rclpy cannot tell (Humble).
    """
    count = getattr(subscription, "get_publisher_count", None)
    if count is None:
        return None
    try:
        return int(count())
    except InvalidHandle:  # another thread has just destroyed it
        return None
