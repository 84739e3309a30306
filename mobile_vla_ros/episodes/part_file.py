"""The file of an episode that is being recorded: every row goes straight to its place.

The HDF5 library lays out datasets with room for many rows and is then closed; a frame goes
straight to its place in the file with ``pwrite`` (unfiltered chunks are plain bytes at known
offsets), and only then the committed row count is raised, eight bytes in one write. So between
two frames, and inside one, the file's structure does not change at all, and what a kill leaves is
an ordinary HDF5 file whose rows up to the count are whole. When the room is used up, more is added
in an order that keeps the file readable (structure.py).
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np

from mobile_vla_ros.episodes import schema
from mobile_vla_ros.episodes.layout import (
    JPEG_CHUNKS_AT_ONCE,
    ROWS_PER_CHUNK,
    EpisodeLayout,
    chunked,
    lay_out,
    resize_rows,
)
from mobile_vla_ros.episodes.schema import EpisodeError
from mobile_vla_ros.episodes.structure import edit_structure, write_at

_MOST_ROWS_AT_ONCE = 1024
_SYNC_PERIOD = 1.0
_NODE_BYTES = 4096  # an index node of up to 64 chunks is a little smaller


class PartFile:
    """An episode's datasets by their places in the file.

    Args:
        descriptor: an empty file, open for reading and writing. It stays the caller's.
        layout: what the episode is made of.
        payload_size: bytes of the first frame.

    Raises:
        OSError: the disk is full or failed.
    """

    def __init__(self, descriptor: int, layout: EpisodeLayout, payload_size: int) -> None:
        self.descriptor = descriptor
        self._jpeg_bytes = 0
        self._places: dict[str, list[int]] = {}
        self._committed_at = self._counts_at = 0
        with edit_structure(descriptor, "w") as file:
            self._room = lay_out(file, layout, payload_size)
        self._find_places()

    def store(self, row: int, payload: memoryview, values: Mapping[str, np.ndarray]) -> None:
        """Writes a row and then raises the committed count to ``row + 1``.

        Args:
            row: its number; rows are written in order.
            payload: the frame's bytes.
            values: what the other datasets hold in this row, of their own types.

        Raises:
            OSError: the disk is full or failed; the rows before stay as they are.
        """
        if row >= self._room.rows:
            self._grow()
        if self._room.jpeg_chunk:
            if self._jpeg_bytes + len(payload) > self._room.jpeg:
                self._grow_jpeg(len(payload))
            self._store_jpeg(payload)
            end = np.array(self._jpeg_bytes + len(payload), schema.COUNT_TYPE)
            values = {**values, schema.JPEG_END: end}
        else:
            write_at(self.descriptor, payload, self._places[schema.IMAGES][row])
        for name, value in values.items():
            chunk, inside = divmod(row, ROWS_PER_CHUNK)
            data = value.tobytes()
            write_at(self.descriptor, data, self._places[name][chunk] + inside * len(data))
        committed = np.array(row + 1, schema.COUNT_TYPE).tobytes()
        write_at(self.descriptor, committed, self._committed_at)
        if self._room.jpeg_chunk:
            self._jpeg_bytes += len(payload)

    def count(self, counts: Sequence[int]) -> None:
        """Notes frames dropped and lost so far."""
        write_at(self.descriptor, np.array(counts, schema.COUNT_TYPE).tobytes(), self._counts_at)

    def _store_jpeg(self, payload: memoryview) -> None:
        at, rest = self._jpeg_bytes, payload
        while len(rest):
            chunk, inside = divmod(at, self._room.jpeg_chunk)
            piece = rest[: self._room.jpeg_chunk - inside]
            write_at(self.descriptor, piece, self._places[schema.JPEG][chunk] + inside)
            at += len(piece)
            rest = rest[len(piece) :]

    def _grow(self) -> None:
        now = self._room.rows
        wanted = now + min(now, _MOST_ROWS_AT_ONCE)
        room = (wanted - now) // 16 * _NODE_BYTES
        with edit_structure(self.descriptor, meta_block_size=room) as file:
            rows = resize_rows(file, wanted, now)
        self._find_places()
        self._room.rows = rows

    def _grow_jpeg(self, size: int) -> None:
        chunks = max(JPEG_CHUNKS_AT_ONCE, -(-size // self._room.jpeg_chunk))
        wanted = self._room.jpeg + chunks * self._room.jpeg_chunk
        with edit_structure(self.descriptor, meta_block_size=chunks // 16 * _NODE_BYTES) as file:
            file[schema.JPEG].resize(wanted, 0)
        self._find_places()
        self._room.jpeg = wanted

    def _find_places(self) -> None:
        """Learns where in the file each chunk lies; only the new ones are looked up."""
        with _reading(self.descriptor) as file:
            self._committed_at = file[schema.COMMITTED].id.get_offset()
            self._counts_at = file[schema.COUNTS].id.get_offset()
            for name in chunked(file):
                data = file[name]
                places = self._places.setdefault(name, [])
                rest = (0,) * (data.ndim - 1)
                step = data.chunks[0]
                for row in range(len(places) * step, len(data), step):
                    places.append(data.id.get_chunk_info_by_coord((row, *rest)).byte_offset)


class PeriodicSync:
    """Sends what was written to the disk every second, so that finishing never waits long."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._error: OSError | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="episode sync", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.wait(_SYNC_PERIOD):
            try:
                os.fdatasync(self._descriptor)
            except OSError as error:
                self._error = error
                return

    def check(self, path: Path) -> None:
        """Raises what the disk said since the last call."""
        if self._error is not None:
            reason = self._error.strerror
            raise EpisodeError(f"the disk under {path} failed: {reason}; stop and check it")

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()


@contextlib.contextmanager
def _reading(descriptor: int) -> Iterator[h5py.File]:
    with os.fdopen(os.dup(descriptor), "rb") as stream, h5py.File(stream, "r") as file:
        yield file
