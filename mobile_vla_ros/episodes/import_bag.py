"""Makes an episode of a rosbag2 recording (mcap or sqlite3), without ROS.

A row is chosen and labelled as the recorder does it: the frame nearest to each tick of the rate,
with the command that was in force when it was captured.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from mobile_vla_ros.axes import PLANAR_AXES
from mobile_vla_ros.cadence import CameraClock
from mobile_vla_ros.episodes import schema
from mobile_vla_ros.episodes.names import check_scenario, unique_path
from mobile_vla_ros.episodes.recording import HeldValues, RatePicker
from mobile_vla_ros.episodes.schema import EpisodeError
from mobile_vla_ros.episodes.writer import EpisodeWriter
from mobile_vla_ros.pictures import ImageError, rgb_image
from mobile_vla_ros.planar import odometry_of

_IMAGE = "sensor_msgs/msg/Image"
_COMPRESSED = "sensor_msgs/msg/CompressedImage"
_TWIST = "geometry_msgs/msg/Twist"
_TWIST_STAMPED = "geometry_msgs/msg/TwistStamped"
_ODOM = "nav_msgs/msg/Odometry"
# Stamps further from the time of arrival than this are of another clock (a simulation's, say).
_CLOCKS_APART = 10.0


@dataclass(frozen=True)
class BagTopics:
    """Topics to read; an empty one is found by its type, if the bag has just one of it."""

    image: str = ""
    cmd_vel: str = ""
    odom: str = ""


@dataclass(frozen=True)
class BagImport:
    """What was brought in.

    Attributes:
        path: the episode.
        frames: rows written.
        messages: images in the bag.
        topics: what was read.
        note: one sentence on clocks and rows without a command.
    """

    path: Path
    frames: int
    messages: int
    topics: BagTopics
    note: str


@dataclass(frozen=True)
class _Frame:
    stamp: float
    received: float
    message: Any


def import_bag(
    bag: str | Path,
    directory: str | Path,
    *,
    scenario: str,
    instruction: str,
    topics: BagTopics | None = None,
    rate: float = 10.0,
    image_format: str = "raw",
    action_axes: tuple[str, ...] = PLANAR_AXES,
    frame_period: float = schema.DEFAULT_FRAME_PERIOD,
) -> BagImport:
    """Reads one bag into one episode.

    Args:
        bag: the bag's folder (mcap or sqlite3), or a single .mcap file.
        directory: where the episode goes, named by its first frame's time and the scenario.
        scenario, instruction: what the episode is recorded under.
        topics: which topics; see ``BagTopics``.
        rate: rows per second; 0 takes every frame.
        image_format: ``raw`` or ``jpeg``. Frames of a compressed topic stay as they are.
        action_axes: the velocities that a row carries.
        frame_period: spacing in seconds that a policy takes frames at.

    Raises:
        EpisodeError: it is no bag, lacks a topic or has several, or holds images that cannot be
            read. No file is left then.
    """
    check_scenario(scenario)
    if not (math.isfinite(rate) and rate >= 0):
        raise EpisodeError(f"the rate must be 0 or a positive number of rows/s, not {rate}")
    path = Path(bag)
    with _open(path) as reader:
        chosen, kinds = _choose(path, reader, topics or BagTopics())
        commands, odometry, clock = _signals(reader, chosen, kinds)
        frames = _frames(reader, chosen.image, clock)
        first = next(frames, None)
        if first is None:
            raise EpisodeError(f"{path}: there is no image on {chosen.image}")
        when = datetime.fromtimestamp(first.received)
        compressed = kinds[chosen.image] == _COMPRESSED
        writer = EpisodeWriter(
            unique_path(directory, when, scenario),
            scenario=scenario,
            instruction=instruction,
            action_axes=action_axes,
            frame_period=frame_period,
            image_format="jpeg" if compressed else image_format,
            camera={"topic": chosen.image, "encoding": _encoding(first.message)},
            odom=bool(chosen.odom),
            attributes={"imported_from": path.name, "rows_per_second": rate},
            flush=False,
        )
        with contextlib.ExitStack() as undo:
            undo.callback(writer.discard)
            messages, without = _write(
                writer, first, frames, commands, odometry, action_axes, rate, compressed
            )
            final = writer.finish()
            undo.pop_all()
    note = f"stamps are {'arrival times, since the camera has another clock' if clock else 'true'}"
    if without:
        note += f"; {without} frames before the first command count as standing"
    return BagImport(final, writer.rows, messages, chosen, note)


def _write(
    writer: EpisodeWriter,
    first: _Frame,
    rest: Iterator[_Frame],
    commands: HeldValues,
    odometry: HeldValues,
    axes: tuple[str, ...],
    rate: float,
    compressed: bool,
) -> tuple[int, int]:
    """Writes the rows; the images seen, and the rows that had no command yet."""
    picker, camera = (RatePicker(rate) if rate else None), CameraClock()
    messages = without = 0
    last = -math.inf
    for frame in itertools.chain([first], rest):
        messages += 1
        if frame.stamp <= last:
            continue  # a repeated or late frame: its place in time is taken
        last = frame.stamp
        camera.add(frame.stamp)
        if picker is not None and not picker.takes(frame.stamp, camera.interval):
            continue
        held = commands.at(frame.stamp)
        without += held is None
        time, twist = held or (frame.stamp, {})
        pose = odometry.at(frame.stamp)
        writer.append(
            image=None if compressed else _rgb(frame.message),
            jpeg=bytes(frame.message.data) if compressed else None,
            action=[twist.get(axis, 0.0) for axis in axes],
            event="start_action" if writer.rows else "episode_start",
            image_stamp=frame.stamp,
            received_stamp=frame.received,
            action_stamp=time,
            odom=pose[1] if pose else None,
        )
    return messages, without


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    """A reader of the bag."""
    if not path.exists():
        raise EpisodeError(f"{path} does not exist")
    from rosbags.highlevel import AnyReader, AnyReaderError
    from rosbags.typesys import Stores, get_typestore

    # Bags of older ROS versions carry no message definitions; these messages never changed.
    known = get_typestore(Stores.ROS2_JAZZY)
    try:
        with AnyReader([path], default_typestore=known) as reader:
            yield reader
    except (AnyReaderError, FileNotFoundError, AssertionError) as error:
        said = str(error).split("\n")[0] or type(error).__name__
        raise EpisodeError(f"{path} is not a bag that can be read: {said}") from error


def _choose(path: Path, reader: Any, wanted: BagTopics) -> tuple[BagTopics, dict[str, str]]:
    """The topics to read and the type of each."""
    kinds = {connection.topic: connection.msgtype for connection in reader.connections}

    def find(name: str, what: str, option: str, types: tuple[str, ...], needed: bool) -> str:
        fitting = sorted(topic for topic, kind in kinds.items() if kind in types)
        if name:
            if name in fitting:
                return name
            there = f"it has {', '.join(fitting)}" if fitting else "it has none"
            raise EpisodeError(f"{path} has no {what} topic {name}; {there}")
        if len(fitting) > 1:
            raise EpisodeError(
                f"{path} has several {what} topics ({', '.join(fitting)}); name one by --{option}"
            )
        if needed and not fitting:
            raise EpisodeError(f"{path} has no {what} topic")
        return fitting[0] if fitting else ""

    chosen = BagTopics(
        find(wanted.image, "image", "image-topic", (_IMAGE, _COMPRESSED), True),
        find(wanted.cmd_vel, "command", "cmd-vel-topic", (_TWIST, _TWIST_STAMPED), True),
        find(wanted.odom, "odometry", "odom-topic", (_ODOM,), False),
    )
    return chosen, kinds


def _signals(
    reader: Any, topics: BagTopics, kinds: dict[str, str]
) -> tuple[HeldValues, HeldValues, bool]:
    """Commands and odometry by time, and whether the camera's stamps are of another clock."""
    commands, odometry = HeldValues(math.inf, most=None), HeldValues(math.inf, most=None)
    apart: list[float] = []
    for connection, nanoseconds, data in _messages(reader, topics):
        received = nanoseconds * 1e-9
        if connection.topic == topics.image:
            if len(apart) < 20:
                message = reader.deserialize(data, connection.msgtype)
                apart.append(abs(_stamp(message, received) - received))
            continue
        message = reader.deserialize(data, connection.msgtype)
        if connection.topic == topics.odom:
            odometry.add(_stamp(message, received), _odom(message))
        elif kinds[connection.topic] == _TWIST_STAMPED:
            commands.add(_stamp(message, received), _twist(message.twist))
        else:
            commands.add(received, _twist(message))
    another = bool(apart) and float(np.median(apart)) > _CLOCKS_APART
    if another:  # then arrival times are the one clock that all topics share
        commands, odometry = HeldValues(math.inf, most=None), HeldValues(math.inf, most=None)
        for connection, nanoseconds, data in _messages(reader, replace(topics, image="")):
            received = nanoseconds * 1e-9
            message = reader.deserialize(data, connection.msgtype)
            if connection.topic == topics.odom:
                odometry.add(received, _odom(message))
            else:
                stamped = kinds[connection.topic] == _TWIST_STAMPED
                commands.add(received, _twist(message.twist if stamped else message))
    return commands, odometry, another


def _messages(reader: Any, topics: BagTopics) -> Iterator[tuple[Any, int, bytes]]:
    names = {topics.image, topics.cmd_vel, topics.odom} - {""}
    yield from reader.messages([c for c in reader.connections if c.topic in names])


def _frames(reader: Any, topic: str, arrival: bool) -> Iterator[_Frame]:
    connections = [c for c in reader.connections if c.topic == topic]
    for connection, nanoseconds, data in reader.messages(connections):
        message = reader.deserialize(data, connection.msgtype)
        received = nanoseconds * 1e-9
        yield _Frame(received if arrival else _stamp(message, received), received, message)


def _stamp(message: Any, received: float) -> float:
    """The header's time; a zero stamp was never set and means the arrival."""
    stamp = message.header.stamp
    seconds = stamp.sec + stamp.nanosec * 1e-9
    return seconds if seconds > 0 else received


def _twist(message: Any) -> dict[str, float]:
    return {
        f"{part}.{axis}": float(getattr(getattr(message, part), axis))
        for part in ("linear", "angular")
        for axis in ("x", "y", "z")
    }


def _odom(message: Any) -> np.ndarray:
    """float64 [7]: x, y, yaw, vx, vy, wz, stamp."""
    stamp = message.header.stamp
    return np.array([*odometry_of(message), stamp.sec + stamp.nanosec * 1e-9])


def _encoding(message: Any) -> str:
    return str(getattr(message, "encoding", None) or message.format)


def _rgb(message: Any) -> np.ndarray:
    """uint8 [H,W,3] RGB of a sensor_msgs/Image."""
    try:
        return rgb_image(message)
    except ImageError as error:
        raise EpisodeError(f"{error}, or record a compressed topic") from None
