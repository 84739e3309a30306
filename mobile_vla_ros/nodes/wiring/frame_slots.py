"""Shared memory for camera frames, between a node and its model worker."""

from __future__ import annotations

import mmap
import os

SLOTS = 2
# Memory pages are taken only when touched, so a slot may be far larger than any camera image and
# a change of image size needs no new mapping.
SLOT_BYTES = 256 * 2**20
# The first touch of a page costs a frame its millisecond; an image of 1920x1080 is touched ahead.
TOUCHED_BYTES = 1920 * 1080 * 3


class FrameSlots:
    """Two slots of anonymous shared memory; who may touch which is agreed by messages.

    A slot is written by the node alone until a message hands it to the worker, and read by the
    worker alone until its answer hands it back. So no frame is ever torn, and neither side waits
    for a lock that a stopped process could hold. The memory has no name: nothing is left behind
    when both processes are killed.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        """Makes new memory, or maps what another process made.

        Args:
            descriptor: file descriptor of the memory that the other process made.
        """
        made = descriptor is None
        if made:
            descriptor = os.memfd_create("mobile_vla_frames", os.MFD_CLOEXEC)
            os.ftruncate(descriptor, SLOTS * SLOT_BYTES)
        self.descriptor = descriptor
        self._map = mmap.mmap(descriptor, SLOTS * SLOT_BYTES)
        self._view = memoryview(self._map)
        if made:
            for index in range(SLOTS):
                self.slot(index, TOUCHED_BYTES)[:] = bytes(TOUCHED_BYTES)

    def slot(self, index: int, size: int) -> memoryview:
        """The first `size` bytes of a slot, writable."""
        if size > SLOT_BYTES:
            raise ValueError(f"a frame of {size} bytes is larger than a slot of {SLOT_BYTES}")
        start = index * SLOT_BYTES
        return self._view[start : start + size]

    def close(self) -> None:
        """Closes the descriptor; the mapping goes with the last view of it."""
        os.close(self.descriptor)
