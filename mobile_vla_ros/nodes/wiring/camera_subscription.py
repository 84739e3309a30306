"""Subscribing to a camera: raw or compressed, reliable or not, as its publisher offers."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.callback_groups import CallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image

from mobile_vla_ros.nodes.wiring.qos import RELIABILITIES, offered_reliability

try:
    from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
except ImportError:  # Humble keeps them elsewhere
    from rclpy.qos_event import SubscriptionEventCallbacks, UnsupportedEventTypeError

TRANSPORTS = ("raw", "compressed")


class CameraSubscription:
    """One camera topic, with the reliability that its publisher offers.

    With `reliability` `auto` there is no subscription until a publisher is seen; then it asks
    for what all of them offer, and asks again when that changes (a camera that was replaced by
    a best-effort one, say).

    Args:
        node: the node that owns the subscription.
        callback: called with the sensor_msgs/Image, or CompressedImage for `compressed`.
        topic: relative name of the raw image topic; remapping applies to it.
        transport: `raw`, or `compressed` for the resolved topic + `/compressed`.
        reliability: `auto`, `reliable` or `best_effort`.
        depth: how many messages wait at most; 1 keeps the newest only.
        lost: called with the number of messages that DDS reports as lost since the last call.
        poll_period: how often the graph is asked, s of the steady clock.
    """

    def __init__(
        self,
        node: Node,
        callback: Callable,
        *,
        topic: str = "image",
        transport: str = "raw",
        reliability: str = "auto",
        depth: int = 1,
        lost: Callable[[int], None] | None = None,
        callback_group: CallbackGroup | None = None,
        poll_period: float = 0.1,
    ) -> None:
        if transport not in TRANSPORTS:
            raise ValueError(f"image_transport is '{transport}': use raw or compressed")
        self._node = node
        self._callback = callback
        self._type = Image if transport == "raw" else CompressedImage
        resolved = node.resolve_topic_name(topic)
        self._topic = resolved if transport == "raw" else f"{resolved}/compressed"
        self._depth = depth
        self._lost = lost
        self._group = callback_group
        self._subscription = None
        self._reliability: ReliabilityPolicy | None = None
        self._timer = None
        if reliability == "auto":
            self._timer = node.create_timer(
                poll_period,
                self._look,
                callback_group=callback_group,
                clock=Clock(clock_type=ClockType.STEADY_TIME),
            )
            self._look()
        elif reliability in RELIABILITIES:
            self._subscribe(RELIABILITIES[reliability])
        else:
            raise ValueError(
                f"image_reliability is '{reliability}': use auto, reliable or best_effort"
            )

    @property
    def topic_name(self) -> str:
        """The full name that is listened to."""
        return self._topic

    @property
    def reliability(self) -> str | None:
        """`reliable`, `best_effort`, or None while no publisher has been seen."""
        for name, policy in RELIABILITIES.items():
            if policy == self._reliability:
                return name
        return None

    def destroy(self) -> None:
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

    def _look(self) -> None:
        offered = offered_reliability(self._node, self._topic)
        if offered is not None and offered != self._reliability:
            self._subscribe(offered)

    def _subscribe(self, reliability: ReliabilityPolicy) -> None:
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
        self._reliability = reliability
        try:
            self._subscription = self._create(reliability, self._lost is not None)
        except UnsupportedEventTypeError:  # a middleware that does not count what it lost
            self._subscription = self._create(reliability, False)

    def _create(self, reliability: ReliabilityPolicy, count_lost: bool):
        events = SubscriptionEventCallbacks(message_lost=self._count_lost) if count_lost else None
        return self._node.create_subscription(
            self._type,
            self._topic,
            self._callback,
            QoSProfile(
                history=HistoryPolicy.KEEP_LAST, depth=self._depth, reliability=reliability
            ),
            callback_group=self._group,
            event_callbacks=events,
        )

    def _count_lost(self, event) -> None:
        assert self._lost is not None
        self._lost(event.total_count_change)
