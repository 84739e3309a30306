"""One recording step, and what takes it: what passes between a recording and the disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True)
class Label:
    """What an episode is recorded under; fixed from its start to its end."""

    scenario: str
    instruction: str


@dataclass(frozen=True)
class Row:
    """One recording step, without the pixels.

    Attributes:
        episode: number of the episode that this row belongs to, counted by the recording.
        image_stamp: capture time of the frame, s.
        received_stamp: time at which the frame arrived, s.
        action: float32 [A], the command in force at ``image_stamp`` (m/s and rad/s, base frame).
        action_stamp: time of that command, s; NaN when none had come yet (the action is zero).
        event: ``episode_start``, ``start_action`` or ``stop_action``.
        odom: float64 [7] (x, y, yaw, vx, vy, wz, stamp) in force at ``image_stamp``, or None.
        taken_over: whether a person had taken over from the policy by ``image_stamp``.
    """

    episode: int
    image_stamp: float
    received_stamp: float
    action: np.ndarray
    action_stamp: float
    event: str
    odom: np.ndarray | None = None
    taken_over: bool = False


@dataclass(frozen=True)
class Counts:
    """What happened to the frames of one episode; received = written + dropped + in flight.

    ``received`` counts the frames chosen for recording, ``lost`` those that the camera sent and
    that never arrived.
    """

    received: int = 0
    written: int = 0
    dropped: int = 0
    lost: int = 0

    @property
    def in_flight(self) -> int:
        return self.received - self.written - self.dropped


class RowSink(Protocol):
    """Where rows go. None of these may wait: what cannot be taken now is refused by ``offer``."""

    def begin(self, episode: int, label: Label) -> None: ...

    def offer(self, row: Row, image: Any, counts: Counts) -> bool:
        """Takes the row, or returns False at once when the queue is full.

        ``counts`` stand as if the row were in flight, so that a sink whose sender dies knows
        what had happened until then.
        """

    def finish(self, episode: int, counts: Counts, complete: bool, outcome: str) -> None: ...

    def discard(self, episode: int) -> None: ...
