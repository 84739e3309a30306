"""Shared memory through which camera frames go to the process that writes them."""

from __future__ import annotations

import mmap
import os
from collections import deque

import numpy as np


class FrameRing:
    """A fixed number of equal slots in memory that two processes map; the sender's side.

    The memory is an anonymous file: it has no name that could stay behind, and goes when both
    processes have ended, however they end. A slot is the sender's while it is free and the
    reader's from `fill` to `release`, so no byte is ever touched from both sides at once.
    """

    def __init__(self) -> None:
        self.file = os.memfd_create("frames")
        self.slots = 0
        self.slot_bytes = 0
        self._memory: np.ndarray | None = None
        self._free: deque[int] = deque()

    def resize(self, slots: int, slot_bytes: int) -> None:
        """Makes room; only while every slot is free. The reader must map it again.

        Raises:
            OSError: there is no memory for it, or this process may not have so much.
        """
        os.ftruncate(self.file, slots * slot_bytes)
        self.slots, self.slot_bytes = slots, slot_bytes
        self._memory = map_slots(self.file, slots, slot_bytes)
        # Touched once now, so that no callback has to wait for the kernel to find a page.
        self._memory[:, :: mmap.PAGESIZE] = 0
        self._free = deque(range(slots))

    @property
    def free(self) -> int:
        """Slots that can be filled now."""
        return len(self._free)

    def reserve(self) -> int | None:
        """Takes a free slot to fill; None when there is none."""
        return self._free.popleft() if self._free else None

    def fill(self, slot: int, data: object) -> None:
        """Copies a buffer of at most `slot_bytes` into a reserved slot."""
        assert self._memory is not None
        source = np.frombuffer(data, np.uint8)  # type: ignore[call-overload]
        self._memory[slot, : source.size] = source

    def release(self, slot: int) -> None:
        """The reader is done with the slot."""
        # The one used last is taken first: its pages are the likeliest to be in a cache.
        self._free.appendleft(slot)

    def close(self) -> None:
        self._memory = None
        os.close(self.file)


def map_slots(file: int, slots: int, slot_bytes: int) -> np.ndarray:
    """Maps the ring's memory: uint8 [slots, slot_bytes]."""
    memory = mmap.mmap(file, slots * slot_bytes)
    return np.frombuffer(memory, np.uint8).reshape(slots, slot_bytes)
