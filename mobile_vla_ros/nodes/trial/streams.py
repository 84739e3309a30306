"""The streams that a trial manager listens to: frames, chunks, features, velocities, odometry.

It listens through a node of its own. Before every single message rclpy looks at each entity of
the node that waits, and a manager has about forty of them; here there are eight. At 10 frames/s
and 50 velocities/s that halves what the manager costs a robot's computer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from geometry_msgs.msg import Twist
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image
from trajectory_msgs.msg import MultiDOFJointTrajectory

from mobile_vla_ros.axes import PLANAR_AXES
from mobile_vla_ros.nodes.trial.keeper import IncidentKeeper
from mobile_vla_ros.nodes.wiring.camera_subscription import CameraSubscription
from mobile_vla_ros.nodes.wiring.feature_message import feature_of
from mobile_vla_ros.nodes.wiring.qos import queued
from mobile_vla_ros.nodes.wiring.trajectory import NANOSECONDS, chunk_of, nanoseconds_of
from mobile_vla_ros.nodes.wiring.velocity import VelocitySubscription, velocities_of
from mobile_vla_ros.planar import odometry_of
from mobile_vla_ros.trials.course import TrialCourse

# How often the graph is asked who offers camera and velocities, s: it costs, and changes seldom.
GRAPH_PERIOD = 0.5


try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble keeps it elsewhere
    from rclpy.qos_event import SubscriptionEventCallbacks


class TrialStreams(Node):
    """Hands what it hears to the course of the trial and to the incident ring.

    Args:
        manager: the trial manager; its namespace, remappings and context hold here too.
        course: of the trial that runs, if any.
        keeper: of the incident ring; None when incidents are switched off.
        now: the time of stamps, s.
        steady: what trials are timed with, s.
        pictured: called with every camera message, after the ring has it.
        policy: name of the inference node.
        image_transport: raw or compressed.

    Attributes:
        images: camera messages heard so far.
    """

    def __init__(
        self,
        manager: Node,
        *,
        course: TrialCourse,
        keeper: IncidentKeeper | None,
        now: Callable[[], float],
        steady: Callable[[], float],
        pictured: Callable[[Image | CompressedImage], None],
        policy: str,
        image_transport: str,
    ) -> None:
        super().__init__(
            f"{manager.get_name()}_streams",
            context=manager.context,
            namespace=manager.get_namespace(),
            # Names come resolved from the manager: its remappings must not be applied twice.
            use_global_arguments=False,
            enable_rosout=False,
            start_parameter_services=False,
            parameter_overrides=[Parameter("start_type_description_service", value=False)],
        )
        self._course = course
        self._keeper = keeper
        self._now = now
        self._steady = steady
        self._pictured = pictured
        self.images = 0

        resolve = manager.resolve_topic_name
        self.create_subscription(
            MultiDOFJointTrajectory, resolve(f"{policy}/chunk"), self._on_chunk, queued()
        )
        if keeper is not None:
            self.create_subscription(
                Image, resolve(f"{policy}/features"), self._on_feature, queued()
            )
        # Best effort hears every publisher; a reliable subscription would miss some.
        best_effort = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)
        self.create_subscription(Odometry, resolve("odom"), self._on_odometry, best_effort)
        VelocitySubscription(self, resolve("cmd_vel"), self._on_command, poll_period=GRAPH_PERIOD)
        CameraSubscription(
            self,
            self._on_image,
            topic=resolve("image"),
            transport=image_transport,
            depth=2,
            poll_period=GRAPH_PERIOD,
        )

    def create_subscription(self, *args: Any, **options: Any) -> Subscription:
        """As any node's, but without rclpy's own event handlers, of which each is waited on too.

        They would warn of a quality of service that does not fit; here each is what its publisher
        offers, or fits every one.
        """
        if options.get("event_callbacks") is None:
            options["event_callbacks"] = SubscriptionEventCallbacks(use_default_callbacks=False)
        return super().create_subscription(*args, **options)

    def _on_chunk(self, message: MultiDOFJointTrajectory) -> None:
        if len(message.points) < 2 or not message.points[0].velocities:
            return
        now = self._now()
        chunk = chunk_of(message, self._course.axes)
        self._course.hear_chunk(chunk.axes, chunk.velocities.tolist(), now - chunk.stamp)
        if self._keeper is not None:
            self._keeper.hear_chunk(chunk, now)

    def _on_feature(self, message: Image) -> None:
        feature = feature_of(message)
        if feature is None or self._keeper is None:
            return
        self._keeper.hear_feature(_seconds(message), self._now(), feature)

    def _on_command(self, twist: Twist) -> None:
        vx, vy, wz = velocities_of(twist, PLANAR_AXES)
        self._course.hear_command(vx, vy, wz, self._steady(), time.monotonic())
        if self._keeper is not None:
            self._keeper.hear_command(self._now(), vx, vy, wz)

    def _on_odometry(self, message: Odometry) -> None:
        row = odometry_of(message)
        self._course.hear_odometry(*row[:3], self._steady())
        if self._keeper is not None:
            self._keeper.hear_odometry(self._now(), row)

    def _on_image(self, message: Image | CompressedImage) -> None:
        self.images += 1
        if self._keeper is not None:
            self._keeper.hear_frame(_seconds(message), self._now(), message)
        self._pictured(message)


def _seconds(message: Any) -> float:
    """The capture time of a message, s."""
    return nanoseconds_of(message.header.stamp) / NANOSECONDS
