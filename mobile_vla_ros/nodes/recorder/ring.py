"""Which slots of the shared frames are free for the next one; the sender's side."""

from __future__ import annotations

from collections import deque

from mobile_vla_ros.nodes.wiring.shared_frames import SharedFrames


class FrameRing(SharedFrames):
    """Slots that are the sender's while free, and the reader's from `fill` to `release`."""

    def __init__(self) -> None:
        super().__init__()
        self._free: deque[int] = deque()

    def resize(self, slots: int, slot_bytes: int) -> None:
        """Makes room; only while every slot is free. The reader must map it again.

        Raises:
            OSError: there is no memory for it, or this process may not have so much.
        """
        super().resize(slots, slot_bytes)
        self.touch(slot_bytes)
        self._free = deque(range(slots))

    @property
    def free(self) -> int:
        """Slots that can be filled now."""
        return len(self._free)

    def reserve(self) -> int | None:
        """Takes a free slot to fill; None when there is none."""
        return self._free.popleft() if self._free else None

    def release(self, slot: int) -> None:
        """The reader is done with the slot."""
        # The one used last is taken first: its pages are the likeliest to be in a cache.
        self._free.appendleft(slot)

    def release_all(self) -> None:
        """The reader has ended: whatever it held is free."""
        self._free = deque(range(self.slots))
