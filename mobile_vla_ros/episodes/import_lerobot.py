"""Makes episodes of a LeRobotDataset, ours or anybody's, version 2 or 3, pictures or video."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from mobile_vla_ros.episodes import schema
from mobile_vla_ros.episodes.lerobot import layout
from mobile_vla_ros.episodes.lerobot.source import Entry, Source
from mobile_vla_ros.episodes.lerobot.velocities import Column, find_velocities, names_of, take
from mobile_vla_ros.episodes.names import check_scenario, unique_path
from mobile_vla_ros.episodes.schema import EpisodeError
from mobile_vla_ros.episodes.writer import EpisodeWriter
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.hub import origin_of
from mobile_vla_ros.pictures import ImageError, decode_compressed
from mobile_vla_ros.rig import ATTRIBUTE, Rig, completed, rig_of

# Where time begins for data that does not say when it was recorded: 1 January 2000, UTC.
_NO_DATE = 946_684_800.0
_BETWEEN = 1.0  # seconds put between two such episodes
_TIMES = (layout.STAMP, "timestamp", "frame_index", "task_index")


@dataclass(frozen=True)
class LerobotOptions:
    """How a data set is to be read.

    Attributes:
        camera: the feature, or the last part of its name; empty where there is just one.
        columns: velocity axis -> column, see ``velocities.find_velocities``.
        degrees: what angles are in; None: as the names say.
        scenario: of episodes that name none.
        instruction: for episodes that have no task.
        frame_period: spacing in seconds that a policy takes frames at.
        image_format: of video frames, ``raw`` or ``jpeg``; pictures stay as they are.
        episodes: only these; None: all.
        rig: what a person knows of the camera; it goes before what the data set says.
    """

    camera: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    degrees: bool | None = None
    scenario: str = "lerobot"
    instruction: str = ""
    frame_period: float = schema.DEFAULT_FRAME_PERIOD
    image_format: str = "raw"
    episodes: Sequence[int] | None = None
    rig: Rig = field(default_factory=Rig)


@dataclass(frozen=True)
class LerobotImport:
    """What came in.

    Attributes:
        files: the episodes.
        frames: rows in them.
        refused: (episode's number, why) of those that could not be used.
        camera: the feature that the frames came from.
        columns: what each velocity axis was called.
        notes: what was taken for granted, a sentence each.
    """

    files: tuple[Path, ...]
    frames: int
    refused: tuple[tuple[int, str], ...]
    camera: str
    columns: dict[str, str]
    notes: tuple[str, ...]


def import_lerobot(
    source: str | Path,
    out: str | Path,
    options: LerobotOptions | None = None,
    *,
    progress: Callable[[Iterable[Any], str], Iterable[Any]] = lambda items, _: items,
) -> LerobotImport:
    """Reads a data set into a folder of episodes, each whole or not at all.

    Args:
        source: the data set's folder.
        out: folder for the episodes; made if it is missing.
        options: camera, columns and what the data set does not say.
        progress: wraps the list of episodes, e.g. in a progress bar.

    Raises:
        EpisodeError: it is no data set, has no camera or several, or no velocities; or not one
            episode could be used.
    """
    layout.require("pyarrow", "import-lerobot", "bags")
    options = options or LerobotOptions()
    check_scenario(options.scenario)
    data = Source(source)
    reader = _Reader(data, options)
    chosen = _chosen(data, options.episodes)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    refused: list[tuple[int, str]] = []
    frames = 0
    for entry in progress(chosen, "importing"):
        try:
            path, rows = reader.bring_in(entry, folder)
        except InputError as error:
            refused.append((entry.index, str(error)))
            continue
        files.append(path)
        frames += rows
    if not files:
        first = f"episode {refused[0][0]}: {refused[0][1]}" if refused else "it has no episodes"
        raise EpisodeError(f"no episode of {source} could be used; {first}")
    return LerobotImport(
        tuple(files),
        frames,
        tuple(refused),
        reader.camera,
        {axis: column.name for axis, column in reader.columns.items()},
        tuple(reader.notes),
    )


def _chosen(data: Source, wanted: Sequence[int] | None) -> list[Entry]:
    if wanted is None:
        return data.entries
    there = {entry.index: entry for entry in data.entries}
    missing = [number for number in wanted if number not in there]
    if missing:
        raise EpisodeError(f"{data.root} has no episode {missing[0]}; it has {len(there)}")
    return [there[number] for number in wanted]


class _Reader:
    """Turns entries of one data set into episodes."""

    def __init__(self, data: Source, options: LerobotOptions) -> None:
        self._data = data
        self._options = options
        self.camera = _choose_camera(data, options.camera)
        self.columns = find_velocities(data.features, options.columns, options.degrees)
        if data.video_key(self.camera):
            layout.require("av", "a data set with video", "lerobot")
        self.notes: list[str] = []
        self._origin = origin_of(data.root) or data.root.name
        self._odometry = _odometry_columns(data.features)
        self._clock = _NO_DATE
        if any(column.degrees for column in self.columns.values()):
            self.notes.append("angular velocities are taken as degrees/s")

    def bring_in(self, entry: Entry, folder: Path) -> tuple[Path, int]:
        """Writes one episode; its path and its rows."""
        if entry.length < 1:
            raise EpisodeError("it has no rows")
        features = {column.feature for column in self.columns.values()}
        names = [*features, *_TIMES, layout.STATE]
        numbers = self._data.numbers(entry, names)
        actions = take(numbers, self.columns)
        instruction = self._instruction(entry, numbers)
        ticks = self._ticks(numbers, entry)
        stamps = self._stamps(numbers, entry, ticks)
        odometry = self._odometry_rows(numbers, stamps, entry)
        scenario = self._scenario(entry)
        video = self._data.video_key(self.camera)
        writer = EpisodeWriter(
            unique_path(folder, datetime.fromtimestamp(stamps[0]), scenario),
            scenario=scenario,
            instruction=instruction,
            action_axes=tuple(self.columns),
            frame_period=float(entry.facts.get("frame_period") or self._options.frame_period),
            image_format=self._options.image_format if video else "jpeg",
            camera={"topic": self.camera},
            odom=odometry is not None,
            attributes={
                "imported_from": f"{self._origin} episode {entry.index}",
                "stamps_from": "recording" if _dated(entry) else "frame rate",
                ATTRIBUTE: completed(self._options.rig, rig_of(entry.facts)).to_json(),
            },
            flush=False,
        )
        with contextlib.ExitStack() as undo:
            undo.callback(writer.discard)
            for row, frame in enumerate(self._frames(entry, ticks)):
                writer.append(
                    **frame,
                    action=actions[row],
                    event="start_action" if row else "episode_start",
                    image_stamp=stamps[row],
                    received_stamp=stamps[row],
                    action_stamp=stamps[row],
                    odom=None if odometry is None else odometry[row],
                )
            if writer.rows != entry.length:
                raise EpisodeError(f"it has {writer.rows} pictures for {entry.length} rows")
            path = writer.finish(outcome=str(entry.facts.get("outcome") or ""))
            undo.pop_all()
        return path, entry.length

    def _frames(self, entry: Entry, ticks: np.ndarray) -> Iterator[dict[str, Any]]:
        shape: tuple[int, ...] | None = None
        if self._data.video_key(self.camera):
            for image in self._data.video_frames(entry, self.camera, ticks):
                yield {"image": image}
            return
        for row, data in enumerate(self._data.pictures(entry, self.camera)):
            try:
                image = decode_compressed(data)
            except ImageError as error:
                raise EpisodeError(f"its picture in row {row} cannot be read: {error}") from None
            if shape is not None and image.shape != shape:
                raise EpisodeError(f"its picture in row {row} has another size than the first")
            shape = image.shape
            yield {"jpeg": data}

    def _instruction(self, entry: Entry, numbers: Mapping[str, np.ndarray]) -> str:
        indices = numbers.get("task_index")
        if indices is not None and np.isfinite(indices).all():
            used = sorted({int(index) for index in indices[:, 0]})
            words = [self._data.tasks[index] for index in used if index in self._data.tasks]
            if len(used) == len(words) == 1 and words[0].strip():
                return words[0].strip()
            if len(words) > 1:
                said = " / ".join(words[:3])
                raise EpisodeError(f"it has {len(words)} tasks ({said}); an episode has one")
        words = [word for word in entry.tasks if word.strip()]
        if words:
            return words[0].strip()
        if self._options.instruction:
            return self._options.instruction
        raise EpisodeError("it has no task; give one with --instruction")

    def _ticks(self, numbers: Mapping[str, np.ndarray], entry: Entry) -> np.ndarray:
        """Seconds from the episode's start at which the data set has its frames."""
        times = numbers.get("timestamp")
        if times is not None and _rises(times[:, 0]):
            return times[:, 0]
        frames = numbers.get("frame_index")
        if frames is not None and not _rises(frames[:, 0]):
            raise EpisodeError("neither its timestamps nor its frame numbers rise")
        self._note(f"episode {entry.index}: its timestamps do not rise; the frame rate is taken")
        return np.arange(entry.length) / self._data.fps

    def _stamps(
        self, numbers: Mapping[str, np.ndarray], entry: Entry, ticks: np.ndarray
    ) -> np.ndarray:
        """Capture times: true ones where the data set keeps them, else from its frame rate."""
        true = numbers.get(layout.STAMP)
        if _dated(entry) and true is not None and _rises(true[:, 0]):
            return float(entry.facts["start_stamp"]) + true[:, 0]
        self._note(
            "the data set does not say when it was recorded: stamps follow its frame rate from "
            f"{datetime.fromtimestamp(_NO_DATE, timezone.utc):%Y-%m-%d} on"
        )
        stamps = self._clock + ticks - ticks[0]
        self._clock = math.ceil(stamps[-1] + _BETWEEN)
        return stamps

    def _odometry_rows(
        self, numbers: Mapping[str, np.ndarray], stamps: np.ndarray, entry: Entry
    ) -> np.ndarray | None:
        """float64 [T, 7]: x, y, yaw, vx, vy, wz, stamp; NaN rows where it is not known."""
        state = numbers.get(layout.STATE)
        if self._odometry is None or state is None or state.shape[1] < len(self._odometry):
            return None
        rows = np.column_stack([state[:, column.index] for column in self._odometry])
        turned = [column.degrees for column in self._odometry]
        rows = np.where(turned, np.deg2rad(rows), rows)
        lost = ~np.isfinite(rows).all(axis=1)
        if lost.any():
            self._note(
                f"episode {entry.index}: {int(lost.sum())} rows of its state are not numbers and "
                "count as rows without odometry"
            )
        return np.where(lost[:, None], np.nan, np.column_stack([rows, stamps]))

    def _scenario(self, entry: Entry) -> str:
        named = entry.facts.get("scenario")
        if isinstance(named, str) and named:
            with contextlib.suppress(EpisodeError):
                return check_scenario(named)
        return self._options.scenario

    def _note(self, sentence: str) -> None:
        if sentence not in self.notes:
            self.notes.append(sentence)


def _choose_camera(data: Source, wanted: str) -> str:
    cameras = data.cameras()
    if not cameras:
        raise EpisodeError(f"{data.root} has no camera")
    if wanted:
        fitting = [name for name in cameras if wanted in (name, name.split(".")[-1])]
        if len(fitting) == 1:
            return fitting[0]
        raise EpisodeError(f"{data.root} has no camera {wanted!r}; it has {', '.join(cameras)}")
    if len(cameras) > 1:
        raise EpisodeError(
            f"{data.root} has several cameras ({', '.join(cameras)}); name one by --camera"
        )
    return cameras[0]


def _odometry_columns(features: Mapping[str, Any]) -> list[Column] | None:
    """Where a state holds a base's pose and velocity under the names we write, or None."""
    names = names_of(features.get(layout.STATE, {}))
    for convention in layout.NAMES:
        wanted = layout.column_names(layout.STATE_COLUMNS, convention)
        if all(name in names for name in wanted):
            return [
                Column(layout.STATE, names.index(name), name, layout.in_degrees(name))
                for name in wanted
            ]
    return None


def _dated(entry: Entry) -> bool:
    start = entry.facts.get("start_stamp")
    return isinstance(start, float) and math.isfinite(start)


def _rises(values: np.ndarray) -> bool:
    return bool(np.isfinite(values).all() and (np.diff(values) > 0).all())
