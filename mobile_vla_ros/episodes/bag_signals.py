"""What a bag says of commands and odometry, and when each of its pictures was taken."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mobile_vla_ros.axes import AXES
from mobile_vla_ros.episodes import schema
from mobile_vla_ros.episodes.bag import Bag
from mobile_vla_ros.episodes.bag_clock import Times, plain_times, tell_times
from mobile_vla_ros.episodes.schema import EpisodeError
from mobile_vla_ros.planar import odometry_of

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED = "sensor_msgs/msg/CompressedImage"
TWIST = "geometry_msgs/msg/Twist"
TWIST_STAMPED = "geometry_msgs/msg/TwistStamped"
ODOM = "nav_msgs/msg/Odometry"
# What image_transport adds to a camera's name: the same pictures once more.
TRANSPORTS = ("/compressed", "/compressedDepth", "/theora", "/ffmpeg")


@dataclass(frozen=True)
class BagTopics:
    """Topics to read; an empty one is found by its type, if the bag has just one of it."""

    image: str = ""
    cmd_vel: str = ""
    odom: str = ""


@dataclass(frozen=True)
class Signal:
    """What a topic said, by time: float64 [N] and [N, values]."""

    times: np.ndarray
    values: np.ndarray

    def at(self, time: float) -> tuple[float, np.ndarray] | None:
        """(its time, value) in force at ``time``, or None when all are later."""
        place = int(np.searchsorted(self.times, time, side="right"))
        return (float(self.times[place - 1]), self.values[place - 1]) if place else None


@dataclass
class _Heard:
    """The messages on a topic, in the order of the bag."""

    stamps: list[float] = field(default_factory=list)
    received: list[float] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    frame_ids: list[str] = field(default_factory=list)


def read_signals(
    bag: Bag, topics: BagTopics, notes: list[str]
) -> tuple[Times, Signal, Signal | None]:
    """When each picture was taken, and commands and odometry by time.

    Every topic is asked for itself whether its stamps are of the clock that recorded the bag.
    """
    images, plain, stamped, odoms = _Heard(), _Heard(), _Heard(), _Heard()
    take: dict[str, tuple[_Heard, Callable[[Any], Any]]] = {
        IMAGE: (images, lambda _: None),
        COMPRESSED: (images, lambda _: None),
        TWIST: (plain, _twist),
        TWIST_STAMPED: (stamped, lambda message: _twist(message.twist)),
        ODOM: (odoms, odometry_of),
    }
    for message in bag.messages({topics.image, topics.cmd_vel, topics.odom} - {""}):
        if message.kind not in take:
            continue
        heard, value_of = take[message.kind]
        header = getattr(message.content, "header", None)
        heard.received.append(message.received)
        heard.stamps.append(0.0 if header is None else _seconds(header.stamp))
        heard.frame_ids.append("" if header is None else str(header.frame_id))
        heard.values.append(value_of(message.content))
    _refuse_two_cameras(bag.path, topics.image, images.frame_ids)
    camera = _times(topics.image, images, notes)
    commands = _finite(
        topics.cmd_vel,
        [
            (plain_times(topics.cmd_vel, np.array(plain.received)).times, plain.values),
            (_times(topics.cmd_vel, stamped, notes).times, stamped.values),
        ],
        len(AXES),
        notes,
    )
    if plain.values and stamped.values:
        notes.append(f"Twist and TwistStamped on {topics.cmd_vel} were both read")
    if not topics.odom:
        return camera, commands, None
    poses = _finite(
        topics.odom,
        [(_times(topics.odom, odoms, notes).times, odoms.values)],
        len(schema.ODOM_COLUMNS) - 1,
        notes,
    )
    return camera, commands, Signal(poses.times, np.column_stack([poses.values, poses.times]))


def _times(topic: str, heard: _Heard, notes: list[str]) -> Times:
    told = tell_times(topic, np.array(heard.stamps), np.array(heard.received))
    if told.note:
        notes.append(told.note)
    return told


def _finite(
    topic: str, parts: list[tuple[np.ndarray, list[Any]]], width: int, notes: list[str]
) -> Signal:
    """The values in the order of their times, without those that are not numbers."""
    times = np.concatenate([part[0] for part in parts])
    values = np.concatenate(
        [np.array(part[1], np.float64).reshape(len(part[1]), width) for part in parts]
    )
    whole = np.isfinite(values).all(axis=1)
    if not whole.all():
        count = int((~whole).sum())
        notes.append(f"{count} messages on {topic} are not numbers and were left out")
    order = np.argsort(times[whole], kind="stable")
    return Signal(times[whole][order], values[whole][order])


def _refuse_two_cameras(path: Path, topic: str, frame_ids: list[str]) -> None:
    # A camera that numbers its frames never comes back to an earlier name.
    back, known = 0, set(frame_ids[:1])
    for before, name in itertools.pairwise(frame_ids):
        back += name != before and name in known
        known.add(name)
    if back > 1:
        names = ", ".join(sorted(set(frame_ids))[:3])
        raise EpisodeError(
            f"{path}: two cameras publish on {topic} (frame ids {names}); record each on a topic "
            "of its own"
        )


def _seconds(stamp: Any) -> float:
    return float(stamp.sec + stamp.nanosec * 1e-9)


def _twist(message: Any) -> list[float]:
    return [
        float(getattr(getattr(message, part), axis))
        for part in ("linear", "angular")
        for axis in ("x", "y", "z")
    ]
