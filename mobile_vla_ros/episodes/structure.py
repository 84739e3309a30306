"""Changes an HDF5 file's structure so that a kill at any instant leaves it readable.

The HDF5 library writes its index nodes, headers and superblock in place and in no order that a
reader could rely on in the middle: a split index node may be on file before its other half. Here
the library works on a copy that lives in memory (only what it changed), and the changes are then
written in an order in which every step is a readable file:

growing: lengthen the file, write what lies in the new space (nobody points there yet), the
superblock (which knows the new length), index nodes from the root down, the rest;
shrinking: index nodes from the root down, the rest, the superblock, cut the file.
"""

from __future__ import annotations

import io
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import h5py

_SUPERBLOCK = b"\x89HDF"
_INDEX_NODE = b"TREE"  # then one byte type, one byte level: 0 is a leaf
_LEVEL_AT = 5


class Step(NamedTuple):
    """One write of ``data`` at ``offset``, or with ``data`` None the file's new length."""

    offset: int
    data: bytes | None


@contextmanager
def edit_structure(descriptor: int, mode: str = "r+", **options: int) -> Iterator[h5py.File]:
    """Opens the file behind ``descriptor`` for a structural change, applied on leaving.

    An exception inside the block leaves the file untouched. ``options`` go to ``h5py.File``.

    Raises:
        OSError: the disk is full or the file-size limit is reached; what the file held before is
            still readable then.
    """
    copy = _Overlay(descriptor)
    file = h5py.File(copy, mode, libver="earliest", **options)
    try:
        yield file
    finally:
        file.close()
    for step in copy.steps():
        apply(descriptor, step)


def apply(descriptor: int, step: Step) -> None:
    """Carries out one step on the file."""
    if step.data is None:
        os.ftruncate(descriptor, step.offset)
    else:
        write_at(descriptor, step.data, step.offset)


def write_at(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Writes all of ``data`` at ``offset``, however many system calls that takes."""
    rest = memoryview(data).cast("B")
    while len(rest):
        written = os.pwrite(descriptor, rest, offset)
        rest = rest[written:]
        offset += written


class _Overlay(io.RawIOBase):
    """The file with the library's changes over it; the file itself is only read."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._old_size = os.fstat(descriptor).st_size
        self._size = self._old_size
        self._position = 0
        self._writes: list[tuple[int, bytes]] = []

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer) -> int:
        view = memoryview(buffer).cast("B")
        start, size = self._position, len(view)
        found = os.preadv(self._descriptor, [view], start)
        view[found:] = bytes(size - found)
        for offset, data in self._writes:
            low, high = max(offset, start), min(offset + len(data), start + size)
            if low < high:
                view[low - start : high - start] = data[low - offset : high - offset]
        self._position += size
        return size

    def write(self, data) -> int:
        content = bytes(data)
        self._writes.append((self._position, content))
        self._position += len(content)
        self._size = max(self._size, self._position)
        return len(content)

    def truncate(self, size: int | None = None) -> int:
        self._size = self._position if size is None else size
        return self._size

    def steps(self) -> list[Step]:
        """What to do to the file, in the order that keeps it readable throughout."""
        fresh: list[Step] = []
        changed: list[tuple[int, Step]] = []
        superblock: list[Step] = []
        for offset, data, head in self._last_writes():
            if offset >= self._size:
                continue
            if offset >= self._old_size:
                fresh.append(Step(offset, data))
            elif data == os.pread(self._descriptor, len(data), offset):
                continue
            elif offset == 0 and head.startswith(_SUPERBLOCK):
                superblock.append(Step(offset, data))
            else:
                is_node = head.startswith(_INDEX_NODE) and len(head) > _LEVEL_AT
                changed.append((-head[_LEVEL_AT] if is_node else 1, Step(offset, data)))
        inside = [step for _, step in sorted(changed, key=lambda item: item[0])]
        length = [Step(self._size, None)] if self._size != self._old_size else []
        if self._size >= self._old_size:
            return length + sorted(fresh) + superblock + inside
        return inside + superblock + length

    def _last_writes(self) -> list[tuple[int, bytes, bytes]]:
        """Offset, content and first bytes of the block it is from; overlaps keep the last."""
        pieces: list[tuple[int, bytes, bytes]] = []
        for offset, data in reversed(self._writes):
            # New space and old are written at different times, so no piece lies in both.
            bounds = sorted({offset, offset + len(data), *self._inside(offset, len(data))})
            head = data[:8]
            for low, high in itertools.pairwise(bounds):
                for gap_low, gap_high in _uncovered(low, high, pieces):
                    piece = data[gap_low - offset : gap_high - offset]
                    pieces.append((gap_low, piece, head))
        return pieces

    def _inside(self, offset: int, size: int) -> set[int]:
        return {self._old_size} if offset < self._old_size < offset + size else set()


def _uncovered(
    low: int, high: int, pieces: list[tuple[int, bytes, bytes]]
) -> list[tuple[int, int]]:
    gaps = [(low, high)]
    for offset, data, _ in pieces:
        end = offset + len(data)
        gaps = [
            part
            for start, stop in gaps
            for part in ((start, min(stop, offset)), (max(start, end), stop))
            if part[0] < part[1]
        ]
    return gaps
