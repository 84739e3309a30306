"""Opens an episode, ours or an old one, raw or JPEG, and reads only what is asked for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np

from mobile_vla_ros.episodes import schema
from mobile_vla_ros.episodes.names import parse_scenario, scenario_of
from mobile_vla_ros.episodes.schema import EpisodeError
from mobile_vla_ros.episodes.writer import decode_jpeg

_HDF5 = b"\x89HDF\r\n\x1a\n"
_READ_ERRORS = (OSError, RuntimeError, KeyError, ValueError)


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
        outcome, complete, attributes, camera: as stored; old files are complete.
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
        self._file = _open(self.path)
        try:
            self._read(action_axes, instruction, frame_period)
        except EpisodeError:
            self._file.close()
            raise
        except _READ_ERRORS as error:
            self._file.close()
            raise EpisodeError(f"{self.path} is damaged: {_first_line(error)}") from error

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
            return self._file[schema.IMAGES][row]
        except _READ_ERRORS as error:
            raise EpisodeError(
                f"{self.path}: the frame of row {row} cannot be read: {_first_line(error)}"
            ) from error

    def images(self, rows: slice | Sequence[int] | np.ndarray) -> np.ndarray:
        """The frames of several rows: uint8 [N,H,W,3] RGB."""
        if isinstance(rows, slice):
            rows = range(len(self))[rows]
        frames = [self.image(int(row)) for row in rows]
        if not frames:
            return np.zeros((0, *self.image_shape), np.uint8)
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

    def sha256(self) -> str:
        """Hash of the file's bytes, in hexadecimal."""
        return file_sha256(self.path)

    def _row(self, row: int) -> int:
        if not -len(self) <= row < len(self):
            raise IndexError(f"{self.path.name} has {len(self)} rows, not row {row}")
        return row % len(self)

    def _compressed(self, row: int) -> bytes:
        start = int(self._ends[row - 1]) if row else 0
        try:
            return self._file[schema.JPEG][start : int(self._ends[row])].tobytes()
        except _READ_ERRORS as error:
            raise EpisodeError(
                f"{self.path}: the frame of row {row} cannot be read: {_first_line(error)}"
            ) from error

    def _read(
        self,
        action_axes: Sequence[str] | None,
        instruction: str | None,
        frame_period: float | None,
    ) -> None:
        file = self._file
        self.attributes: dict[str, Any] = {name: _value(file.attrs[name]) for name in file.attrs}
        more = file.get(schema.MORE)
        if isinstance(more, h5py.Group):
            self.attributes.update({name: _value(more[name][()]) for name in more})
        self.image_format = "jpeg" if schema.JPEG in file else "raw"
        frames = self._frame_dataset()
        self.actions = self._actions()
        lengths = {frames.name.strip("/"): len(frames), schema.ACTIONS: len(self.actions)}
        committed = int(file[schema.COMMITTED][()]) if schema.COMMITTED in file else None
        if committed is None and len(set(lengths.values())) > 1:
            said = " but ".join(f"{count} {name}" for name, count in lengths.items())
            raise EpisodeError(f"{self.path} has {said}; it is no usable episode")
        self._length = min([*lengths.values(), *([] if committed is None else [committed])])
        if self._length < 1:
            raise EpisodeError(f"{self.path} has no frames")
        self.actions = self.actions[: len(self)]
        if self.image_format == "jpeg":
            self._ends = file[schema.JPEG_END][: len(self)].astype(np.int64)
        self._read_axes(action_axes)
        self.frame_period = self._period(frame_period)
        self._read_stamps()
        self.events = self._events()
        self.odom = file[schema.ODOM][: len(self)] if schema.ODOM in file else None
        self.taken_over = (
            file[schema.TAKEN_OVER][: len(self)].astype(bool)
            if schema.TAKEN_OVER in file
            else None
        )
        self.scenario = str(self.attributes.get("scenario") or scenario_of(self.path.name))
        self.side = parse_scenario(self.scenario).side
        self._read_instruction(instruction)
        self.outcome = str(self.attributes.get("outcome", ""))
        self.complete = bool(self.attributes.get("complete", True))
        self.camera = self._camera()

    def _frame_dataset(self) -> h5py.Dataset:
        file = self._file
        if self.image_format == "jpeg":
            ends = file.get(schema.JPEG_END)
            if not isinstance(ends, h5py.Dataset) or ends.ndim != 1 or ends.dtype.kind not in "iu":
                raise EpisodeError(f"{self.path} has {schema.JPEG} without {schema.JPEG_END}")
            return ends
        images = file.get(schema.IMAGES)
        if not isinstance(images, h5py.Dataset):
            raise EpisodeError(f"{self.path} has no {schema.IMAGES}; it is no episode")
        if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
            raise EpisodeError(
                f"{self.path}: {schema.IMAGES} is {images.dtype} {list(images.shape)} instead of "
                "uint8 [T,H,W,3]"
            )
        return images

    def _actions(self) -> np.ndarray:
        data = self._file.get(schema.ACTIONS)
        if not isinstance(data, h5py.Dataset):
            raise EpisodeError(f"{self.path} has no {schema.ACTIONS}; it cannot be used")
        if data.ndim != 2 or data.dtype.kind not in "fiu":
            raise EpisodeError(
                f"{self.path}: {schema.ACTIONS} is {data.dtype} {list(data.shape)} instead of "
                "float32 [T, columns]"
            )
        return data[()].astype(np.float32)

    def _read_axes(self, given: Sequence[str] | None) -> None:
        columns = self.actions.shape[1]
        stored = self.attributes.get("action_axes")
        if stored is not None:
            axes = tuple(_names(stored))
        else:
            axes = tuple(given) if given else schema.default_axes(columns)
        self.action_axes_confirmed = stored is not None or given is not None
        if len(axes) != columns:
            names = f" for the names {', '.join(axes)}" if axes else "; name them by action_axes"
            raise EpisodeError(f"{self.path}: {schema.ACTIONS} has {columns} columns{names}")
        self.action_axes: tuple[str, ...] = axes

    def _period(self, given: float | None) -> float:
        stored = self.attributes.get("frame_period", given)
        period = schema.DEFAULT_FRAME_PERIOD if stored is None else float(stored)
        if not period > 0:
            raise EpisodeError(f"{self.path}: frame_period is {period}; it must be positive")
        return period

    def _read_stamps(self) -> None:
        self.stamped = schema.IMAGE_STAMPS in self._file
        assumed = np.arange(len(self)) * self.frame_period
        found = []
        for name in (schema.IMAGE_STAMPS, schema.RECEIVED_STAMPS, schema.ACTION_STAMPS):
            stamps = assumed
            if name in self._file:
                stamps = self._file[name][: len(self)].astype(np.float64)
                if stamps.shape != (len(self),):
                    raise EpisodeError(
                        f"{self.path}: {name} has {len(stamps)} values for {len(self)} frames"
                    )
            found.append(stamps)
        self.image_stamps, self.received_stamps, self.action_stamps = found

    def _events(self) -> list[str]:
        data = self._file.get(schema.EVENTS)
        if not isinstance(data, h5py.Dataset) or data.ndim != 1:
            return ["start_action"] * len(self)
        events = [_text(item) for item in data[: len(self)]]
        return events + ["start_action"] * (len(self) - len(events))

    def _read_instruction(self, given: str | None) -> None:
        text = str(self.attributes.get("instruction", ""))
        field = self._file.get(schema.INSTRUCTION)
        if not text and isinstance(field, h5py.Dataset) and field.size:
            text = _text(np.ravel(field[()])[0])
        self.instruction, self.instruction_source = text.strip(), "file"
        if not self.instruction and given:
            self.instruction, self.instruction_source = given, "given"
        if not self.instruction:
            self.instruction = parse_scenario(self.scenario).instruction
            self.instruction_source = "scenario" if self.instruction else ""

    def _camera(self) -> dict[str, Any]:
        try:
            camera = json.loads(str(self.attributes.get("camera", "{}")))
        except json.JSONDecodeError:
            return {}
        return camera if isinstance(camera, dict) else {}


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal, read a piece at a time."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _open(path: Path) -> h5py.File:
    if path.is_dir():
        raise EpisodeError(f"{path} is a folder, not an episode file")
    try:
        with path.open("rb") as stream:
            head = stream.read(len(_HDF5))
    except FileNotFoundError:
        raise EpisodeError(f"{path} does not exist") from None
    except OSError as error:
        raise EpisodeError(f"cannot read {path}: {error.strerror}") from error
    if not head:
        raise EpisodeError(f"{path} is empty (0 bytes)")
    if head != _HDF5:
        raise EpisodeError(f"{path} is not an HDF5 file")
    try:
        return h5py.File(path, "r", locking=False)
    except OSError as error:
        if "truncated" in str(error):
            raise EpisodeError(f"{path} is truncated; copy it again or delete it") from error
        raise EpisodeError(f"{path} cannot be opened: {_first_line(error)}") from error


def _value(value: Any) -> Any:
    """An attribute as plain Python: text as str, numpy scalars as numbers."""
    if isinstance(value, bytes):
        return _text(value)
    if isinstance(value, np.ndarray) and value.dtype.kind in "OS":
        return [_text(item) for item in value.ravel()]
    if isinstance(value, np.generic):
        return value.item()
    return value


def _names(value: Any) -> list[str]:
    """Axis names stored as a list, as JSON, or separated by commas."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            value = value.split(",")
    return [str(item).strip() for item in value]


def _text(value: Any) -> str:
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0]
