"""Memory for camera frames that a node shares with a child process of its own.

Every child is spoken to in one way: pixels lie in slots of this memory, and frozen messages say
which slot is whose. A slot is touched by one side alone, from the message that hands it over to
the answer that hands it back: no frame is ever torn, and neither side waits for a lock that a
stopped process could hold.
"""

from __future__ import annotations

import mmap
import os
from typing import Any

import numpy as np


class SharedFrames:
    """Equal slots of anonymous memory, mapped by two processes.

    The memory has no name: nothing is left behind when both processes have ended, however.

    Args:
        slots: how many; 0 leaves the memory empty until `resize`.
        slot_bytes: size of each. Pages are taken only when touched, so that a slot may be far
            larger than what is put there.
        file: descriptor of the memory that another process has made; None: make it.
    """

    def __init__(self, slots: int = 0, slot_bytes: int = 0, file: int | None = None) -> None:
        made = file is None
        self.file = os.memfd_create("frames", os.MFD_CLOEXEC) if file is None else file
        self.slots = self.slot_bytes = 0
        self.pixels = np.zeros((0, 0), np.uint8)
        """uint8 [slots, slot_bytes]"""
        if made and slots:
            self.resize(slots, slot_bytes)
        elif slots:
            self.map(slots, slot_bytes)

    def resize(self, slots: int, slot_bytes: int) -> None:
        """Makes room; the other side must `map` it again.

        Raises:
            OSError: there is no memory for it, or this process may not have so much.
        """
        os.ftruncate(self.file, slots * slot_bytes)
        self.map(slots, slot_bytes)

    def map(self, slots: int, slot_bytes: int) -> None:
        """Maps what the other side has made."""
        memory = mmap.mmap(self.file, slots * slot_bytes)
        self.slots, self.slot_bytes = slots, slot_bytes
        self.pixels = np.frombuffer(memory, np.uint8).reshape(slots, slot_bytes)

    def touch(self, size: int) -> None:
        """Takes the pages of the first `size` bytes of each slot now.

        The first touch of a page costs a frame its millisecond; no callback should have to wait
        for the kernel to find one.
        """
        self.pixels[:, : size : mmap.PAGESIZE] = 0

    def slot(self, index: int, size: int) -> memoryview:
        """The first `size` bytes of a slot, writable.

        Raises:
            ValueError: a slot is smaller.
        """
        if size > self.slot_bytes:
            raise ValueError(f"a frame of {size} bytes is larger than a slot of {self.slot_bytes}")
        return self.pixels[index, :size].data

    def fill(self, index: int, data: Any) -> int:
        """Copies a buffer into a slot; returns its size in bytes.

        Raises:
            ValueError: a slot is smaller.
        """
        source = np.frombuffer(data, np.uint8)
        np.copyto(np.frombuffer(self.slot(index, source.size), np.uint8), source)
        return source.size

    def close(self) -> None:
        """Closes the descriptor; the mapping goes with the last view of it."""
        self.pixels = np.zeros((0, 0), np.uint8)
        os.close(self.file)
