"""What a bag says of its camera: the lens by `camera_info`, its place by the static transforms."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mobile_vla_ros.episodes.bag import Bag
from mobile_vla_ros.episodes.bag_signals import TRANSPORTS
from mobile_vla_ros.launching import camera_info_topic
from mobile_vla_ros.rig import Rig

CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
TRANSFORMS = ("tf2_msgs/msg/TFMessage", "tf/msg/tfMessage")
# Lenses that a pinhole's field of view describes.
_PINHOLES = ("", "plumb_bob", "rational_polynomial")
# Lies on the floor (REP-105); `base_link` may lie anywhere in the base.
_FLOOR = "base_footprint"
_BASE = "base_link"
# Degrees beyond which a camera would look at its own feet or the ceiling: then the pictures are
# named after the camera's body, whose z points up, and not after its lens.
_STEEPEST = 60.0
_HIGHEST = 10.0  # metres


def rig_of_bag(bag: Bag, image_topic: str, frame: str, notes: list[str]) -> Rig:
    """The rig as far as the bag says it; all else stays unknown, the frame size too.

    Args:
        bag: an opened bag.
        image_topic: the pictures that are read.
        frame: ``frame_id`` of these pictures.
        notes: what was taken for granted is added here.
    """
    raw = image_topic
    for end in TRANSPORTS:
        raw = raw.removesuffix(end)
    info = camera_info_topic(raw)
    places = {
        topic
        for topic, kinds in bag.kinds.items()
        if kinds & set(TRANSFORMS) and _above(topic.removesuffix("tf_static"), topic, image_topic)
    }
    if not places and CAMERA_INFO not in bag.kinds.get(info, ()):
        return Rig(image_topic)
    cut = dict(bag.cut)
    view: float | None = None
    links: dict[str, _Link] = {}
    for message in bag.messages({info, *places}):
        if message.kind == CAMERA_INFO:
            view = _view(message.content) if view is None else view
        elif message.topic in places:
            links.update(_links(message.content))
    bag.cut = cut  # said once, by whoever reads the pictures
    height, tilt = _standing(frame.lstrip("/"), links, notes)
    return Rig(image_topic, mount_height=height, tilt=tilt, field_of_view=view)


@dataclass(frozen=True)
class _Link:
    """How a frame lies in its parent: rotation [3, 3] and place [3] in metres."""

    parent: str
    turn: np.ndarray
    place: np.ndarray


def _above(space: str, topic: str, image_topic: str) -> bool:
    """Whether it is a topic of static transforms of the robot whose pictures these are."""
    return topic.endswith("tf_static") and image_topic.startswith(space)


def _view(info: Any) -> float | None:
    """Degrees across of a calibrated pinhole; None of anything else."""
    matrix = np.asarray(getattr(info, "k", getattr(info, "K", ())), np.float64).ravel()
    width = float(info.width)
    if len(matrix) != 9 or not np.isfinite(matrix).all() or matrix[0] <= 0 or width <= 0:
        return None
    if str(info.distortion_model) not in _PINHOLES:
        return None
    focal, centre = float(matrix[0]), float(matrix[2])
    return round(math.degrees(math.atan(centre / focal) + math.atan((width - centre) / focal)), 3)


def _links(message: Any) -> Iterator[tuple[str, _Link]]:
    for moved in message.transforms:
        place, turn = moved.transform.translation, moved.transform.rotation
        quaternion = np.array([turn.x, turn.y, turn.z, turn.w], np.float64)
        where = np.array([place.x, place.y, place.z], np.float64)
        length = float(np.linalg.norm(quaternion))
        if not (np.isfinite(where).all() and math.isfinite(length) and length > 0.5):
            continue
        link = _Link(moved.header.frame_id.lstrip("/"), _matrix(quaternion / length), where)
        yield moved.child_frame_id.lstrip("/"), link


def _standing(
    frame: str, links: dict[str, _Link], notes: list[str]
) -> tuple[float | None, float | None]:
    """Metres above the floor and degrees down of the lens, each None where nothing says it."""
    turn, place = np.eye(3), np.zeros(3)
    seen: set[str] = set()
    tilt: float | None = None
    while frame in links and frame not in seen:
        seen.add(frame)
        link = links[frame]
        turn, place, frame = link.turn @ turn, link.turn @ place + link.place, link.parent
        name = frame.rpartition("/")[2]
        if name in (_FLOOR, _BASE):
            tilt = _tilt(turn)
        if name == _FLOOR:
            return _height(place), tilt
        if name == _BASE and len(seen) == 1 and frame not in links:
            # As camera_node says where it stands; a robot's own description has a link between.
            notes.append(f"the camera's height is the one above {frame}")
            return _height(place), tilt
    return None, tilt


def _height(place: np.ndarray) -> float | None:
    height = float(place[2])
    return round(height, 4) if 0 < height <= _HIGHEST else None


def _tilt(turn: np.ndarray) -> float | None:
    """Degrees that the z axis of an optical frame looks down."""
    down = math.degrees(math.asin(float(np.clip(-turn[2, 2], -1.0, 1.0))))
    return round(down, 3) + 0.0 if abs(down) <= _STEEPEST else None


def _matrix(quaternion: np.ndarray) -> np.ndarray:
    x, y, z, w = quaternion.tolist()
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
