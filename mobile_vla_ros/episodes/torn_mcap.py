"""Reading an MCAP file from its beginning to wherever it ends, without its index.

The layout is that of the MCAP specification (https://mcap.dev/spec): records of one byte kind and
eight bytes length; chunks hold records, packed or not.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import IO

_MAGIC = b"\x89MCAP0\r\n"
_SCHEMA, _CHANNEL, _MESSAGE, _CHUNK = 3, 4, 5, 6
_HEAD = struct.Struct("<BQ")
_LARGEST = 512 << 20  # bytes of a record; a recording's chunks are a thousandth of it

Raw = tuple[str, str, int, bytes]
"""Topic, message type, log time in ns, serialised message."""


def torn_mcap(stream: IO[bytes]) -> Iterator[Raw]:
    """Yields every message that is there in whole, also of a chunk that is cut off."""
    if stream.read(len(_MAGIC)) != _MAGIC:
        return
    book = _Book()
    while True:
        head = stream.read(_HEAD.size)
        if len(head) < _HEAD.size:
            return
        kind, size = _HEAD.unpack(head)
        if size > _LARGEST:
            return  # no length: what follows is not to be read
        body = stream.read(size)
        if kind == _CHUNK:
            for inside in _records(_content(body)):
                yield from book.message(*inside)
        elif len(body) == size:
            yield from book.message(kind, body)
        if len(body) < size:
            return


class _Book:
    """Which channel carries which topic and type."""

    def __init__(self) -> None:
        self._schemas: dict[int, str] = {}
        self._channels: dict[int, tuple[str, str]] = {}

    def message(self, kind: int, body: bytes) -> Iterator[Raw]:
        """Takes a record; yields it if it is a message."""
        if kind == _SCHEMA:
            (number,) = struct.unpack_from("<H", body)
            self._schemas[number] = _text(body, 2)[0]
        elif kind == _CHANNEL:
            number, schema = struct.unpack_from("<HH", body)
            self._channels[number] = (_text(body, 4)[0], self._schemas.get(schema, ""))
        elif kind == _MESSAGE:
            number, _, logged = struct.unpack_from("<HIQ", body)
            if number in self._channels:
                yield (*self._channels[number], logged, body[22:])


def _records(data: bytes) -> Iterator[tuple[int, bytes]]:
    place = 0
    while place + _HEAD.size <= len(data):
        kind, size = _HEAD.unpack_from(data, place)
        place += _HEAD.size
        if place + size > len(data):
            return
        yield kind, data[place : place + size]
        place += size


def _content(body: bytes) -> bytes:
    """The records of a chunk, as many of them as its bytes hold."""
    if len(body) < 40:
        return b""
    (size,) = struct.unpack_from("<Q", body, 16)
    packing, place = _text(body, 28)
    packed = body[place + 8 :]
    if size > _LARGEST:
        return b""
    if not packing:
        return packed
    return _unpacker(packing)(packed)[: int(size)]


def _unpacker(packing: str) -> Callable[[bytes], bytes]:
    """Unpacks as far as the bytes go; an unknown packing is a KeyError that names it."""
    if packing == "zstd":
        from rosbags.rosbag2.storage_mcap import zstd

        return zstd.ZstdDecompressor().decompress
    if packing == "lz4":
        from lz4.frame import LZ4FrameDecompressor

        return LZ4FrameDecompressor().decompress
    raise KeyError(packing)


def _text(body: bytes, place: int) -> tuple[str, int]:
    (size,) = struct.unpack_from("<I", body, place)
    end = place + 4 + size
    return body[place + 4 : end].decode("utf-8", errors="replace"), end
