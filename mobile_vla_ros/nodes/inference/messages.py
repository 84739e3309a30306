"""What the node and the process that has its policy say to each other.

One frozen message a datagram, pickled: both ends are the same program, and nobody else has the
socket. To the process go orders, `LoadOrder` first. A slot of the shared frames is the process's
from the `FrameOrder` that names it until any answer with the same id.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Any

from mobile_vla_ros.control import ActionChunk
from mobile_vla_ros.nodes.inference.model import Frame

MESSAGE_BYTES = 1 << 17


@dataclass(frozen=True)
class LoadOrder:
    """Get the policy ready that the settings name (see `settings.model_settings`)."""

    settings: dict[str, Any]


@dataclass(frozen=True)
class FrameOrder:
    """Work on a frame: the first `size` bytes of `slot`; `feature`: send its feature as well."""

    id: int
    slot: int
    size: int
    frame: Frame
    feature: bool


@dataclass(frozen=True)
class Ready:
    """The policy is loaded and warm: what it is, and what a frame costs."""

    policy: dict[str, Any]
    load_seconds: float
    step_seconds: float


@dataclass(frozen=True)
class Refused:
    """The policy cannot be used; the process ends."""

    message: str


@dataclass(frozen=True)
class Failed:
    """The model has raised; the process ends."""

    message: str


@dataclass(frozen=True)
class ChunkAnswer:
    """The chunk of a frame.

    Attributes:
        seconds: spent on it, by stage: image, policy.
        feature_distance: of the last frames from training; NaN when unknown.
        feature: of the frame, packed (see `features`); None when it was not asked for.
    """

    id: int
    chunk: ActionChunk
    seconds: dict[str, float]
    feature_distance: float
    feature: dict[str, Any] | None


@dataclass(frozen=True)
class FrameRefused:
    """A frame's bytes are no image (`picture`), or its instruction cannot be read."""

    id: int
    message: str
    picture: bool


@dataclass(frozen=True)
class FrameTaken:
    """A link has read a frame: its slot is free again, and its answer comes later."""

    id: int


@dataclass(frozen=True)
class FramePassed:
    """There will be no chunk for this frame."""

    id: int


@dataclass(frozen=True)
class Reach:
    """The way to a policy elsewhere: a reason of `Pilot.link`, or None when it is there."""

    reason: str | None
    message: str


def pack(message: object) -> bytes:
    """A message as the bytes of one datagram."""
    return pickle.dumps(message, pickle.HIGHEST_PROTOCOL)


def unpack(packet: bytes) -> Any:
    """The message of a datagram."""
    return pickle.loads(packet)
