"""Opens an episode, ours or an old one, raw or JPEG, and reads only what is asked for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np

from mobile_vla_ros.episodes import schema
from mobile_vla_ros.episodes.attributes import READ_ERRORS, Facts, decode
from mobile_vla_ros.episodes.names import parse_scenario, scenario_of
from mobile_vla_ros.episodes.row import decode_jpeg
from mobile_vla_ros.episodes.schema import EpisodeError
from mobile_vla_ros.episodes.stored import (
    LARGEST_FRAME,
    check_dataset,
    first_line,
    little_memory,
    open_file,
    read_rows,
)
from mobile_vla_ros.files import sha256_of

_LONGEST_PERIOD = 3600.0  # s between two frames of a policy; beyond it the file is wrong


def open_episode(
    path: str | Path,
    *,
    action_axes: Sequence[str] | None = None,
    instruction: str | None = None,
    frame_period: float | None = None,
) -> Episode:
    """Opens an episode for reading.

    Args:
        path: an episode file; a ``.part`` file opens too, with its committed rows.
        action_axes: names of the action columns, for old files that do not say and are not what
            is assumed (3 columns: linear.x, linear.y, angular.z; 2: linear.x, angular.z).
        instruction: for old files without one; else it comes from the scenario in the name.
        frame_period: spacing of the rows of an old file, in seconds (0.4 when it does not say).

    Raises:
        EpisodeError: it is no HDF5 file, is truncated, or lacks what an episode has.
    """
    return Episode(path, action_axes, instruction, frame_period)


class Episode:
    """One episode; a context manager.

    Attributes:
        path: the file.
        actions: float32 [T, A], m/s and rad/s, columns named by ``action_axes``.
        action_axes: names of the columns.
        action_axes_confirmed: False when the file does not say and the default was taken.
        image_stamps, received_stamps, action_stamps: float64 [T], seconds; for old files row i
            is taken as i x frame_period.
        stamped: False for old files, whose stamps are assumed.
        events: one of the event names per row.
        odom: float64 [T,7] (x, y, yaw, vx, vy, wz, stamp) or None.
        taken_over: bool [T], where a person had taken over from the policy, or None.
        instruction: what the robot was told; empty when nothing says.
        instruction_source: ``file``, ``given``, ``scenario`` or empty.
        scenario: from the file, else from its name; empty for another name.
        side: ``left``, ``right`` or None, from the scenario.
        frame_period: spacing in seconds that a policy takes frames at.
        outcome, complete, attributes, camera: as stored; old files are complete. What another
            program stored in its own way (a text in an array, a word for a truth value, a null)
            is read as what it means; see ``problems`` for what cannot be.
        image_format: ``raw`` or ``jpeg``.
    """

    def __init__(
        self,
        path: str | Path,
        action_axes: Sequence[str] | None = None,
        instruction: str | None = None,
        frame_period: float | None = None,
    ) -> None:
        self.path = Path(path)
        self._file = open_file(self.path)
        try:
            with little_memory():
                self._read(action_axes, instruction, frame_period)
        except EpisodeError:
            self._file.close()
            raise
        except READ_ERRORS as error:
            self._file.close()
            raise EpisodeError(f"{self.path} is damaged: {first_line(error)}") from error

    def __len__(self) -> int:
        return self._length

    def __enter__(self) -> Episode:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file; what was read stays usable."""
        self._file.close()

    def image(self, row: int) -> np.ndarray:
        """The frame of a row: uint8 [H,W,3] RGB.

        Raises:
            IndexError: there is no such row (negative rows count from the end).
            EpisodeError: the frame cannot be read or decoded.
        """
        row = self._row(row)
        if self.image_format == "jpeg":
            return decode_jpeg(self._compressed(row), f"{self.path.name} row {row}")
        try:
            with little_memory():
                return self._file[schema.IMAGES][row]
        except READ_ERRORS as error:
            raise EpisodeError(
                f"{self.path}: the frame of row {row} cannot be read: {first_line(error)}"
            ) from error

    def images(self, rows: slice | Sequence[int] | np.ndarray) -> np.ndarray:
        """The frames of several rows: uint8 [N,H,W,3] RGB."""
        if isinstance(rows, slice):
            rows = range(len(self))[rows]
        frames = [self.image(int(row)) for row in rows]
        if not frames:
            return np.zeros((0, *self.image_shape), np.uint8)
        for row, frame in enumerate(frames):
            if frame.shape != frames[0].shape:
                raise EpisodeError(
                    f"{self.path}: the frames change size, from {_size(frames[0])} to "
                    f"{_size(frame)} ({row} frames on); split the episode there"
                )
        return np.stack(frames)

    def jpeg(self, row: int) -> bytes | None:
        """The compressed frame as it is stored, or None in a raw episode."""
        return self._compressed(self._row(row)) if self.image_format == "jpeg" else None

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, 3) of the frames."""
        if self.image_format == "raw":
            return tuple(self._file[schema.IMAGES].shape[1:])
        return self.image(0).shape

    def velocities(self, axes: Sequence[str]) -> np.ndarray:
        """The action columns of these names: float32 [T, len(axes)], m/s and rad/s.

        Raises:
            EpisodeError: the episode has no column of that name.
        """
        missing = [axis for axis in axes if axis not in self.action_axes]
        if missing:
            raise EpisodeError(
                f"{self.path.name} has no action column {missing[0]!r}; "
                f"its columns are {', '.join(self.action_axes)}"
            )
        return self.actions[:, [self.action_axes.index(axis) for axis in axes]]

    def require_order(self) -> None:
        """Demands what every use of commands by time rests on.

        Raises:
            EpisodeError: a command or a stamp is not a number, or the image stamps do not rise.
        """
        if not (np.isfinite(self.actions).all() and np.isfinite(self.image_stamps).all()):
            raise EpisodeError(f"{self.path}: a command or a stamp is not a number")
        back = np.flatnonzero(np.diff(self.image_stamps) <= 0)
        if len(back):
            raise EpisodeError(f"{self.path}: the image stamps do not rise after row {back[0]}")

    @property
    def problems(self) -> tuple[str, ...]:
        """One sentence for each attribute that says something else than it should."""
        return tuple(self._facts.problems)

    def number(self, name: str) -> float | None:
        """A number among the attributes; None when there is none."""
        return self._facts.number(name)

    def count(self, name: str) -> int | None:
        """A whole number, 0 or above, among the attributes; None when there is none."""
        return self._facts.count(name)

    def sha256(self) -> str:
        """Hash of the file's bytes, in hexadecimal."""
        return sha256_of(self.path)

    def _row(self, row: int) -> int:
        if not -len(self) <= row < len(self):
            raise IndexError(f"{self.path.name} has {len(self)} rows, not row {row}")
        return row % len(self)

    def _compressed(self, row: int) -> bytes:
        start, end = int(self._ends[row - 1]) if row else 0, int(self._ends[row])
        flat = self._file[schema.JPEG]
        if not 0 <= start <= end <= min(len(flat), start + LARGEST_FRAME):
            raise EpisodeError(
                f"{self.path}: the frame of row {row} cannot be read: it should lie at bytes "
                f"{start} to {end} of {len(flat)}"
            )
        try:
            with little_memory():
                return flat[start:end].tobytes()
        except READ_ERRORS as error:
            raise EpisodeError(
                f"{self.path}: the frame of row {row} cannot be read: {first_line(error)}"
            ) from error

    def _read(
        self,
        action_axes: Sequence[str] | None,
        instruction: str | None,
        frame_period: float | None,
    ) -> None:
        file = self._file
        self._facts = Facts()
        self._facts.read(file.attrs)
        more = file.get(schema.MORE)
        if isinstance(more, h5py.Group):
            self._facts.read_group(more)
        self.attributes: dict[str, Any] = self._facts
        self.image_format = "jpeg" if schema.JPEG in file else "raw"
        frames = self._frame_dataset()
        self.actions = self._actions()
        lengths = {frames.name.strip("/"): len(frames), schema.ACTIONS: len(self.actions)}
        committed = self._committed()
        if committed is None and len(set(lengths.values())) > 1:
            said = " but ".join(f"{count} {name}" for name, count in lengths.items())
            raise EpisodeError(f"{self.path} has {said}; it is no usable episode")
        self._length = min([*lengths.values(), *([] if committed is None else [committed])])
        if self._length < 1:
            raise EpisodeError(f"{self.path} has no frames")
        self.actions = self.actions[: len(self)]
        if self.image_format == "jpeg":
            self._ends = read_rows(self.path, frames, len(self)).astype(np.int64)
        self._read_axes(action_axes)
        self.frame_period = self._period(frame_period)
        self._read_stamps()
        self.events = self._events()
        self.odom = self._odometry()
        taken = self._rows(schema.TAKEN_OVER, "biuf")
        self.taken_over = None if taken is None else taken.astype(bool)
        self.scenario = self._facts.text("scenario") or scenario_of(self.path.name)
        self.side = parse_scenario(self.scenario).side
        self._read_instruction(instruction)
        self.outcome = self._facts.text("outcome")
        # What says neither is not known to have been ended on purpose.
        self.complete = self._facts.flag("complete", default=True, otherwise=False)
        self.camera = self._camera()

    def _committed(self) -> int | None:
        data = check_dataset(self.path, self._file, schema.COMMITTED)
        if data is None:
            return None
        if data.size != 1 or data.dtype.kind not in "iu":
            raise EpisodeError(f"{self.path} is damaged: {schema.COMMITTED} is no count")
        return int(np.ravel(data[()])[0])

    def _rows(self, name: str, kinds: str) -> np.ndarray | None:
        """The rows of a small data set, [T, ...]; None when the file has none of that name."""
        data = check_dataset(self.path, self._file, name)
        if data is None:
            return None
        if data.ndim < 1 or data.dtype.kind not in kinds or len(data) < len(self):
            raise EpisodeError(
                f"{self.path}: {name} is {data.dtype} {list(data.shape or ())} for "
                f"{len(self)} frames"
            )
        return read_rows(self.path, data, len(self))

    def _odometry(self) -> np.ndarray | None:
        rows = self._rows(schema.ODOM, "fiu")
        if rows is None:
            return None
        columns = len(schema.ODOM_COLUMNS)
        if rows.shape != (len(self), columns):
            raise EpisodeError(
                f"{self.path}: {schema.ODOM} is {list(rows.shape)} instead of "
                f"[{len(self)}, {columns}] ({', '.join(schema.ODOM_COLUMNS)})"
            )
        return rows.astype(np.float64)

    def _frame_dataset(self) -> h5py.Dataset:
        file = self._file
        if self.image_format == "jpeg":
            ends = check_dataset(self.path, file, schema.JPEG_END)
            flat = check_dataset(self.path, file, schema.JPEG)
            if flat is None or flat.ndim != 1 or flat.dtype != np.uint8:
                raise EpisodeError(f"{self.path}: {schema.JPEG} is not a row of bytes")
            if ends is None or ends.ndim != 1 or ends.dtype.kind not in "iu":
                raise EpisodeError(f"{self.path} has {schema.JPEG} without {schema.JPEG_END}")
            return ends
        images = check_dataset(self.path, file, schema.IMAGES)
        if images is None:
            raise EpisodeError(f"{self.path} has no {schema.IMAGES}; it is no episode")
        if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
            raise EpisodeError(
                f"{self.path}: {schema.IMAGES} is {images.dtype} {list(images.shape)} instead of "
                "uint8 [T,H,W,3]"
            )
        if not images.shape[1] or not images.shape[2]:
            raise EpisodeError(f"{self.path}: the {schema.IMAGES} have no pixels")
        return images

    def _actions(self) -> np.ndarray:
        data = check_dataset(self.path, self._file, schema.ACTIONS)
        if data is None:
            raise EpisodeError(f"{self.path} has no {schema.ACTIONS}; it cannot be used")
        if data.ndim != 2 or data.dtype.kind not in "fiu":
            raise EpisodeError(
                f"{self.path}: {schema.ACTIONS} is {data.dtype} {list(data.shape)} instead of "
                "float32 [T, columns]"
            )
        with np.errstate(over="ignore"):  # a number beyond float32 becomes infinite: check says
            return read_rows(self.path, data).astype(np.float32)

    def _read_axes(self, given: Sequence[str] | None) -> None:
        columns = self.actions.shape[1]
        stored = self.attributes.get("action_axes")
        if stored is not None:
            axes = tuple(_names(stored))
        else:
            axes = tuple(given) if given else schema.default_axes(columns)
        self.action_axes_confirmed = stored is not None or given is not None
        twice = sorted({axis for axis in axes if axes.count(axis) > 1})
        if twice:
            raise EpisodeError(f"{self.path}: the action axis {twice[0]!r} stands twice")
        if len(axes) != columns:
            names = f" for the names {', '.join(axes)}" if axes else "; name them by action_axes"
            raise EpisodeError(f"{self.path}: {schema.ACTIONS} has {columns} columns{names}")
        self.action_axes: tuple[str, ...] = axes

    def _period(self, given: float | None) -> float:
        stored = self.attributes.get("frame_period")
        period = self._facts.number("frame_period") if stored is not None else given
        if period is None and stored is None:
            return schema.DEFAULT_FRAME_PERIOD
        if period is None or not 0 < period <= _LONGEST_PERIOD:
            said = stored if period is None else period
            raise EpisodeError(
                f"{self.path}: frame_period is {str(said)[:60]}; it must be a positive number of "
                "seconds"
            )
        return period

    def _read_stamps(self) -> None:
        self.stamped = schema.IMAGE_STAMPS in self._file
        assumed = np.arange(len(self)) * self.frame_period
        found = []
        for name in (schema.IMAGE_STAMPS, schema.RECEIVED_STAMPS, schema.ACTION_STAMPS):
            stamps = assumed
            rows = self._rows(name, "fiu")
            if rows is not None:
                stamps = rows.astype(np.float64)
                if stamps.shape != (len(self),):
                    raise EpisodeError(
                        f"{self.path}: {name} is {list(stamps.shape)} for {len(self)} frames"
                    )
            found.append(stamps)
        self.image_stamps, self.received_stamps, self.action_stamps = found

    def _events(self) -> list[str]:
        data = check_dataset(self.path, self._file, schema.EVENTS)
        if data is None or data.ndim != 1 or data.dtype.kind not in "OS":
            return ["start_action"] * len(self)
        events = [decode(item) for item in read_rows(self.path, data, len(self))]
        return events + ["start_action"] * (len(self) - len(events))

    def _read_instruction(self, given: str | None) -> None:
        text = self._facts.text("instruction")
        field = None if text.strip() else check_dataset(self.path, self._file, schema.INSTRUCTION)
        if field is not None and field.size and field.dtype.kind in "OSU":
            text = decode(np.ravel(read_rows(self.path, field, 1))[0])
        self.instruction, self.instruction_source = text.strip(), "file"
        if not self.instruction and given:
            self.instruction, self.instruction_source = given, "given"
        if not self.instruction:
            self.instruction = parse_scenario(self.scenario).instruction
            self.instruction_source = "scenario" if self.instruction else ""

    def _camera(self) -> dict[str, Any]:
        try:
            camera = json.loads(self._facts.text("camera") or "{}")
        except (ValueError, RecursionError):
            return {}
        return camera if isinstance(camera, dict) else {}


def _size(image: np.ndarray) -> str:
    return f"{image.shape[1]} x {image.shape[0]}"


def _names(value: Any) -> list[str]:
    """Axis names stored as a list, as JSON, or separated by commas."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = value.split(",")
    if isinstance(value, str) or not isinstance(value, Iterable):
        value = [value]
    return [str(item).strip() for item in value]
