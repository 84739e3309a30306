"""An MCAP file of ROS 2 messages, written whole or not at all."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import TracebackType
from typing import Any

from mobile_vla_ros.episodes.ros_messages import Messages, nanoseconds
from mobile_vla_ros.episodes.schema import EpisodeError
from mobile_vla_ros.files import whole_file


class McapFile:
    """Writes messages with their schemas; a context manager that puts the file in its place.

    Args:
        path: the new file, ``*.mcap``.
        messages: what knows the schemas.

    Raises:
        EpisodeError: the name is no .mcap, is taken, or cannot be written.
    """

    def __init__(self, path: str | Path, messages: Messages) -> None:
        from mcap.writer import Writer

        self._path = Path(path)
        self._messages = messages
        self._schemas: dict[str, int] = {}
        self._channels: dict[str, int] = {}
        self._sequence: dict[str, int] = {}
        if self._path.suffix != ".mcap":
            raise EpisodeError(f"the name {self._path.name!r} must end in .mcap")
        if self._path.exists():
            raise EpisodeError(f"{self._path} exists already and is not overwritten")
        if not self._path.absolute().parent.is_dir():
            raise EpisodeError(f"cannot write {self._path}: its folder does not exist")
        self._whole = whole_file(self._path, replace=False)
        try:
            self._stream = self._whole.__enter__().open("wb")
        except OSError as error:
            raise EpisodeError(f"cannot write {self._path}: {error.strerror}") from error
        self._writer = Writer(self._stream)
        self._writer.start(profile="ros2", library="mobile_vla_ros")

    def add(
        self, topic: str, kind: str, data: bytes, time: float, published: float | None = None
    ) -> None:
        """Adds a message.

        Args:
            topic: where it was heard.
            kind: its type, as in ``geometry_msgs/msg/Twist``.
            data: CDR bytes.
            time: when it was heard, seconds.
            published: when it was sent, by default when it was heard.
        """
        channel = self._channels.get(topic)
        if channel is None:
            channel = self._channels[topic] = self._open_channel(topic, kind)
        sequence = self._sequence[topic] = self._sequence.get(topic, -1) + 1
        self._writer.add_message(
            channel,
            log_time=nanoseconds(time),
            data=data,
            publish_time=nanoseconds(time if published is None else published),
            sequence=sequence,
        )

    def note(self, name: str, values: dict[str, Any]) -> None:
        """Keeps facts about the recording beside the messages."""
        self._writer.add_metadata(name, {key: str(value) for key, value in values.items()})

    @property
    def messages(self) -> dict[str, int]:
        """How many messages each topic has."""
        return {topic: count + 1 for topic, count in self._sequence.items()}

    def _open_channel(self, topic: str, kind: str) -> int:
        if kind not in self._schemas:
            text = self._messages.definition(kind)
            self._schemas[kind] = self._writer.register_schema(kind, "ros2msg", text.encode())
        # The profile wants the entry. Empty means the player's defaults; the words for anything
        # else changed between ROS 2 releases.
        metadata = {"offered_qos_profiles": ""}
        return self._writer.register_channel(topic, "cdr", self._schemas[kind], metadata)

    def __enter__(self) -> McapFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._stream.close()
            self._whole.__exit__(kind, error, trace)
            return
        try:
            with contextlib.ExitStack() as ending:
                ending.push(self._whole)
                ending.callback(self._stream.close)
                self._writer.finish()
                self._stream.flush()
        except FileExistsError:
            raise EpisodeError(f"{self._path} exists already and is not overwritten") from None
        except OSError as failure:
            raise EpisodeError(f"cannot write {self._path}: {failure.strerror}") from failure
