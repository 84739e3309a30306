"""Writes one episode so that nothing acknowledged is lost, whatever happens to the process.

The HDF5 library lays out datasets with room for many rows and is then closed; a frame goes
straight to its place in the file with ``pwrite`` (unfiltered chunks are plain bytes at known
offsets), and only then the committed row count is raised, eight bytes in one write. So between
two frames, and inside one, the file's structure does not change at all, and what a kill leaves is
an ordinary HDF5 file whose rows up to the count are whole. When the room is used up, more is added
in an order that keeps the file readable (structure.py).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import h5py
import numpy as np
from h5py import h5d, h5p, h5s, h5t

from mobile_vla_ros.axes import AXES, PLANAR_AXES
from mobile_vla_ros.episodes import schema
from mobile_vla_ros.episodes.names import free_path
from mobile_vla_ros.episodes.schema import EpisodeError, part_path
from mobile_vla_ros.episodes.structure import edit_structure, write_at
from mobile_vla_ros.files import rename_new, sync
from mobile_vla_ros.pictures import ImageError, decode_compressed, encode_jpeg

TEMPORARY_PREFIX = ".episode_new_"
_FIRST_ROWS = 64
_MOST_ROWS_AT_ONCE = 1024
_MOST_BYTES_AT_ONCE = 1 << 30
_ROWS_PER_CHUNK = 64
_SMALLEST_JPEG_CHUNK = 1 << 16
_LARGEST_JPEG_CHUNK = 1 << 20
_JPEG_CHUNKS_AT_ONCE = 64
_RESERVE_BYTES = 1 << 20
_SYNC_PERIOD = 1.0
_LARGEST_ATTRIBUTE = 32_000  # bytes; the format's limit for all of one attribute is 64 KiB
_NODE_BYTES = 4096  # an index node of up to 64 chunks is a little smaller
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class EpisodeWriter:
    """Records one episode; a context manager that finishes on success only when asked to.

    Leaving the ``with`` block without ``finish`` or ``discard`` closes the file and leaves it as
    ``<name>.h5.part``, which ``recover`` turns into an episode marked incomplete.

    Args:
        path: the finished file's name; while recording it is ``<path>.part``.
        scenario: name of the scenario, stored as it is.
        instruction: what the robot was told, any language.
        action_axes: names of the action columns.
        frame_period: the spacing in seconds that a policy trained on this takes frames at.
        image_shape: (H, W) or (H, W, 3) when known; else taken from the first frame.
        image_format: ``raw`` (uint8 RGB) or ``jpeg`` (compressed bytes).
        jpeg_quality: 1 to 100, for frames that come uncompressed.
        camera: names the camera (topic, size, encoding, calibration); stored as JSON.
        odom: also keep odometry (x, y, yaw, vx, vy, wz, stamp) per row.
        takeovers: also keep per row whether a person had taken over from the policy.
        attributes: more attributes of the file: text, numbers or arrays of numbers.
        flush: send data to the disk every second while recording. False is for bulk writing,
            where a lost machine means starting again; the file is finished the same way.

    Raises:
        EpisodeError: the folder is missing or not writable, the name is taken, or an argument is
            wrong.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        scenario: str,
        instruction: str,
        action_axes: Sequence[str] = PLANAR_AXES,
        frame_period: float = schema.DEFAULT_FRAME_PERIOD,
        image_shape: Sequence[int] | None = None,
        image_format: str = "raw",
        jpeg_quality: int = 90,
        camera: Mapping[str, Any] | None = None,
        odom: bool = False,
        takeovers: bool = False,
        attributes: Mapping[str, Any] | None = None,
        flush: bool = True,
    ) -> None:
        self._final = Path(path)
        self._part = part_path(path)
        self._axes = tuple(action_axes)
        self._frame_period = float(frame_period)
        self._format = image_format
        self._quality = int(jpeg_quality)
        self._odom = bool(odom)
        self._takeovers = bool(takeovers)
        self._flush = flush
        self._shape = None if image_shape is None else (*tuple(image_shape)[:2], 3)
        self._attributes = {
            **{name: _plain(value) for name, value in (attributes or {}).items()},
            "scenario": scenario,
            "instruction": instruction,
            "camera": json.dumps(dict(camera or {}), ensure_ascii=False, sort_keys=True),
        }
        self._check_arguments()
        self._rows = 0
        self._capacity = 0
        self._jpeg_bytes = 0
        self._jpeg_chunk = 0
        self._jpeg_capacity = 0
        self._descriptor = -1
        self._reserve: IO[bytes] | None = None
        self._places: dict[str, list[int]] = {}
        self._committed_at = self._counts_at = 0
        self._counts = [0, 0]
        self._first_stamp = self._last_stamp = 0.0
        self._closed = False
        self._sync: _Sync | None = None

    @property
    def rows(self) -> int:
        """Rows safe on file."""
        return self._rows

    @property
    def path(self) -> Path:
        """The finished file's name (the first row or ``finish`` may have to add a counter)."""
        return self._final

    def append(
        self,
        *,
        image: np.ndarray | None = None,
        jpeg: bytes | None = None,
        action: Sequence[float] | np.ndarray,
        event: str = "start_action",
        image_stamp: float,
        received_stamp: float,
        action_stamp: float,
        odom: Sequence[float] | np.ndarray | None = None,
        taken_over: bool = False,
    ) -> int:
        """Adds one row; when it returns, the row survives the process.

        Args:
            image: uint8 [H,W,3] RGB, or
            jpeg: the frame as a JPEG (or PNG) file's bytes.
            action: the command in force at the frame's capture, one value per axis, m/s or rad/s.
            event: ``episode_start``, ``start_action`` or ``stop_action``.
            image_stamp: capture time, seconds.
            received_stamp: when the frame arrived, seconds.
            action_stamp: when the command was given; with the capture time it is its age.
            odom: float [7], x, y, yaw, vx, vy, wz, stamp; None writes NaN where odom is kept.
            taken_over: a person drives, or the policy waits to be released; kept with
                ``takeovers``.

        Returns:
            The number of rows safe on file.

        Raises:
            EpisodeError: the row does not fit the episode, or the disk is full. The rows before
                it stay valid and the episode can be finished.
        """
        self._check_open()
        action = np.asarray(action, schema.ACTION_TYPE)
        if action.shape != (len(self._axes),):
            raise EpisodeError(
                f"{self._final.name}: an action has {len(self._axes)} values "
                f"({', '.join(self._axes)}), not shape {action.shape}"
            )
        if event not in schema.EVENT_TYPES:
            raise EpisodeError(
                f"{self._final.name}: the event {event!r} is none of "
                f"{', '.join(schema.EVENT_TYPES)}"
            )
        payload = self._payload(image, jpeg)
        values: dict[str, np.ndarray] = {
            schema.ACTIONS: action,
            schema.EVENTS: np.array(event.encode(), "S16"),
            schema.IMAGE_STAMPS: np.array(image_stamp, schema.STAMP_TYPE),
            schema.RECEIVED_STAMPS: np.array(received_stamp, schema.STAMP_TYPE),
            schema.ACTION_STAMPS: np.array(action_stamp, schema.STAMP_TYPE),
        }
        if self._odom:
            row = np.full(7, np.nan) if odom is None else np.asarray(odom, np.float64)
            if row.shape != (7,):
                raise EpisodeError(
                    f"{self._final.name}: odom has 7 values ({', '.join(schema.ODOM_COLUMNS)}), "
                    f"not shape {row.shape}"
                )
            values[schema.ODOM] = row.astype(schema.STAMP_TYPE)
        if self._takeovers:
            values[schema.TAKEN_OVER] = np.array(taken_over, np.uint8)
        if self._sync is not None:
            self._sync.check(self._final)
        try:
            self._store(payload, values)
        except OSError as error:
            raise self._cannot_write(error) from error
        if self._rows == 0:
            self._first_stamp = float(image_stamp)
        self._last_stamp = float(image_stamp)
        self._rows += 1
        return self._rows

    def count(self, *, dropped: int, lost: int = 0) -> None:
        """Notes on file how many frames were dropped and lost so far, for a later recovery."""
        self._check_open()
        self._counts = [int(dropped), int(lost)]
        if self._descriptor >= 0:
            write_at(self._descriptor, self._count_bytes(), self._counts_at)

    def finish(
        self,
        *,
        outcome: str = "",
        complete: bool = True,
        frames_received: int | None = None,
        frames_dropped: int = 0,
        frames_lost: int = 0,
        attributes: Mapping[str, Any] | None = None,
    ) -> Path:
        """Makes the file an episode: exact length, on the disk, counted again, under its name.

        Args:
            outcome: how it ended, e.g. ``success``; empty when nobody said.
            complete: False for an episode that was cut off.
            frames_received: frames that arrived and were to be recorded; by default those
                written plus those dropped.
            frames_dropped: received but not written (full queue).
            frames_lost: sent but never delivered.
            attributes: more to be kept with the episode, known only now.

        Returns:
            The finished file's path; with a counter if the name was taken meanwhile, since
            nothing is ever overwritten.

        Raises:
            EpisodeError: there are no rows, or the disk failed. The ``.part`` file stays.
        """
        self._check_open()
        if self._rows == 0:
            raise EpisodeError(
                f"{self._final.name}: no frame was recorded, so there is no episode"
            )
        if self._sync is not None:
            self._sync.check(self._final)
        self._stop_sync()
        received = self._rows + frames_dropped if frames_received is None else frames_received
        closing = {
            **{name: _plain(value) for name, value in (attributes or {}).items()},
            "outcome": outcome,
            "complete": bool(complete),
            "frames_received": int(received),
            "frames_written": self._rows,
            "frames_dropped": int(frames_dropped),
            "frames_lost": int(frames_lost),
        }
        try:
            self._drop_reserve()  # gives its room back for the attributes below
            final = finish_part(self._descriptor, self._part, self._final, self._rows, closing)
        except OSError as error:
            raise self._cannot_write(error) from error
        self._final = final
        self._close()
        return final

    def discard(self) -> None:
        """Throws the episode away."""
        if not self._closed:
            self._stop_sync()
            created = self._descriptor >= 0
            self._close()
            if created:
                self._part.unlink(missing_ok=True)

    def __enter__(self) -> EpisodeWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._closed:
            self._stop_sync()
            self._close()

    def _check_arguments(self) -> None:
        name = self._final.name
        if self._final.suffix != ".h5":
            raise EpisodeError(f"the episode's name {name!r} must end in .h5")
        if self._format not in ("raw", "jpeg"):
            raise EpisodeError(f"{name}: image_format must be raw or jpeg, not {self._format!r}")
        if not 1 <= self._quality <= 100:
            raise EpisodeError(f"{name}: jpeg_quality must be 1 to 100, not {self._quality}")
        if not self._frame_period > 0:
            raise EpisodeError(f"{name}: frame_period must be positive, not {self._frame_period}")
        unknown = [axis for axis in self._axes if axis not in AXES]
        if unknown or not self._axes or len(set(self._axes)) != len(self._axes):
            raise EpisodeError(
                f"{name}: action_axes must be different ones of {', '.join(AXES)}, "
                f"not {list(self._axes)}"
            )
        folder = self._final.parent
        if not folder.is_dir():
            raise EpisodeError(f"the folder {folder} does not exist; make it or choose another")
        if not os.access(folder, os.W_OK):
            raise EpisodeError(f"the folder {folder} cannot be written")
        for taken in (self._final, self._part):
            if taken.exists():
                raise EpisodeError(f"{taken} exists already and is not overwritten")

    def _check_open(self) -> None:
        if self._closed:
            raise EpisodeError(f"{self._final.name}: the episode is finished or closed already")

    def _cannot_write(self, error: OSError) -> EpisodeError:
        reason = error.strerror or str(error)
        if error.errno in _FULL:
            return EpisodeError(
                f"the disk is full ({reason}): {self._part.name} holds {self._rows} valid frames; "
                f"free some room in {self._final.parent} and finish it"
            )
        return EpisodeError(f"cannot write {self._part}: {reason} (after {self._rows} frames)")

    def _payload(self, image: np.ndarray | None, jpeg: bytes | None) -> memoryview:
        """The bytes to store for a frame; checks that it fits the episode."""
        if (image is None) == (jpeg is None):
            raise EpisodeError(f"{self._final.name}: give a frame as image or as jpeg, not both")
        if self._format == "raw":
            if image is None:
                image = decode_jpeg(bytes(jpeg or b""), self._final.name)
            self._check_image(image)
            return np.ascontiguousarray(image).data.cast("B")
        if image is not None:
            self._check_image(image)
            try:
                jpeg = encode_jpeg(image, self._quality)
            except ImageError as error:
                raise EpisodeError(f"{self._final.name}: {error}") from None
        if not jpeg:
            raise EpisodeError(f"{self._final.name}: a compressed frame is empty")
        return memoryview(bytes(jpeg))

    def _check_image(self, image: np.ndarray) -> None:
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise EpisodeError(
                f"{self._final.name}: a frame is uint8 [H,W,3], not {image.dtype} "
                f"{list(image.shape)}"
            )
        if self._shape is None:
            self._shape = image.shape
        if tuple(image.shape) != self._shape:
            raise EpisodeError(
                f"{self._final.name}: the frame size changed from {list(self._shape)} to "
                f"{list(image.shape)}; start a new episode"
            )

    def _store(self, payload: memoryview, values: dict[str, np.ndarray]) -> None:
        if self._descriptor < 0:
            self._create(len(payload))
            write_at(self._descriptor, self._count_bytes(), self._counts_at)
        row = self._rows
        if row >= self._capacity:
            self._grow()
        if self._format == "raw":
            write_at(self._descriptor, payload, self._places[schema.IMAGES][row])
        else:
            if self._jpeg_bytes + len(payload) > self._jpeg_capacity:
                self._grow_jpeg(len(payload))
            self._store_jpeg(payload)
            values[schema.JPEG_END] = np.array(self._jpeg_bytes + len(payload), schema.COUNT_TYPE)
        for name, value in values.items():
            chunk, inside = divmod(row, _ROWS_PER_CHUNK)
            data = value.tobytes()
            write_at(self._descriptor, data, self._places[name][chunk] + inside * len(data))
        write_at(
            self._descriptor, np.array(row + 1, schema.COUNT_TYPE).tobytes(), self._committed_at
        )
        if self._format == "jpeg":
            self._jpeg_bytes += len(payload)

    def _store_jpeg(self, payload: memoryview) -> None:
        at, rest = self._jpeg_bytes, payload
        while len(rest):
            chunk, inside = divmod(at, self._jpeg_chunk)
            piece = rest[: self._jpeg_chunk - inside]
            write_at(self._descriptor, piece, self._places[schema.JPEG][chunk] + inside)
            at += len(piece)
            rest = rest[len(piece) :]

    def _create(self, payload_size: int) -> None:
        """Lays the file out under a name of its own, then gives it the ``.part`` name."""
        handle, temporary = tempfile.mkstemp(dir=self._final.parent, prefix=TEMPORARY_PREFIX)
        with contextlib.ExitStack() as undo:
            undo.callback(self._forget_layout)
            undo.callback(Path(temporary).unlink, missing_ok=True)
            undo.callback(os.close, handle)
            os.fchmod(handle, 0o644)
            with contextlib.suppress(OSError):  # not every network file system has locks
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with edit_structure(handle, "w") as file:
                self._lay_out(file, payload_size)
            self._find_places(handle)
            if self._flush:
                self._reserve = tempfile.TemporaryFile(  # noqa: SIM115
                    dir=self._final.parent
                )
                os.posix_fallocate(self._reserve.fileno(), 0, _RESERVE_BYTES)
            self._take_name(Path(temporary))
            undo.pop_all()
        self._descriptor = handle
        if self._flush:
            self._sync = _Sync(handle)

    def _forget_layout(self) -> None:
        self._capacity = self._jpeg_capacity = 0
        self._places = {}
        self._drop_reserve()

    def _drop_reserve(self) -> None:
        if self._reserve is not None:
            self._reserve.close()
            self._reserve = None

    def _take_name(self, temporary: Path) -> None:
        wanted = self._final
        while True:
            try:
                rename_new(temporary, self._part)
            except FileExistsError:
                # Another recorder has taken the name since it was found free.
                self._final = free_path(wanted)
                self._part = part_path(self._final)
            else:
                return

    def _lay_out(self, file: h5py.File, payload_size: int) -> None:
        attributes = {
            "schema_version": schema.SCHEMA_VERSION,
            "episode_name": self._final.stem,
            "num_frames": 0,
            "total_duration": 0.0,
            "action_chunk_size": schema.DEFAULT_CHUNK_SIZE,
            "action_axes": list(self._axes),
            "frame_period": self._frame_period,
            "image_format": self._format,
            "outcome": "",
            "complete": False,
            "frames_received": 0,
            "frames_written": 0,
            "frames_dropped": 0,
            "frames_lost": 0,
            **self._attributes,
        }
        for name, value in attributes.items():
            if np.asarray(value).nbytes > _LARGEST_ATTRIBUTE and not isinstance(value, str):
                file[f"{schema.MORE}/{name}"] = value
            else:
                file.attrs[name] = value
        text = schema.cut_utf8(str(attributes["instruction"]), schema.INSTRUCTION_BYTES)
        file[schema.INSTRUCTION] = np.array([text], schema.INSTRUCTION_TYPE)
        file.create_group(schema.STAMPS)
        _fixed(file, schema.COMMITTED, ())
        _fixed(file, schema.COUNTS, (2,))
        axes = len(self._axes)
        _rows(file, schema.ACTIONS, (axes,), schema.ACTION_TYPE, _ROWS_PER_CHUNK)
        _rows(file, schema.EVENTS, (), schema.EVENT_TYPE, _ROWS_PER_CHUNK)
        for name in (schema.IMAGE_STAMPS, schema.RECEIVED_STAMPS, schema.ACTION_STAMPS):
            _rows(file, name, (), schema.STAMP_TYPE, _ROWS_PER_CHUNK)
        if self._odom:
            _rows(file, schema.ODOM, (7,), schema.STAMP_TYPE, _ROWS_PER_CHUNK)
        if self._takeovers:
            _rows(file, schema.TAKEN_OVER, (), np.dtype("u1"), _ROWS_PER_CHUNK)
        if self._format == "jpeg":
            self._jpeg_chunk = min(
                max(1 << (4 * payload_size).bit_length(), _SMALLEST_JPEG_CHUNK),
                _LARGEST_JPEG_CHUNK,
            )
            _rows(file, schema.JPEG_END, (), schema.COUNT_TYPE, _ROWS_PER_CHUNK)
            _rows(file, schema.JPEG, (), np.dtype("u1"), self._jpeg_chunk)
        else:
            _rows(file, schema.IMAGES, self._shape or (), np.dtype("u1"), 1)
        self._capacity = _resize_rows(file, _FIRST_ROWS, 0)
        if self._format == "jpeg":
            self._jpeg_capacity = _JPEG_CHUNKS_AT_ONCE // 8 * self._jpeg_chunk
            file[schema.JPEG].resize(self._jpeg_capacity, 0)

    def _grow(self) -> None:
        wanted = self._capacity + min(self._capacity, _MOST_ROWS_AT_ONCE)
        room = (wanted - self._capacity) // 16 * _NODE_BYTES
        with edit_structure(self._descriptor, meta_block_size=room) as file:
            capacity = _resize_rows(file, wanted, self._capacity)
        self._find_places(self._descriptor)
        self._capacity = capacity

    def _grow_jpeg(self, size: int) -> None:
        chunks = max(_JPEG_CHUNKS_AT_ONCE, -(-size // self._jpeg_chunk))
        wanted = self._jpeg_capacity + chunks * self._jpeg_chunk
        with edit_structure(self._descriptor, meta_block_size=chunks // 16 * _NODE_BYTES) as file:
            file[schema.JPEG].resize(wanted, 0)
        self._find_places(self._descriptor)
        self._jpeg_capacity = wanted

    def _find_places(self, descriptor: int) -> None:
        """Learns where in the file each chunk lies; only the new ones are looked up."""
        with _reading(descriptor) as file:
            self._committed_at = file[schema.COMMITTED].id.get_offset()
            self._counts_at = file[schema.COUNTS].id.get_offset()
            for name in chunked(file):
                data = file[name]
                places = self._places.setdefault(name, [])
                rest = (0,) * (data.ndim - 1)
                step = data.chunks[0]
                for row in range(len(places) * step, len(data), step):
                    places.append(data.id.get_chunk_info_by_coord((row, *rest)).byte_offset)

    def _count_bytes(self) -> bytes:
        return np.array(self._counts, schema.COUNT_TYPE).tobytes()

    def _stop_sync(self) -> None:
        if self._sync is not None:
            self._sync.stop()
            self._sync = None

    def _close(self) -> None:
        self._closed = True
        self._drop_reserve()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class _Sync:
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


def chunked(file: h5py.File) -> list[str]:
    """The datasets with a row per frame (and the flat JPEG bytes), images last."""
    names = [
        schema.ACTIONS,
        schema.EVENTS,
        schema.IMAGE_STAMPS,
        schema.RECEIVED_STAMPS,
        schema.ACTION_STAMPS,
        schema.ODOM,
        schema.TAKEN_OVER,
        schema.JPEG_END,
        schema.JPEG,
        schema.IMAGES,
    ]
    return [name for name in names if name in file]


def finish_part(
    descriptor: int, part: Path, final: Path, rows: int, attributes: Mapping[str, Any]
) -> Path:
    """Cuts a ``.part`` file to its rows, counts them again and gives it its final name.

    Args:
        descriptor: the part file, open for reading and writing.
        part: its path.
        final: the wanted name; a counter is added if it is taken.
        rows: the committed rows, at least 1.
        attributes: what to set, beside the frame count and the duration.

    Raises:
        OSError: the disk failed.
        EpisodeError: the file read back is not what was written.
    """
    target = free_path(final) if final.exists() else final
    with edit_structure(descriptor) as file:
        jpeg_bytes = int(file[schema.JPEG_END][rows - 1]) if schema.JPEG in file else 0
        for name in chunked(file):
            file[name].resize(jpeg_bytes if name == schema.JPEG else rows, 0)
        stamps = file[schema.IMAGE_STAMPS]
        duration = float(stamps[rows - 1] - stamps[0])
    with edit_structure(descriptor) as file:
        for name, value in {
            "num_frames": rows,
            "total_duration": duration,
            "episode_name": target.stem,
            **attributes,
        }.items():
            if name in file.attrs and not isinstance(value, str):
                file.attrs.modify(name, value)
            elif file.attrs.get(name) != value:
                file.attrs[name] = value
    os.fsync(descriptor)
    _verify(part, rows, jpeg_bytes)
    while True:
        try:
            rename_new(part, target)
        except FileExistsError:
            target = free_path(final)
            continue
        break
    sync(final.parent)
    return target


def _verify(part: Path, rows: int, jpeg_bytes: int) -> None:
    """Opens the file as any program would and counts.

    Raises:
        EpisodeError: a dataset has another length, or the last frame cannot be read.
    """
    try:
        with h5py.File(part, "r", locking=False) as file:
            found = {name: len(file[name]) for name in chunked(file)}
            expected = {name: jpeg_bytes if name == schema.JPEG else rows for name in found}
            committed = int(file[schema.COMMITTED][()])
            file[schema.ACTIONS][rows - 1]
            if schema.IMAGES in file:
                file[schema.IMAGES][rows - 1]
            else:
                ends = file[schema.JPEG_END][max(0, rows - 2) :]
                file[schema.JPEG][int(ends[0]) if rows > 1 else 0 : int(ends[-1])]
    except (OSError, KeyError, RuntimeError) as error:
        raise EpisodeError(f"{part} cannot be read back: {error}") from error
    if found != expected or committed != rows:
        raise EpisodeError(f"{part} holds {found} ({committed} committed) instead of {rows} rows")


@contextlib.contextmanager
def _reading(descriptor: int) -> Iterator[h5py.File]:
    with os.fdopen(os.dup(descriptor), "rb") as stream, h5py.File(stream, "r") as file:
        yield file


def _rows(
    file: h5py.File, name: str, rest: tuple[int, ...], kind: np.dtype, rows_per_chunk: int
) -> None:
    """A dataset that grows by rows, with its room in the file from the start, unfilled."""
    properties = h5p.create(h5p.DATASET_CREATE)
    properties.set_obj_track_times(False)  # the same frames give the same bytes
    properties.set_chunk((rows_per_chunk, *rest))
    properties.set_alloc_time(h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5d.FILL_TIME_NEVER)
    space = h5s.create_simple((0, *rest), (h5s.UNLIMITED, *rest))
    h5d.create(file.id, name.encode(), h5t.py_create(kind, logical=True), space, properties)


def _fixed(file: h5py.File, name: str, shape: tuple[int, ...]) -> None:
    properties = h5p.create(h5p.DATASET_CREATE)
    properties.set_obj_track_times(False)  # the same frames give the same bytes
    properties.set_alloc_time(h5d.ALLOC_TIME_EARLY)
    space = h5s.create_simple(shape) if shape else h5s.create(h5s.SCALAR)
    kind = h5t.py_create(schema.COUNT_TYPE, logical=True)
    h5d.create(file.id, name.encode(), kind, space, properties)


def _resize_rows(file: h5py.File, wanted: int, now: int) -> int:
    """Makes room for ``wanted`` rows (fewer if frames are very large); returns the rows."""
    if schema.IMAGES in file:
        frame = int(np.prod(file[schema.IMAGES].shape[1:]))
        most = max(8, _MOST_BYTES_AT_ONCE // frame)
        # Full index nodes (64 chunks) split at once, so the new nodes lie before the new frames
        # and the file's tail can be cut off at the end.
        most = most // _FIRST_ROWS * _FIRST_ROWS or most
        wanted = min(wanted, now + most)
    for name in chunked(file):
        if name != schema.JPEG:
            file[name].resize(wanted, 0)
    return wanted


def decode_jpeg(data: bytes, name: str) -> np.ndarray:
    """uint8 [H,W,3] RGB from JPEG (or PNG) bytes.

    Raises:
        EpisodeError: they are no image; ``name`` stands in the sentence.
    """
    try:
        return decode_compressed(data)
    except ImageError:
        raise EpisodeError(
            f"{name}: a compressed frame of {len(data)} bytes cannot be decoded"
        ) from None


def _plain(value: Any) -> Any:
    """An attribute's value as HDF5 can hold it; mappings and lists of text become JSON."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping) or (
        isinstance(value, (list, tuple)) and any(isinstance(item, str) for item in value)
    ):
        return json.dumps(value, ensure_ascii=False)
    return value
