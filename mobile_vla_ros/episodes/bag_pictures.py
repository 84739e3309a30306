"""The pictures of a bag on their way into an episode."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Any

import numpy as np

from mobile_vla_ros.axes import AXES
from mobile_vla_ros.cadence import CameraClock
from mobile_vla_ros.episodes.bag import Bag, BagMessage
from mobile_vla_ros.episodes.bag_clock import Times
from mobile_vla_ros.episodes.bag_signals import COMPRESSED, BagTopics, Signal
from mobile_vla_ros.episodes.decoder_words import DecoderWords
from mobile_vla_ros.episodes.schema import EpisodeError
from mobile_vla_ros.episodes.take import RatePicker
from mobile_vla_ros.episodes.writer import EpisodeWriter
from mobile_vla_ros.pictures import (
    ImageError,
    check_compressed,
    decode_compressed,
    rgb_image,
)


class BagRows:
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
        self.frame = str(first.content.header.frame_id)
        self.compressed = first.kind == COMPRESSED

    @property
    def left_out(self) -> int:
        """Pictures that could not be read."""
        return sum(self._refused.values())

    def write(
        self,
        writer: EpisodeWriter,
        commands: Signal,
        odometry: Signal | None,
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
            if (message.kind == COMPRESSED) != self.compressed:
                raise ImageError("raw and compressed pictures on one topic")
            if self.compressed and "compressedDepth" in encoding:
                raise ImageError(f"'{encoding}' is depth, not a picture")
            if self.compressed:
                picture = _decoded(message.content.data, encoding)
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


def _decoded(data: Any, kind: str) -> np.ndarray:
    try:
        return decode_compressed(data)
    except ImageError:
        check_compressed(data, kind)  # knows better what is wrong, where it is the usual
        raise


def _encoding(message: BagMessage) -> str:
    content = message.content
    return str(getattr(content, "encoding", None) or getattr(content, "format", ""))


def _reason(sentence: str) -> str:
    """Without the number of bytes, which differs from frame to frame."""
    return re.sub(r"\d+ bytes", "bytes", sentence)
