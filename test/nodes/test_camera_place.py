"""The static transform of the camera, where tf2_msgs is not installed.

tf2_msgs comes with an apt ROS 2 only. Its one message is a list of geometry_msgs transforms, which
are real here; in its place stands a module with that list, and a publisher that keeps what it is
handed, since without the real type there is nothing that DDS could send.
"""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy
from rig import Rig

from mobile_vla_ros.nodes.camera.facts import FACT_PARAMETERS, CameraFacts, place_of_camera

SETTINGS = {
    **{declared.name: declared.default for declared in FACT_PARAMETERS},
    "frame_id": "camera",
    "camera_height": 0.3,
    "camera_tilt": 12.0,
    "camera_forward": 0.1,
}


def turned(transform: TransformStamped, vector: list[float]) -> np.ndarray:
    """A vector of the camera's frame as the base sees it."""
    turn = transform.transform.rotation
    axis, w = np.array([turn.x, turn.y, turn.z]), turn.w
    once = 2 * np.cross(axis, vector)
    return np.asarray(vector) + w * once + np.cross(axis, once)


def test_the_lens_stands_where_the_rig_says_and_looks_down_by_its_tilt() -> None:
    moved = place_of_camera(SETTINGS, Time(sec=7))
    assert (moved.header.frame_id, moved.child_frame_id) == ("base_link", "camera")
    assert moved.header.stamp == Time(sec=7)
    place = moved.transform.translation
    assert (place.x, place.y, place.z) == (0.1, 0.0, 0.3)
    down = np.deg2rad(12.0)
    assert np.allclose(turned(moved, [0, 0, 1]), [np.cos(down), 0, -np.sin(down)])
    assert np.allclose(turned(moved, [1, 0, 0]), [0, -1, 0])


@dataclass
class TFMessage:
    """As tf2_msgs has it."""

    transforms: list[TransformStamped] = field(default_factory=list)


class Kept:
    """A publisher that keeps what it is handed."""

    def __init__(self, topic: str, quality: Any) -> None:
        self.topic, self.quality = topic, quality
        self.messages: list[Any] = []

    def publish(self, message: Any) -> None:
        self.messages.append(message)


@pytest.mark.ros
@pytest.mark.skipif(
    importlib.util.find_spec("tf2_msgs") is not None, reason="the real one is sent elsewhere"
)
def test_it_is_said_once_and_to_whoever_comes_later(
    ros_domain: int, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("tf2_msgs.msg")
    module.TFMessage = TFMessage  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tf2_msgs", ModuleType("tf2_msgs"))
    monkeypatch.setitem(sys.modules, "tf2_msgs.msg", module)
    kept: list[Kept] = []
    create = Node.create_publisher

    def create_publisher(node: Node, kind: Any, topic: str, quality: Any, **more: Any) -> Any:
        if kind is not TFMessage:
            return create(node, kind, topic, quality, **more)
        kept.append(Kept(topic, quality))
        return kept[-1]

    with Rig(tmp_path) as rig:
        monkeypatch.setattr(Node, "create_publisher", create_publisher)
        CameraFacts(rig.node, SETTINGS)
        CameraFacts(rig.node, {**SETTINGS, "camera_height": 0.0})
    (place,) = kept
    assert place.topic == "/tf_static"
    assert place.quality.durability == DurabilityPolicy.TRANSIENT_LOCAL
    (message,) = place.messages
    (moved,) = message.transforms
    assert moved.transform.translation.z == 0.3
    assert moved.header.stamp.sec > 0
