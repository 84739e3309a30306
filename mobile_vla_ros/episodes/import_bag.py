"""Makes an episode of a rosbag2 recording (mcap or sqlite3), without ROS.

A row is chosen and labelled as the recorder does it: the frame nearest to each tick of the rate,
with the command that was in force when it was captured.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from mobile_vla_ros.axes import AXES, PLANAR_AXES
from mobile_vla_ros.cadence import CameraClock
from mobile_vla_ros.episodes import schema
from mobile_vla_ros.episodes.bag import Bag, BagMessage, open_bag
from mobile_vla_ros.episodes.bag_clock import Times, plain_times, tell_times
from mobile_vla_ros.episodes.decoder_words import DecoderWords
from mobile_vla_ros.episodes.names import check_scenario, unique_path
from mobile_vla_ros.episodes.recording import RatePicker
from mobile_vla_ros.episodes.schema import EpisodeError
from mobile_vla_ros.episodes.writer import EpisodeWriter
from mobile_vla_ros.pictures import ImageError, decode_compressed, rgb_image
from mobile_vla_ros.planar import odometry_of

_IMAGE = "sensor_msgs/msg/Image"
_COMPRESSED = "sensor_msgs/msg/CompressedImage"
_TWIST = "geometry_msgs/msg/Twist"
_TWIST_STAMPED = "geometry_msgs/msg/TwistStamped"
_ODOM = "nav_msgs/msg/Odometry"
# What image_transport adds to a camera's name: the same pictures once more.
_TRANSPORTS = ("/compressed", "/compressedDepth", "/theora", "/ffmpeg")


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
        note: on clocks, rows without a command, and everything that was replaced or left out;
            the episode's attribute ``import_notes`` says the same.
        left_out: frames that could not be read.
    """

    path: Path
    frames: int
    messages: int
    topics: BagTopics
    note: str
    left_out: int = 0


@dataclass(frozen=True)
class _Signal:
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
        bag: the bag's folder (mcap or sqlite3, packed or not), or one of its files.
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
    with open_bag(path) as opened:
        chosen = _choose(opened, topics or BagTopics())
        notes: list[str] = []
        camera, commands, odometry = _signals(opened, chosen, notes)
        rows = _Rows(opened, chosen, camera, notes)
        writer = EpisodeWriter(
            unique_path(directory, _date(path, rows.first), scenario),
            scenario=scenario,
            instruction=instruction,
            action_axes=action_axes,
            frame_period=frame_period,
            image_format="jpeg" if rows.compressed else image_format,
            camera={"topic": chosen.image, "encoding": rows.encoding},
            odom=bool(chosen.odom),
            attributes={"imported_from": _plain_name(path.name), "rows_per_second": rate},
            flush=False,
        )
        with contextlib.ExitStack() as undo:
            undo.callback(writer.discard)
            without = rows.write(writer, commands, odometry, action_axes, rate)
            if not writer.rows:
                raise EpisodeError(rows.nothing())
            if without == writer.rows:
                raise EpisodeError(
                    f"{path}: no command on {chosen.cmd_vel} was sent before the last picture on "
                    f"{chosen.image}; name another command topic by --cmd-vel-topic"
                )
            notes[:0] = ["stamps are true"] if not rows.substituted else []
            if without:
                notes.append(f"{without} frames before the first command count as standing")
            notes += rows.told() + opened.notes
            final = writer.finish(
                complete=not opened.cut, attributes={"import_notes": "; ".join(notes)}
            )
            undo.pop_all()
    return BagImport(final, writer.rows, rows.messages, chosen, "; ".join(notes), rows.left_out)


class _Rows:
    """The pictures of a bag on their way into an episode."""

    def __init__(self, bag: Bag, topics: BagTopics, camera: Times, notes: list[str]) -> None:
        self.substituted = bool(notes)
        self.messages = 0
        self._bag = bag
        self._topic = topics.image
        self._camera = camera
        self._refused: Counter[str] = Counter()
        self._encodings: list[str] = []
        self._size: tuple[int, ...] | None = None
        first = next(iter(bag.messages({self._topic})), None)
        if first is None or not len(camera.times):
            why = "".join(f"; {note}" for note in bag.notes)
            raise EpisodeError(f"{bag.path}: there is no image on {self._topic}{why}")
        self.first = float(camera.times[0])
        self.encoding = _encoding(first)
        self.compressed = first.kind == _COMPRESSED

    @property
    def left_out(self) -> int:
        """Pictures that could not be read."""
        return sum(self._refused.values())

    def write(
        self,
        writer: EpisodeWriter,
        commands: _Signal,
        odometry: _Signal | None,
        axes: tuple[str, ...],
        rate: float,
    ) -> int:
        """Writes the rows; returns how many had no command yet."""
        picker, clock = (RatePicker(rate) if rate else None), CameraClock()
        columns = [AXES.index(axis) for axis in axes]
        last, without = -math.inf, 0
        with DecoderWords() as words:
            for message in self._bag.messages({self._topic}):
                if self.messages >= len(self._camera.times):
                    break
                stamp = float(self._camera.times[self.messages])
                self.messages += 1
                if stamp <= last:
                    continue  # a repeated or late frame: its place in time is taken
                picture = self._read(message, words)
                if picture is None:
                    continue  # the next one may stand for it
                last = stamp
                clock.add(stamp)
                if picker is not None and not picker.takes(stamp, clock.interval):
                    continue
                held = commands.at(stamp)
                without += held is None
                time, twist = held or (stamp, np.zeros(len(AXES)))
                pose = odometry.at(stamp) if odometry is not None else None
                writer.append(
                    image=None if self.compressed else picture,
                    jpeg=bytes(message.content.data) if self.compressed else None,
                    action=twist[columns],
                    event="start_action" if writer.rows else "episode_start",
                    image_stamp=stamp,
                    received_stamp=message.received,
                    action_stamp=time,
                    odom=pose[1] if pose else None,
                )
        return without

    def told(self) -> list[str]:
        """What was left out or changes on the way."""
        said = [
            f"{count} frames were left out: {reason}" for reason, count in self._refused.items()
        ]
        if len(self._encodings) > 1:
            said.append(f"the encoding changes: {', then '.join(self._encodings)}")
        return said

    def nothing(self) -> str:
        """The sentence for a topic without one usable picture."""
        reason = next(iter(self._refused), "its stamps do not rise")
        return (
            f"{self._bag.path}: none of the {self.messages} pictures on {self._topic} "
            f"({self.encoding}) can be used: {reason}; record an encoding that is read, JPEG or "
            "PNG"
        )

    def _read(self, message: BagMessage, words: DecoderWords) -> np.ndarray | None:
        encoding = _encoding(message)
        try:
            if (message.kind == _COMPRESSED) != self.compressed:
                raise ImageError("raw and compressed pictures on one topic")
            if self.compressed and "compressedDepth" in encoding:
                raise ImageError(f"'{encoding}' is depth, not a picture")
            if self.compressed:
                picture = decode_compressed(message.content.data)
                if words.heard():
                    raise ImageError("bytes of the picture are missing")
            else:
                picture = rgb_image(message.content)
            if self._size is not None and picture.shape != self._size:
                raise ImageError("they are of another size than those before")
        except ImageError as error:
            self._refused[_reason(str(error))] += 1
            return None
        self._size = picture.shape
        if encoding not in self._encodings:
            self._encodings.append(encoding)
        return picture


def _choose(bag: Bag, wanted: BagTopics) -> BagTopics:
    """The topics to read."""

    def find(name: str, what: str, option: str, types: tuple[str, ...], needed: bool) -> str:
        fitting = sorted(topic for topic, kinds in bag.kinds.items() if kinds & set(types))
        if name:
            if name in fitting:
                return name
            there = f"it has {', '.join(fitting)}" if fitting else "it has none"
            raise EpisodeError(f"{bag.path} has no {what} topic {name}; {there}")
        # The same pictures, packed, are no second camera.
        packed = [topic for topic in fitting for end in _TRANSPORTS if topic.endswith(end)]
        first = [t for t in fitting if t not in packed or t.rpartition("/")[0] not in fitting]
        if len(first) > 1:
            raise EpisodeError(
                f"{bag.path} has several {what} topics ({', '.join(fitting)}); name one by "
                f"--{option}"
            )
        if needed and not first:
            read = f"; {bag.notes[-1]}" if bag.notes else ""
            raise EpisodeError(f"{bag.path} has no {what} topic{read}")
        return first[0] if first else ""

    return BagTopics(
        find(wanted.image, "image", "image-topic", (_IMAGE, _COMPRESSED), True),
        find(wanted.cmd_vel, "command", "cmd-vel-topic", (_TWIST, _TWIST_STAMPED), True),
        find(wanted.odom, "odometry", "odom-topic", (_ODOM,), False),
    )


def _signals(
    bag: Bag, topics: BagTopics, notes: list[str]
) -> tuple[Times, _Signal, _Signal | None]:
    """When each picture was taken, and commands and odometry by time.

    Every topic is asked for itself whether its stamps are of the clock that recorded the bag.
    """
    images, plain, stamped, odoms = _Heard(), _Heard(), _Heard(), _Heard()
    take: dict[str, tuple[_Heard, Callable[[Any], Any]]] = {
        _IMAGE: (images, lambda _: None),
        _COMPRESSED: (images, lambda _: None),
        _TWIST: (plain, _twist),
        _TWIST_STAMPED: (stamped, lambda message: _twist(message.twist)),
        _ODOM: (odoms, odometry_of),
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
    return camera, commands, _Signal(poses.times, np.column_stack([poses.values, poses.times]))


def _times(topic: str, heard: _Heard, notes: list[str]) -> Times:
    told = tell_times(topic, np.array(heard.stamps), np.array(heard.received))
    if told.note:
        notes.append(told.note)
    return told


def _finite(
    topic: str, parts: list[tuple[np.ndarray, list[Any]]], width: int, notes: list[str]
) -> _Signal:
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
    return _Signal(times[whole][order], values[whole][order])


def _refuse_two_cameras(path: Path, topic: str, frame_ids: list[str]) -> None:
    changes = sum(a != b for a, b in itertools.pairwise(frame_ids))
    if changes > 2:
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


def _encoding(message: BagMessage) -> str:
    content = message.content
    return str(getattr(content, "encoding", None) or getattr(content, "format", ""))


def _reason(sentence: str) -> str:
    """Without the sizes that differ from frame to frame."""
    return "".join("N" if c.isdigit() and "bytes" in sentence else c for c in sentence)


def _date(path: Path, first: float) -> datetime:
    try:
        return datetime.fromtimestamp(first)
    except (ValueError, OverflowError, OSError):
        raise EpisodeError(
            f"{path}: its first picture is dated {first:g} s, which is no date"
        ) from None


def _plain_name(name: str) -> str:
    return name.encode("utf-8", errors="replace").decode("utf-8")
