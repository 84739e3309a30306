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
from rclpy.node import Node
from rclpy.utilities import get_rmw_implementation_identifier

from mobile_vla_ros.fastdds import own_profiles
from mobile_vla_ros.nodes.wiring.camera_subscription import CameraSubscription
from mobile_vla_ros.nodes.wiring.images import (
    ImageError,
    decode_compressed,
    fingerprint,
    rgb_image,
)
from mobile_vla_ros.nodes.wiring.parameters import Declared, declare
from mobile_vla_ros.nodes.wiring.program import Program, Topic
from mobile_vla_ros.nodes.wiring.qos import RELIABILITIES, offered_reliability
from mobile_vla_ros.nodes.wiring.running import Life, StopSignal, run_node

PARAMETERS = (
    Declared(
        "image_transport",
        "raw",
        "compressed listens to the image topic + /compressed",
        options=("raw", "compressed"),
    ),
    Declared(
        "image_reliability",
        "auto",
        "auto: as the publisher offers",
        options=("auto", *RELIABILITIES),
    ),
    Declared("seconds", 3.0, "how long frames are counted, s", 0.0, 36000.0),
    Declared("wait", 5.0, "how long to wait for publishers and listeners, s", 0.0, 36000.0),
    Declared("frames_file", "", "where ten frames are kept as .npz; '' keeps none"),
)
PROGRAM = Program(
    node="mobile_vla_doctor",
    module="tools.doctor_node",
    about=__doc__ or "",
    parameters=PARAMETERS,
    hears=(Topic("image", "sensor_msgs/Image or CompressedImage"),),
)
INTERRUPTED = 130
KEPT_FRAMES = 10
_IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")


class DoctorNode(Life, Node):
    """Listens to the camera for a while and reads the graph."""

    def __init__(self) -> None:
        super().__init__("mobile_vla_doctor")
        self._values = declare(self, PARAMETERS)
        self._arrivals: list[tuple[float, float, float]] = []  # steady, node clock, stamp
        self._prints: set[int] = set()
        self._kept: list[np.ndarray] = []
        self._form: dict[str, object] = {}
        self._error: str | None = None
        self._camera = CameraSubscription(
            self,
            self._on_image,
            transport=self._values["image_transport"],
            reliability=self._values["image_reliability"],
            depth=5,
        )

    def work(self, stop: StopSignal) -> int:
        seen = self._examine(stop)
        if stop.is_set():
            return INTERRUPTED
        print(json.dumps(seen), flush=True)
        return 0

    def _examine(self, stop: StopSignal) -> dict[str, object]:
        """Waits, counts frames, and returns everything seen."""
        commands = self.resolve_topic_name("cmd_vel")
        deadline = time.monotonic() + self._values["wait"]
        while not (self._arrivals and self.count_subscribers(commands)):
            if stop.wait(0.05) or time.monotonic() > deadline:
                break
        # The first frames of a new subscription may come in a bunch: count from here.
        self._arrivals.clear()
        begin = time.monotonic()
        stop.wait(self._values["seconds"])
        span = time.monotonic() - begin
        if self._values["frames_file"] and self._kept:
            np.savez(self._values["frames_file"], *list(self._kept))
        return {
            "ros": self._ros(),
            "camera": self._camera_seen(span),
            "commands": self._commands_seen(commands),
            "nodes": sorted(self.get_node_names()),
        }

    def _on_image(self, message) -> None:
        stamp = message.header.stamp.sec + message.header.stamp.nanosec * 1e-9
        now = self.get_clock().now().nanoseconds * 1e-9
        self._arrivals.append((time.monotonic(), now, stamp))
        self._prints.add(fingerprint(message.data))
        if len(self._kept) >= KEPT_FRAMES and self._form:
            return
        try:
            if self._values["image_transport"] == "compressed":
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
        profile = own_profiles(os.environ)
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
        arrived = np.array(list(self._arrivals)).reshape(-1, 3)
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


def main(args: list[str] | None = None) -> int:
    """Runs the node once."""
    return run_node(PROGRAM, lambda _stop: DoctorNode(), args)


if __name__ == "__main__":
    sys.exit(main())
