"""The wire format between robot and policy server: msgpack maps with raw arrays, never pickle.

Every websocket message is one binary msgpack map with a ``type``. From the robot:

    hello       who it is and how it wants to be driven; the first message of a connection
    frame       one picture, already of the policy's input size, with the robot's own stamp

From the server:

    welcome     the policy that serves this robot
    chunk       the answer to a frame
    passed_over a newer frame took this one's place, or it came too late; there is no chunk for it
    refused_frame  this frame's picture or instruction cannot be used
    failed      the model has failed and is started anew; a ``welcome`` follows when it is back
    refused     the robot is not served, and why; the connection ends

An array is a map of ``dtype``, ``shape`` and ``data``. Everything a stranger can send is checked
before anything is allocated for it: sizes by ``MAX_MESSAGE``, arrays by dtype and shape, pictures
by their header.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import msgpack
import numpy as np

from mobile_vla_ros.serving.errors import WireError

PROTOCOL = 1
"""Raised when a message changes its meaning; robot and server must agree."""

MAX_MESSAGE = 4 * 2**20
"""Bytes of the largest message: a lossless picture of 1024 x 1024 pixels fits."""

MAX_INSTRUCTION = 2000
MAX_TEXT = 4000
MAX_ROWS = 4096
MAX_ID = 2**53

_DTYPES = ("<f4", "<f8", "|u1")
_OVERRIDES = {"frame_period": float, "action_period": float, "max_gap": float, "action_axes": list}
PICTURES = ("jpeg", "png")


@dataclass(frozen=True)
class Hello:
    """A robot's first word.

    Attributes:
        robot: 32 hexadecimal digits that this robot drew at random; every connection of the same
            robot carries the same.
        protocol: ``PROTOCOL`` of its software.
        version: of its package, for the server's log.
        overrides: ``frame_period``, ``action_period``, ``max_gap`` (seconds), ``action_axes``
            (names), each only where it differs from the policy's own.
    """

    type: ClassVar[str] = "hello"
    robot: str
    protocol: int = PROTOCOL
    version: str = ""
    overrides: dict[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Raises WireError unless every field is what it must be."""
        _need(_is_hex(self.robot), "hello.robot is not 32 hexadecimal digits")
        _integer(self.protocol, "hello.protocol")
        _text(self.version, "hello.version", 100)
        _need(isinstance(self.overrides, dict), "hello.overrides is no map")
        for name, value in self.overrides.items():
            kind = _OVERRIDES.get(name)
            _need(kind is not None, f"hello.overrides has an unknown name {str(name)[:40]!r}")
            if kind is float:
                _number(value, f"hello.overrides.{name}")
            else:
                _names(value, f"hello.overrides.{name}")


@dataclass(frozen=True)
class FrameMessage:
    """One picture on its way to the policy.

    Attributes:
        id: the robot's number for it; the answer carries the same.
        stamp: capture time by the robot's clock, seconds. The server never compares it with a
            clock of its own.
        generation: order (instruction, stop, reset) under which it was taken.
        instruction: what the policy is told.
        form: ``jpeg`` or ``png``.
        data: the compressed picture, RGB, of the policy's input size.
        feature: whether the frame's feature is wanted with the chunk.
    """

    type: ClassVar[str] = "frame"
    id: int
    stamp: float
    generation: int
    instruction: str
    form: str
    data: bytes
    feature: bool = False

    def check(self) -> None:
        """Raises WireError unless every field is what it must be."""
        _integer(self.id, "frame.id")
        _number(self.stamp, "frame.stamp")
        _integer(self.generation, "frame.generation")
        _text(self.instruction, "frame.instruction", MAX_INSTRUCTION)
        _need(self.form in PICTURES, "frame.form is neither jpeg nor png")
        _need(isinstance(self.data, bytes) and len(self.data) > 0, "frame.data is no picture")
        _need(isinstance(self.feature, bool), "frame.feature is neither true nor false")


@dataclass(frozen=True)
class Welcome:
    """The policy that serves the robot.

    Attributes:
        policy: ``window_size``, ``chunk_size``, ``image_size``, ``action_axes``,
            ``action_axes_confirmed``, ``frame_period``, ``action_period``, ``device``, ``dtype``,
            ``checkpoint``.
        step_seconds: what a frame costs the model, seconds.
        load_seconds: what loading took, seconds.
        protocol: ``PROTOCOL`` of the server.
        version: of the server's package.
    """

    type: ClassVar[str] = "welcome"
    policy: dict[str, Any]
    step_seconds: float
    load_seconds: float
    protocol: int = PROTOCOL
    version: str = ""

    def check(self) -> None:
        """Raises WireError unless every field is what it must be."""
        _need(isinstance(self.policy, dict), "welcome.policy is no map")
        for name in ("window_size", "chunk_size", "image_size"):
            _integer(self.policy.get(name), f"welcome.policy.{name}")
            _need(0 < self.policy[name] <= MAX_ROWS, f"welcome.policy.{name} is out of range")
        for name in ("frame_period", "action_period"):
            _number(self.policy.get(name), f"welcome.policy.{name}")
            _need(self.policy[name] > 0, f"welcome.policy.{name} is not above 0 s")
        _names(self.policy.get("action_axes"), "welcome.policy.action_axes")
        _need(
            isinstance(self.policy.get("action_axes_confirmed"), bool),
            "welcome.policy.action_axes_confirmed is neither true nor false",
        )
        for name in ("device", "dtype", "checkpoint"):
            _text(self.policy.get(name), f"welcome.policy.{name}", MAX_TEXT)
        _number(self.step_seconds, "welcome.step_seconds")
        _number(self.load_seconds, "welcome.load_seconds")
        _integer(self.protocol, "welcome.protocol")
        _text(self.version, "welcome.version", 100)


@dataclass(frozen=True, eq=False)
class ChunkMessage:
    """The answer to a frame.

    Attributes:
        id: of the frame.
        stamp: capture time of that frame by the robot's clock, seconds.
        generation: of the frame.
        velocities: float32 [chunk, dof], m/s and rad/s in the base frame.
        action_period: seconds between two steps.
        window_stamps: float64 [n], capture times of the frames behind it, oldest first.
        image_seconds: spent on the picture.
        policy_seconds: spent in the model.
        wait_seconds: spent waiting for other robots' frames.
        feature_distance: from training, in its spreads; NaN when unknown.
        feature: float32 [latent, D], or None when it was not wanted.
    """

    type: ClassVar[str] = "chunk"
    id: int
    stamp: float
    generation: int
    velocities: np.ndarray
    action_period: float
    window_stamps: np.ndarray
    image_seconds: float = 0.0
    policy_seconds: float = 0.0
    wait_seconds: float = 0.0
    feature_distance: float = math.nan
    feature: np.ndarray | None = None

    def check(self) -> None:
        """Raises WireError unless every field is what it must be.

        Velocities may be any numbers: that they are finite is for the pilot to judge.
        """
        _integer(self.id, "chunk.id")
        _number(self.stamp, "chunk.stamp")
        _integer(self.generation, "chunk.generation")
        _array(self.velocities, "chunk.velocities", "<f4", 2)
        _need(0 < len(self.velocities) <= MAX_ROWS, "chunk.velocities has no or too many steps")
        _need(0 < self.velocities.shape[1] <= 6, "chunk.velocities has no or too many axes")
        _number(self.action_period, "chunk.action_period")
        _need(self.action_period > 0, "chunk.action_period is not above 0 s")
        _array(self.window_stamps, "chunk.window_stamps", "<f8", 1)
        for name in ("image_seconds", "policy_seconds", "wait_seconds"):
            _number(getattr(self, name), f"chunk.{name}")
        distance = self.feature_distance
        _need(isinstance(distance, float), "chunk.feature_distance is no number")
        if self.feature is not None:
            _array(self.feature, "chunk.feature", "<f4", 2)


@dataclass(frozen=True)
class PassedOver:
    """There is no chunk for this frame: a newer one took its place, or it came too late."""

    type: ClassVar[str] = "passed_over"
    id: int

    def check(self) -> None:
        """Raises WireError unless every field is what it must be."""
        _integer(self.id, "passed_over.id")


@dataclass(frozen=True)
class RefusedFrame:
    """This frame's picture or instruction cannot be used, for the reason in ``message``."""

    type: ClassVar[str] = "refused_frame"
    id: int
    message: str

    def check(self) -> None:
        """Raises WireError unless every field is what it must be."""
        _integer(self.id, "refused_frame.id")
        _text(self.message, "refused_frame.message", MAX_TEXT)


@dataclass(frozen=True)
class Failed:
    """The model has failed; it is being started anew."""

    type: ClassVar[str] = "failed"
    message: str

    def check(self) -> None:
        """Raises WireError unless every field is what it must be."""
        _text(self.message, "failed.message", MAX_TEXT)


@dataclass(frozen=True)
class Refused:
    """The robot is not served.

    Attributes:
        message: why, and what to do.
        again: whether asking again later can help without anybody changing anything here.
    """

    type: ClassVar[str] = "refused"
    message: str
    again: bool = False

    def check(self) -> None:
        """Raises WireError unless every field is what it must be."""
        _text(self.message, "refused.message", MAX_TEXT)
        _need(isinstance(self.again, bool), "refused.again is neither true nor false")


Message = (
    Hello | FrameMessage | Welcome | ChunkMessage | PassedOver | RefusedFrame | Failed | Refused
)
FROM_ROBOT: Mapping[str, type] = {kind.type: kind for kind in (Hello, FrameMessage)}
FROM_SERVER: Mapping[str, type] = {
    kind.type: kind for kind in (Welcome, ChunkMessage, PassedOver, RefusedFrame, Failed, Refused)
}


def pack(message: Message) -> bytes:
    """A message as the bytes of one websocket message.

    Raises:
        WireError: a field is not what it must be, or the whole is larger than ``MAX_MESSAGE``.
    """
    message.check()
    values = {one.name: _packed(getattr(message, one.name)) for one in fields(message)}
    packet = msgpack.packb({"type": message.type, **values}, use_bin_type=True)
    _need(len(packet) <= MAX_MESSAGE, f"a message of {len(packet)} bytes is too large")
    return packet


def unpack(packet: bytes, kinds: Mapping[str, type]) -> Any:
    """Reads a message that a stranger may have sent.

    Args:
        packet: the bytes of one websocket message.
        kinds: what may be said here, ``FROM_ROBOT`` or ``FROM_SERVER``.

    Returns:
        One of the classes in ``kinds``, every field checked. Arrays are views on ``packet``.

    Raises:
        WireError: it is none of them, or a field is not what it must be.
    """
    _need(len(packet) <= MAX_MESSAGE, f"a message of {len(packet)} bytes is too large")
    try:
        values = msgpack.unpackb(
            packet,
            raw=False,
            strict_map_key=True,
            max_str_len=4 * MAX_TEXT,
            max_bin_len=MAX_MESSAGE,
            max_array_len=64,
            max_map_len=64,
            max_ext_len=0,
        )
    except (ValueError, RecursionError, msgpack.UnpackException) as error:
        raise WireError(f"a message is no msgpack of this format: {error}") from error
    _need(isinstance(values, dict), "a message is no map")
    name = values.pop("type", None)
    kind = kinds.get(name) if isinstance(name, str) else None
    if kind is None:
        raise WireError(f"a message of type {str(name)[:40]!r} is not known here")
    try:
        message = kind(**{key: _unpacked(value) for key, value in values.items()})
    except TypeError as error:
        raise WireError(f"a {name} has not the fields it must have: {error}") from error
    message.check()
    return message


def _packed(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        plain = np.ascontiguousarray(value)
        return {"dtype": plain.dtype.str, "shape": list(plain.shape), "data": plain.tobytes()}
    return value


def _unpacked(value: Any) -> Any:
    if not (isinstance(value, dict) and value.keys() == {"dtype", "shape", "data"}):
        return value
    dtype, shape, data = value["dtype"], value["shape"], value["data"]
    _need(dtype in _DTYPES, "an array is of a dtype that is not read here")
    sizes = isinstance(shape, list) and len(shape) <= 4
    _need(
        sizes and all(type(size) is int and 0 <= size <= MAX_MESSAGE for size in shape),
        "an array's shape is not a list of sizes",
    )
    need = math.prod(shape) * np.dtype(dtype).itemsize
    _need(
        isinstance(data, bytes) and len(data) == need,
        f"an array of shape {shape} needs {need} bytes, not what it carries",
    )
    return np.frombuffer(data, dtype).reshape(shape)


def _need(condition: bool, sentence: str) -> None:
    if not condition:
        raise WireError(sentence)


def _integer(value: Any, name: str) -> None:
    _need(type(value) is int and 0 <= value <= MAX_ID, f"{name} is no whole number in range")


def _number(value: Any, name: str) -> None:
    plain = type(value) in (int, float)
    _need(plain and math.isfinite(value) and abs(value) <= MAX_ID, f"{name} is no number in range")


def _text(value: Any, name: str, longest: int) -> None:
    _need(isinstance(value, str) and len(value) <= longest, f"{name} is no text in range")


def _names(value: Any, name: str) -> None:
    good = isinstance(value, list) and 0 < len(value) <= 6
    _need(good and all(isinstance(one, str) and len(one) <= 40 for one in value), f"{name} wrong")


def _array(value: Any, name: str, dtype: str, axes: int) -> None:
    good = isinstance(value, np.ndarray) and value.dtype.str == dtype and value.ndim == axes
    _need(good, f"{name} is not a {dtype} array with {axes} axes")


def _is_hex(value: Any) -> bool:
    return (
        isinstance(value, str) and len(value) == 32 and all(c in "0123456789abcdef" for c in value)
    )
