"""What the recorder hears of the robot beside its camera: commands, keys, odometry, takeovers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from geometry_msgs.msg import Twist, TwistStamped
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from std_msgs.msg import Bool

from mobile_vla_ros.axes import AXES
from mobile_vla_ros.episodes.recording import Recording
from mobile_vla_ros.episodes.stamp_clocks import SenderClock, StampClock
from mobile_vla_ros.nodes.recorder.clock import RecorderClock
from mobile_vla_ros.nodes.wiring.qos import latched, offered_reliability, queued
from mobile_vla_ros.nodes.wiring.velocity import VelocitySubscription, velocities_of
from mobile_vla_ros.planar import odometry_of

COMMAND_QUEUE = 100
# Odometry that was heard this recently, s, is there.
STALE_ODOMETRY = 1.0


class RecordedRobot:
    """Tells a `Recording` what the robot is told and does.

    Args:
        node: the recorder.
        settings: its parameters by name.
        recording: hears it all.
        clock: the recorder's time.

    Attributes:
        guarded: whether a guard has been heard, which tells of takeovers.
    """

    def __init__(
        self,
        node: Node,
        settings: Mapping[str, Any],
        recording: Recording,
        clock: RecorderClock,
    ) -> None:
        self._node = node
        self._recording = recording
        self._clock = clock
        self._by_key = settings["mode"] == "key_press"
        self._sender_clock = SenderClock()
        self._last_command: tuple[float, ...] | None = None
        self._teleop_keys = False
        self._odometry_clock = StampClock()
        self._odometry_heard = -math.inf
        self.guarded = False
        self._velocity: VelocitySubscription | None = None
        self._velocity_reliability = ReliabilityPolicy.RELIABLE
        self.look()
        # Of two arguments: rclpy hands over the message and when it came.
        on_key: Any = self._on_key
        on_odometry: Any = self._on_odometry
        if self._by_key:
            node.create_subscription(TwistStamped, "teleop_key", on_key, queued())
        if settings["odom"]:
            # Best effort hears every publisher; a reliable subscription would miss some.
            profile = QoSProfile(depth=COMMAND_QUEUE, reliability=ReliabilityPolicy.BEST_EFFORT)
            node.create_subscription(Odometry, "odom", on_odometry, profile)
        if settings["guard"]:
            node.create_subscription(
                Bool, f"{settings['guard']}/taken_over", self._on_takeover, latched()
            )

    @property
    def odometry_comes(self) -> bool:
        """Whether there is odometry now."""
        return self._clock.now() - self._odometry_heard < STALE_ODOMETRY

    def shift(self, by: float) -> None:
        """What was heard counts as so many seconds later: the clock has been set."""
        self._odometry_heard += by

    def odometry_attributes(self) -> dict[str, str]:
        """What the file says of odometry: whether its times are its stamps or its arrivals."""
        if not self.odometry_comes:
            return {}
        return {"odom_stamp_source": "header" if self._odometry_clock.agrees else "receipt"}

    def silence(self) -> str:
        """Warns when nobody commands the robot; '' when somebody does."""
        topic = self._node.resolve_topic_name("cmd_vel")
        if self._node.count_publishers(topic):
            return ""
        return f"nobody publishes {topic} yet: until then rows say that the robot stands"

    def look(self) -> None:
        """Asks the graph who commands, and hears them with the reliability that they offer."""
        self._teleop_keys = self._node.count_publishers("teleop_key") > 0
        topic = self._node.resolve_topic_name("cmd_vel")
        offered = offered_reliability(self._node, topic) or self._velocity_reliability
        if self._velocity is not None:
            if offered == self._velocity_reliability:
                return
            self._velocity.destroy()
        self._velocity_reliability = offered
        self._velocity = VelocitySubscription(
            self._node,
            "cmd_vel",
            self._on_command,
            with_info=True,
            qos=QoSProfile(depth=COMMAND_QUEUE, reliability=offered),
        )

    def _on_command(self, twist: Twist, info: Any) -> None:
        velocities = velocities_of(twist, AXES)
        when = self._sent(info)
        self._recording.command(when, velocities)
        started = velocities != self._last_command and any(velocities)
        if self._by_key and not self._teleop_keys and started:
            # Another teleop program: the start of a new command is the press of its key.
            self._recording.press(when, velocities)
        self._last_command = velocities

    def _on_key(self, message: TwistStamped, info: Any) -> None:
        self._recording.press(self._sent(info), velocities_of(message.twist, AXES))

    def _on_odometry(self, message: Odometry, info: Any) -> None:
        header = message.header.stamp
        self._odometry_heard = self._clock.now()
        stamp = self._clock.even(header.sec + header.nanosec * 1e-9)
        agreed = self._odometry_clock.agrees
        when = self._odometry_clock.time(stamp, self._clock.arrival(info))
        if agreed and not self._odometry_clock.agrees:
            self._node.get_logger().warning(
                "the odometry's stamps are of another clock than this machine's: it counts from"
                " its arrival"
            )
        self._recording.odometry(when, odometry_of(message))

    def _on_takeover(self, message: Bool) -> None:
        self.guarded = True
        self._recording.takeover(self._clock.now(), message.data)

    def _sent(self, info: Any) -> float:
        """When a command was given, on the node's clock, s."""
        received, sent = self._clock.arrival(info), self._clock.sent(info)
        if sent is None:
            return received  # on a simulated clock, or unstamped
        return self._sender_clock.time(sent, received)
