"""Whose turn a slot is: the newest frame waits, the process works on the one before.

Plain bookkeeping, without a process, a socket or a lock; one thread at a time.
"""

from __future__ import annotations

from mobile_vla_ros.nodes.inference.messages import (
    ChunkAnswer,
    FrameOrder,
    FramePassed,
    FrameRefused,
    FrameTaken,
)
from mobile_vla_ros.nodes.inference.model import Frame


class FrameTurns:
    """Two slots between a node and its process.

    The process has one frame until it answers, or says that it has taken it and answers later; a
    frame that comes meanwhile waits in the other slot, where the next one replaces it.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._next_id = 0
        self._busy: tuple[int, int, Frame] | None = None  # (id, slot, frame) of the process
        self._waiting: tuple[int, int, Frame] | None = None  # (slot, size, frame) for it
        self._taken: dict[int, Frame] = {}  # read by the process, not answered yet
        self.replaced = 0
        """Frames that a newer one replaced before the process had time for them."""

    def free_slot(self) -> int:
        """The slot that a new frame goes to: the one that the process does not have."""
        return 0 if self._busy is None else (self._busy[1] + 1) % self._slots

    def wait(self, slot: int, size: int, frame: Frame) -> None:
        """A frame waits in `slot`, in the place of one that waited there."""
        if self._waiting is not None:
            self.replaced += 1
        self._waiting = (slot, size, frame)

    def next_order(self, feature: bool) -> FrameOrder | None:
        """Hands the waiting frame over, if the process has none; None: there is nothing to do."""
        if self._busy is not None or self._waiting is None:
            return None
        slot, size, frame = self._waiting
        self._waiting = None
        self._next_id += 1
        self._busy = (self._next_id, slot, frame)
        return FrameOrder(self._next_id, slot, size, frame, feature)

    def not_sent(self) -> None:
        """The order just handed out never reached the process: its slot is free."""
        self._busy = None

    def answered(
        self, answer: ChunkAnswer | FrameRefused | FramePassed | FrameTaken
    ) -> Frame | None:
        """The frame that an answer is about; None when nobody asked."""
        frame = self._taken.pop(answer.id, None)
        if frame is not None:
            return frame
        if self._busy is None or self._busy[0] != answer.id:
            return None
        frame, self._busy = self._busy[2], None
        if isinstance(answer, FrameTaken):
            self._taken[answer.id] = frame
        return frame

    def clear(self) -> None:
        """The process has ended: both slots are free, and no answer is owed."""
        self._busy = self._waiting = None
        self._taken.clear()
