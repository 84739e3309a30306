"""Writes one episode so that nothing acknowledged is lost, whatever happens to the process.

Rows go into a ``.part`` file (part_file.py) that is readable after every one of them; finishing
(finishing.py) makes it an episode.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np

from mobile_vla_ros.axes import PLANAR_AXES
from mobile_vla_ros.episodes import schema
from mobile_vla_ros.episodes.finishing import finish_part
from mobile_vla_ros.episodes.layout import EpisodeLayout, check_layout
from mobile_vla_ros.episodes.names import free_path
from mobile_vla_ros.episodes.part_file import PartFile, PeriodicSync
from mobile_vla_ros.episodes.row import RowEncoder
from mobile_vla_ros.episodes.schema import EpisodeError, part_path
from mobile_vla_ros.files import rename_new
from mobile_vla_ros.pictures import ImageError, decode_compressed
from mobile_vla_ros.rig import with_frame_size

TEMPORARY_PREFIX = ".episode_new_"
_RESERVE_BYTES = 1 << 20
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
        self._flush = flush
        self._layout = EpisodeLayout(
            name=self._final.stem,
            axes=tuple(action_axes),
            frame_period=float(frame_period),
            image_format=image_format,
            odom=bool(odom),
            takeovers=bool(takeovers),
            attributes={
                **{name: _plain(value) for name, value in (attributes or {}).items()},
                "scenario": scenario,
                "instruction": instruction,
                "camera": json.dumps(dict(camera or {}), ensure_ascii=False, sort_keys=True),
            },
        )
        _check_names(self._final, self._part)
        check_layout(self._layout, self._final.name)
        shape = None if image_shape is None else (*tuple(image_shape)[:2], 3)
        self._encoder = RowEncoder(self._final.name, self._layout, int(jpeg_quality), shape)
        self._rows = 0
        self._counts = [0, 0]
        self._file: PartFile | None = None
        self._reserve: IO[bytes] | None = None
        self._sync: PeriodicSync | None = None
        self._closed = False

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
        values = self._encoder.values(action, event, odom)
        values |= {
            schema.IMAGE_STAMPS: np.array(image_stamp, schema.STAMP_TYPE),
            schema.RECEIVED_STAMPS: np.array(received_stamp, schema.STAMP_TYPE),
            schema.ACTION_STAMPS: np.array(action_stamp, schema.STAMP_TYPE),
        }
        if self._layout.takeovers:
            values[schema.TAKEN_OVER] = np.array(taken_over, np.uint8)
        payload = self._encoder.payload(image, jpeg)
        if self._sync is not None:
            self._sync.check(self._final)
        try:
            if self._file is None:
                self._file = self._create(payload)
                self._file.count(self._counts)
            self._file.store(self._rows, payload, values)
        except OSError as error:
            raise self._cannot_write(error) from error
        self._rows += 1
        return self._rows

    def count(self, *, dropped: int, lost: int = 0) -> None:
        """Notes on file how many frames were dropped and lost so far, for a later recovery."""
        self._check_open()
        self._counts = [int(dropped), int(lost)]
        if self._file is not None:
            self._file.count(self._counts)

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
        if self._rows == 0 or self._file is None:
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
            final = finish_part(
                self._file.descriptor, self._part, self._final, self._rows, closing
            )
        except OSError as error:
            raise self._cannot_write(error) from error
        self._final = final
        self._close()
        return final

    def discard(self) -> None:
        """Throws the episode away."""
        if not self._closed:
            self._stop_sync()
            created = self._file is not None
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

    def _create(self, payload: memoryview) -> PartFile:
        """Lays the file out under a name of its own, then gives it the ``.part`` name."""
        handle, temporary = tempfile.mkstemp(dir=self._final.parent, prefix=TEMPORARY_PREFIX)
        with contextlib.ExitStack() as undo:
            undo.callback(self._drop_reserve)
            undo.callback(Path(temporary).unlink, missing_ok=True)
            undo.callback(os.close, handle)
            os.fchmod(handle, 0o644)
            with contextlib.suppress(OSError):  # not every network file system has locks
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            layout = replace(
                self._layout,
                name=self._final.stem,
                shape=self._encoder.shape,
                attributes=self._with_frame_size(payload),
            )
            file = PartFile(handle, layout, len(payload))
            if self._flush:
                self._reserve = tempfile.TemporaryFile(  # noqa: SIM115
                    dir=self._final.parent
                )
                os.posix_fallocate(self._reserve.fileno(), 0, _RESERVE_BYTES)
            self._take_name(Path(temporary))
            undo.pop_all()
        if self._flush:
            self._sync = PeriodicSync(handle)
        return file

    def _with_frame_size(self, payload: memoryview) -> Mapping[str, Any]:
        """The attributes, whose rig says how large the frames are; ``payload`` is the first."""
        attributes, shape = self._layout.attributes, self._encoder.shape
        if shape is None:
            try:
                shape = decode_compressed(payload).shape
            except ImageError:  # the checks will say so
                return attributes
        return with_frame_size(attributes, shape)

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

    def _stop_sync(self) -> None:
        if self._sync is not None:
            self._sync.stop()
            self._sync = None

    def _close(self) -> None:
        self._closed = True
        self._drop_reserve()
        if self._file is not None:
            os.close(self._file.descriptor)
            self._file = None


def _check_names(final: Path, part: Path) -> None:
    """Refuses a name that cannot become an episode."""
    if final.suffix != ".h5":
        raise EpisodeError(f"the episode's name {final.name!r} must end in .h5")
    folder = final.parent
    if not folder.is_dir():
        raise EpisodeError(f"the folder {folder} does not exist; make it or choose another")
    if not os.access(folder, os.W_OK):
        raise EpisodeError(f"the folder {folder} cannot be written")
    for taken in (final, part):
        if taken.exists():
            raise EpisodeError(f"{taken} exists already and is not overwritten")


def _plain(value: Any) -> Any:
    """An attribute's value as HDF5 can hold it; mappings and lists of text become JSON."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping) or (
        isinstance(value, (list, tuple)) and any(isinstance(item, str) for item in value)
    ):
        return json.dumps(value, ensure_ascii=False)
    return value
