"""HDF5's global heaps, where texts of any length lie: walked before the library walks them.

The library follows the sizes in a heap without asking whether they lead anywhere: one that is
zero where it may not be keeps it busy for ever. Layout: HDF5 file format, section III.E.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

_HEAD = b"GCOL\x01\0\0\0"
_SIZE = struct.Struct("<Q")
_OBJECT = struct.Struct("<HHIQ")  # index, references, reserved, size
_LOOK = 8 << 20  # bytes at each end of the file; heaps lie among the first and the last written
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# Where a superblock of this version, with addresses of eight bytes, keeps the end of the file.
_END_BY_VERSION = {0: 40, 1: 44, 2: 28, 3: 28}
_SUPERBLOCK_BYTES = 64


def sound_heaps(path: Path) -> bool:
    """Whether every heap in the first and the last 8 MiB of the file leads to its own end."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        size = len(data)
        parts = ((0, min(size, _LOOK)), (max(_LOOK, size - _LOOK), size))
        for first, last in parts:
            at = data.find(_HEAD, first, last) if first < last else -1
            while at >= 0:
                if not _is_sound(data, at):
                    return False
                at = data.find(_HEAD, at + len(_HEAD), last)
    return True


def is_cut_off(path: Path) -> bool:
    """Whether the file is shorter than its own superblock says.

    Files with a user block before the superblock are taken for whole.
    """
    with path.open("rb") as file:
        head = file.read(_SUPERBLOCK_BYTES)
    if len(head) < _SUPERBLOCK_BYTES or not head.startswith(_SIGNATURE):
        return False
    place = _END_BY_VERSION.get(head[len(_SIGNATURE)])
    if place is None:
        return False
    return path.stat().st_size < int.from_bytes(head[place : place + 8], "little")


def _is_sound(data: mmap.mmap, start: int) -> bool:
    place = start + len(_HEAD)
    if place + _SIZE.size > len(data):
        return False
    (size,) = _SIZE.unpack_from(data, place)
    end = start + size
    place += _SIZE.size
    if size < place - start or end > len(data):
        return False
    while place + _OBJECT.size <= end:
        index, _, _, length = _OBJECT.unpack_from(data, place)
        if index == 0:  # the free rest, its head included
            return length >= _OBJECT.size and place + length <= end
        step = _OBJECT.size + (length + 7) // 8 * 8
        if place + step > end:
            return False
        place += step
    return True
