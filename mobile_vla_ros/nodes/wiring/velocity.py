"""Velocity topics: publish Twist or TwistStamped, and listen to whichever of them is there."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from geometry_msgs.msg import Twist, TwistStamped
from rclpy.callback_groups import CallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.exceptions import InvalidHandle
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription

from mobile_vla_ros.nodes.wiring.qos import (
    adapted_reliability,
    matched_publishers,
    newest_only,
)

TWIST = "geometry_msgs/msg/Twist"
TWIST_STAMPED = "geometry_msgs/msg/TwistStamped"
QUEUE = 10


def twist_of(axes: Sequence[str], velocities: Sequence[float]) -> Twist:
    """A Twist whose named axes (`linear.x`, `angular.z`, ...) carry `velocities`, the rest zero.

    Args:
        axes: names of twist fields, one per velocity.
        velocities: [dof], m/s for linear axes and rad/s for angular ones.
    """
    twist = Twist()
    for axis, velocity in zip(axes, velocities, strict=True):
        part, _, component = axis.partition(".")
        setattr(getattr(twist, part), component, float(velocity))
    return twist


def velocities_of(twist: Twist, axes: Sequence[str]) -> tuple[float, ...]:
    """The named axes of `twist`, m/s and rad/s, in the order of `axes`."""
    values = []
    for axis in axes:
        part, _, component = axis.partition(".")
        values.append(float(getattr(getattr(twist, part), component)))
    return tuple(values)


class VelocityPublisher:
    """Publishes twists as Twist, or as TwistStamped with the time of publishing.

    Args:
        node: the node that owns the publisher.
        topic: relative topic name.
        stamped: TwistStamped instead of Twist.
        frame: `header.frame_id` of a TwistStamped.
        qos: default reliable, newest only.
    """

    def __init__(
        self,
        node: Node,
        topic: str,
        *,
        stamped: bool = False,
        frame: str = "base_link",
        qos: QoSProfile | None = None,
    ) -> None:
        self._node = node
        self._frame = frame
        self._stamped = stamped
        self._publisher = node.create_publisher(
            TwistStamped if stamped else Twist, topic, qos or newest_only()
        )

    @property
    def topic_name(self) -> str:
        return self._publisher.topic_name

    def publish(self, twist: Twist) -> None:
        if not self._stamped:
            self._publisher.publish(twist)
            return
        message = TwistStamped(twist=twist)
        message.header.stamp = self._node.get_clock().now().to_msg()
        message.header.frame_id = self._frame
        self._publisher.publish(message)

    def wait_for_all_acked(self, seconds: float) -> bool:
        """Waits until every reliable subscriber has confirmed all messages; False at time-out."""
        return self._publisher.wait_for_all_acked(Duration(seconds=seconds))

    def destroy(self) -> None:
        self._node.destroy_publisher(self._publisher)


class _Unwatched(CallbackGroup):
    """Subscriptions that nobody waits for: their messages lie there until they are taken."""

    def can_execute(self, entity: Any) -> bool:
        return False

    def beginning_execution(self, entity: Any) -> bool:
        return False

    def ending_execution(self, entity: Any) -> None:
        pass


class VelocitySubscription:
    """Hears Twist or TwistStamped on one topic, whichever its publishers use.

    One process cannot subscribe to a topic with two types, so the type is read from the graph:
    every `poll_period` seconds of the steady clock until a publisher is there, and again when the
    type changes. So is the reliability, unless `qos` says otherwise.

    Args:
        node: the node that owns the subscription.
        topic: relative topic name.
        callback: called with the Twist; with what `with_stamp` and `with_info` add behind it.
            None: nothing is called, and no message wakes the node; `take` hands it over.
        with_stamp: adds the stamp of a TwistStamped in seconds, None for a Twist. Without it a
            velocity counts from when it is heard, since clocks differ between machines.
        with_info: adds what rclpy knows of the message (`received_timestamp`).
        qos: default as reliable as every publisher offers, depth 10.
    """

    def __init__(
        self,
        node: Node,
        topic: str,
        callback: Callable[..., None] | None,
        *,
        with_stamp: bool = False,
        with_info: bool = False,
        qos: QoSProfile | None = None,
        callback_group: CallbackGroup | None = None,
        poll_period: float = 0.2,
    ) -> None:
        self._node = node
        self._topic = topic
        self._callback: Callable[..., None] = callback or _ignore
        self._adds = (with_stamp, with_info)
        self._qos = qos
        self._group = callback_group if callback is not None else _Unwatched()
        self._subscription: Subscription | None = None
        self._heard_as: tuple[str, ReliabilityPolicy] | None = None
        self._resolved = node.resolve_topic_name(topic)
        self._timer = node.create_timer(
            poll_period,
            self._look,
            callback_group=callback_group,
            clock=Clock(clock_type=ClockType.STEADY_TIME),
        )
        self._look()

    @property
    def topic_name(self) -> str:
        """The full, remapped name."""
        return self._resolved

    @property
    def matched(self) -> int | None:
        """How many publishers are heard; None while nobody is, or where it cannot be told."""
        return matched_publishers(self._subscription)

    def take(self) -> tuple[Twist, float] | None:
        """The newest velocity that was not taken yet, and the seconds since it was received."""
        subscription, newest = self._subscription, None
        if subscription is None:
            return None
        try:
            with subscription.handle:
                while taken := subscription.handle.take_message(subscription.msg_type, False):
                    newest = taken
        except InvalidHandle:  # it has just made way for one of another type
            return None
        if newest is None:
            return None
        message, info = newest
        age = max(0, time.time_ns() - info["received_timestamp"]) / 1e9
        return (message.twist if isinstance(message, TwistStamped) else message), age

    def destroy(self) -> None:
        self._node.destroy_timer(self._timer)
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

    def _look(self) -> None:
        publishers = self._node.get_publishers_info_by_topic(self._resolved)
        publishers = [info for info in publishers if info.topic_type in (TWIST, TWIST_STAMPED)]
        if not publishers:
            return
        types = {info.topic_type for info in publishers}
        known = self._heard_as
        kind = known[0] if known is not None and known[0] in types else min(types)
        if self._qos is not None:
            qos = self._qos
        else:
            offers = [info.qos_profile.reliability for info in publishers]
            qos = QoSProfile(depth=QUEUE, reliability=adapted_reliability(offers))
        if known == (kind, qos.reliability):
            return
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
        self._heard_as = (kind, qos.reliability)
        stamped = kind == TWIST_STAMPED
        # rclpy hands over the information to callbacks that take two arguments.
        callback: Any = self._on_message_with_info if self._adds[1] else self._on_message
        self._subscription = self._node.create_subscription(
            TwistStamped if stamped else Twist,
            self._topic,
            callback,
            qos,
            callback_group=self._group,
        )

    def _on_message(self, message: Twist | TwistStamped) -> None:
        self._hand_over(message)

    def _on_message_with_info(self, message: Twist | TwistStamped, info) -> None:
        self._hand_over(message, info)

    def _hand_over(self, message: Twist | TwistStamped, *info) -> None:
        stamped = isinstance(message, TwistStamped)
        twist = message.twist if stamped else message
        if self._adds[0]:
            self._callback(twist, _seconds(message.header.stamp) if stamped else None, *info)
        else:
            self._callback(twist, *info)


def _ignore(*_message: Any) -> None:
    """Nobody calls it."""


def _seconds(stamp) -> float:
    return stamp.sec + stamp.nanosec * 1e-9
