"""Looks at the ROS graph before a drive and prints what it saw as one line of JSON.

Started by ``mobile_vla doctor``, which judges it. It publishes nothing.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.utilities import get_rmw_implementation_identifier

from mobile_vla_ros.nodes.wiring.camera_subscription import CameraSubscription
from mobile_vla_ros.nodes.wiring.images import (
    ImageError,
    decode_compressed,
    fingerprint,
    rgb_image,
)
from mobile_vla_ros.nodes.wiring.qos import RELIABILITIES, offered_reliability

_IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")


class DoctorNode(Node):
    """Listens to the camera for a while and reads the graph.

    Parameters: ``image`` topic by remapping, ``image_transport``, ``image_reliability``,
    ``seconds`` (how long frames are counted, s), ``wait`` (how long to wait for publishers and
    listeners, s), ``frames_file`` (where ten frames are kept as .npz; empty keeps none).
    """

    def __init__(self) -> None:
        super().__init__("mobile_vla_doctor")
        declare = self.declare_parameter
        self._transport = declare("image_transport", "raw").value
        self._reliability = declare("image_reliability", "auto").value
        self._seconds = float(declare("seconds", 3.0).value)
        self._wait = float(declare("wait", 5.0).value)
        self._frames_file = str(declare("frames_file", "").value)
        self._arrivals: list[tuple[float, float, float]] = []  # steady, node clock, stamp
        self._prints: set[int] = set()
        self._kept: list[np.ndarray] = []
        self._form: dict[str, object] = {}
        self._error: str | None = None
        self._camera = CameraSubscription(
            self,
            self._frame,
            transport=self._transport,
            reliability=self._reliability,
            depth=5,
        )

    def examine(self) -> dict[str, object]:
        """Waits, counts frames, and returns everything seen."""
        commands = self.resolve_topic_name("cmd_vel")
        deadline = time.monotonic() + self._wait
        while time.monotonic() < deadline and not (
            self._arrivals and self.count_subscribers(commands)
        ):
            rclpy.spin_once(self, timeout_sec=0.05)
        # The first frames of a new subscription may come in a bunch: count from here.
        self._arrivals.clear()
        begin = time.monotonic()
        while time.monotonic() - begin < self._seconds:
            rclpy.spin_once(self, timeout_sec=0.05)
        span = time.monotonic() - begin
        if self._frames_file and self._kept:
            np.savez(self._frames_file, *self._kept)
        return {
            "ros": self._ros(),
            "camera": self._camera_seen(span),
            "commands": self._commands_seen(commands),
            "nodes": sorted(self.get_node_names()),
        }

    def _frame(self, message) -> None:
        stamp = message.header.stamp.sec + message.header.stamp.nanosec * 1e-9
        now = self.get_clock().now().nanoseconds * 1e-9
        self._arrivals.append((time.monotonic(), now, stamp))
        self._prints.add(fingerprint(message.data))
        if len(self._kept) >= 10 and self._form:
            return
        try:
            if self._transport == "compressed":
                pixels = decode_compressed(message.data)
                encoding = message.format
            else:
                pixels = rgb_image(message)
                encoding = message.encoding
        except ImageError as error:
            self._error = str(error)
            return
        height, width = pixels.shape[:2]
        self._form = {"encoding": encoding, "width": width, "height": height}
        self._kept.append(np.array(pixels))

    def _ros(self) -> dict[str, object]:
        profile = os.environ.get("FASTRTPS_DEFAULT_PROFILES_FILE") or os.environ.get(
            "FASTDDS_DEFAULT_PROFILES_FILE"
        )
        local = os.environ.get("ROS_LOCALHOST_ONLY") == "1"
        local = local or os.environ.get("ROS_AUTOMATIC_DISCOVERY_RANGE") in ("LOCALHOST", "OFF")
        return {
            "domain": int(os.environ.get("ROS_DOMAIN_ID") or 0),
            "rmw": get_rmw_implementation_identifier(),
            "distro": os.environ.get("ROS_DISTRO"),
            "profile": profile if profile and Path(profile).exists() else None,
            "localhost_only": local,
        }

    def _camera_seen(self, span: float) -> dict[str, object]:
        topic = self._camera.topic_name
        publishers = self.get_publishers_info_by_topic(topic)
        offered = offered_reliability(self, topic)
        names = {policy: name for name, policy in RELIABILITIES.items()}
        arrived = np.array(self._arrivals).reshape(-1, 3)
        ages = arrived[:, 1] - arrived[:, 2]
        gaps = np.diff(arrived[:, 0])
        return {
            "topic": topic,
            "publishers": len(publishers),
            "types": sorted({info.topic_type for info in publishers}),
            "offered": names.get(offered) if offered is not None else None,
            "similar": sorted(
                name
                for name, types in self.get_topic_names_and_types()
                if set(types) & set(_IMAGE_TYPES) and self.count_publishers(name)
            ),
            "frames": len(arrived),
            "seconds": span,
            "worst_gap": float(gaps.max()) if len(gaps) else span,
            "age_median": float(np.median(ages)) if len(ages) else None,
            "age_min": float(ages.min()) if len(ages) else None,
            "age_max": float(ages.max()) if len(ages) else None,
            "backward": int((np.diff(arrived[:, 2]) < 0).sum()),
            "identical": len(arrived) > 1 and len(self._prints) == 1,
            "error": self._error,
            **self._form,
        }

    def _commands_seen(self, topic: str) -> dict[str, object]:
        listeners = self.get_subscriptions_info_by_topic(topic)
        publishers = self.get_publishers_info_by_topic(topic)
        return {
            "topic": topic,
            "subscribers": len(listeners),
            "types": sorted({info.topic_type for info in listeners}),
            "publishers": sorted({info.node_name for info in publishers}),
        }


def main(args: list[str] | None = None) -> None:
    """Runs the node once."""
    rclpy.init(args=args)
    node = DoctorNode()
    try:
        print(json.dumps(node.examine()), flush=True)
    except (KeyboardInterrupt, ExternalShutdownException):
        sys.exit(130)
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
