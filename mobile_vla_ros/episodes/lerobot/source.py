"""Reads a LeRobotDataset of version 2 or 3, whoever wrote it, one episode at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mobile_vla_ros.episodes.lerobot import layout
from mobile_vla_ros.episodes.lerobot.video import decode_timed
from mobile_vla_ros.episodes.schema import EpisodeError
from mobile_vla_ros.files import text_of

_ROWS_AT_ONCE = 32  # pictures held while a table is read
_VISUAL = ("video", "image")
_V2_DATA = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
_V2_VIDEO = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"


@dataclass(frozen=True)
class Entry:
    """One episode as the data set lists it.

    Attributes:
        index: its ``episode_index``.
        length: its rows, as listed.
        tasks: its instructions.
        facts: the whole row of the table of episodes.
    """

    index: int
    length: int
    tasks: tuple[str, ...]
    facts: dict[str, Any] = field(default_factory=dict)


class Source:
    """A data set that is read.

    Attributes:
        root: its folder.
        info: its ``info.json``.
        features: what the columns are.
        fps: frames per second, whole or not.
        tasks: instruction by task index.
        entries: its episodes.

    Raises:
        EpisodeError: it is no such data set, or of a version that is not known.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self.info = read_info(self.root)
        self.major = _major(self.root, self.info)
        self.features: dict[str, Any] = self.info["features"]
        self.fps = float(self.info["fps"])
        self.tasks = read_tasks(self.root, self.major)
        self.entries = read_entries(self.root, self.major)

    def cameras(self) -> list[str]:
        """The features that are pictures in colour."""
        return [
            name
            for name, entry in self.features.items()
            if entry.get("dtype") in _VISUAL and not _is_depth(entry)
        ]

    def numbers(self, entry: Entry, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Columns of an episode as float64 [N, D]; those that the table lacks are left out.

        Raises:
            EpisodeError: the table is missing, cannot be read, or has other rows than listed.
        """
        path = self._data_path(entry)
        found: dict[str, list[Any]] = {}
        rows = 0
        for batch in self._batches(entry, path, names):
            rows += batch.num_rows
            for name in batch.schema.names:
                found.setdefault(name, []).extend(batch.column(name).to_pylist())
        if rows != entry.length:
            raise EpisodeError(f"{path.name} has {rows} rows of it, but {entry.length} are listed")
        return {name: _matrix(values, name) for name, values in found.items()}

    def pictures(self, entry: Entry, camera: str) -> Iterator[bytes]:
        """The picture files' bytes of an episode whose pictures lie in its table.

        Raises:
            EpisodeError: a picture is missing, or its path leads out of the data set.
        """
        for batch in self._batches(entry, self._data_path(entry), [camera]):
            if camera not in batch.schema.names:
                raise EpisodeError(f"its table has no column {camera}")
            for row, value in enumerate(batch.column(camera).to_pylist()):
                data = value.get("bytes") if isinstance(value, dict) else None
                if data is None:
                    data = self._picture_file(value, row)
                yield data

    def video_frames(
        self, entry: Entry, camera: str, timestamps: np.ndarray
    ) -> Iterator[np.ndarray]:
        """The video's frames at these times (seconds from the episode's start), uint8 [H,W,3].

        Raises:
            EpisodeError: the video is missing, damaged, or shorter than its table.
        """
        path, start, end = self._video_place(entry, camera)
        tolerance = 0.5 / self.fps + 1e-3
        frames = decode_timed(path, start)
        now = next(frames, None)
        after = next(frames, None)
        for row, moment in enumerate((timestamps + start).tolist()):
            while after is not None and now and abs(after[0] - moment) <= abs(now[0] - moment):
                now, after = after, next(frames, None)
            if now is None or abs(now[0] - moment) > tolerance or now[0] > end:
                raise EpisodeError(
                    f"its video {path.name} is shorter than its table: it ends after {row} of "
                    f"{len(timestamps)} rows"
                )
            yield now[1]

    def video_key(self, camera: str) -> bool:
        """Whether the camera's pictures are video."""
        return self.features[camera].get("dtype") == "video"

    def _data_path(self, entry: Entry) -> Path:
        if self.major == 2:
            template = str(self.info.get("data_path") or _V2_DATA)
            return self._place(template, entry, "")
        template = str(self.info.get("data_path") or layout.DATA_PATH)
        return self._place(template, entry, "data/")

    def _video_place(self, entry: Entry, camera: str) -> tuple[Path, float, float]:
        if self.major == 2:
            template = str(self.info.get("video_path") or _V2_VIDEO)
            return self._place(template, entry, "", camera), 0.0, np.inf
        template = str(self.info.get("video_path") or layout.VIDEO_PATH)
        prefix = f"videos/{camera}/"
        path = self._place(template, entry, prefix, camera)
        start = float(entry.facts.get(f"{prefix}from_timestamp") or 0.0)
        end = float(entry.facts.get(f"{prefix}to_timestamp") or np.inf)
        return path, start, end - 0.25 / self.fps

    def _place(self, template: str, entry: Entry, prefix: str, camera: str = "") -> Path:
        per_chunk = int(self.info.get("chunks_size") or layout.FILES_PER_CHUNK)
        try:
            name = template.format(
                episode_chunk=entry.index // per_chunk,
                episode_index=entry.index,
                video_key=camera,
                chunk_index=int(entry.facts.get(f"{prefix}chunk_index") or 0),
                file_index=int(entry.facts.get(f"{prefix}file_index") or 0),
            )
        except (KeyError, IndexError, ValueError, AttributeError, TypeError):
            raise EpisodeError(f"the path {template!r} of info.json cannot be filled") from None
        path = inside(self.root, name)
        if not path.is_file():
            broken = "a link to nothing" if path.is_symlink() else "missing"
            raise EpisodeError(f"its file {name} is {broken}")
        return path

    def _batches(self, entry: Entry, path: Path, names: Sequence[str]) -> Iterator[Any]:
        """The episode's rows of some columns, a few at a time."""
        import pyarrow as pa
        import pyarrow.compute as pc
        from pyarrow import parquet

        try:
            with parquet.ParquetFile(path) as file:
                there = [name for name in names if name in file.schema_arrow.names]
                shared = self.major > 2 and "episode_index" in file.schema_arrow.names
                wanted = [*there, *(["episode_index"] if shared else [])]
                groups = _groups(file, entry.index) if shared else None
                for batch in file.iter_batches(_ROWS_AT_ONCE, row_groups=groups, columns=wanted):
                    if shared:
                        batch = batch.filter(pc.equal(batch.column("episode_index"), entry.index))
                        if "episode_index" not in there:
                            batch = batch.select(there)
                    if batch.num_rows:
                        yield batch
        except (pa.ArrowException, OSError) as error:
            said = str(error).split("\n")[0]
            raise EpisodeError(f"its file {path.name} cannot be read: {said}") from error

    def _picture_file(self, value: Any, row: int) -> bytes:
        name = value.get("path") if isinstance(value, dict) else value
        if not isinstance(name, str) or not name:
            raise EpisodeError(f"row {row} has no picture")
        path = inside(self.root, name)
        try:
            return path.read_bytes()
        except OSError as error:
            raise EpisodeError(f"its picture {name} cannot be read: {error.strerror}") from error


def read_info(root: Path) -> dict[str, Any]:
    """The data set's ``info.json``.

    Raises:
        EpisodeError: it is missing, or says nothing that can be used.
    """
    path = root / layout.INFO_PATH
    if not root.is_dir():
        raise EpisodeError(f"{root} is not a folder")
    try:
        info = json.loads(text_of(path))
    except FileNotFoundError:
        raise EpisodeError(f"{root} is no LeRobotDataset: it has no {layout.INFO_PATH}") from None
    except (OSError, ValueError) as error:
        raise EpisodeError(f"{path} cannot be read: {error}") from error
    features = info.get("features") if isinstance(info, dict) else None
    if not isinstance(features, dict) or not all(isinstance(f, dict) for f in features.values()):
        raise EpisodeError(f"{path} does not say what the features are")
    try:
        fps = float(info.get("fps"))
    except (TypeError, ValueError):
        fps = 0.0
    if not (np.isfinite(fps) and fps > 0):
        raise EpisodeError(f"{path}: fps is {info.get('fps')!r}; it must be a positive number")
    return info


def read_tasks(root: Path, major: int) -> dict[int, str]:
    """Instructions by task index; empty where the file is missing."""
    if major == 2:
        rows = _json_lines(root / "meta" / "tasks.jsonl")
        return {
            int(row["task_index"]): str(row["task"])
            for row in rows
            if "task_index" in row and "task" in row
        }
    path = root / layout.TASKS_PATH
    if not path.is_file():
        return {}
    table = _read_table(path)
    words = [name for name in table.schema.names if name != "task_index"]
    if "task_index" not in table.schema.names or not words:
        raise EpisodeError(f"{path} has no column of tasks")
    text = "task" if "task" in words else words[0]
    indices, texts = table.column("task_index").to_pylist(), table.column(text).to_pylist()
    return {int(i): str(t) for i, t in zip(indices, texts, strict=True) if t is not None}


def read_entries(root: Path, major: int) -> list[Entry]:
    """The episodes that the data set lists.

    Raises:
        EpisodeError: there is no list, or it cannot be read.
    """
    if major == 2:
        path = root / "meta" / "episodes.jsonl"
        if not path.is_file():
            raise EpisodeError(f"{root} has no meta/episodes.jsonl")
        rows = _json_lines(path)
    else:
        files = sorted((root / "meta" / "episodes").rglob("*.parquet"))
        if not files:
            raise EpisodeError(f"{root} has no table of episodes under meta/episodes")
        rows = []
        for file in files:
            names = [n for n in _schema(file).names if not n.startswith("stats/")]
            rows += _read_table(file, names).to_pylist()
    entries = []
    for row in rows:
        if not isinstance(row.get("episode_index"), int) or not isinstance(row.get("length"), int):
            raise EpisodeError(f"{root}: an episode is listed without its number or its length")
        tasks = row.get("tasks") or ([row["task"]] if row.get("task") else [])
        tasks = [tasks] if isinstance(tasks, str) else tasks
        words = tuple(str(task) for task in tasks if task)
        entries.append(Entry(row["episode_index"], row["length"], words, row))
    return sorted(entries, key=lambda entry: entry.index)


def inside(root: Path, name: str) -> Path:
    """``root / name``, refused where the name leads out of the data set.

    Links are followed, since a hub's cache is made of them.
    """
    path = Path(name)
    if path.is_absolute() or ".." in path.parts:
        raise EpisodeError(f"its file {name} lies outside the data set, and is not read")
    return root / path


def _groups(file: Any, index: int) -> list[int]:
    """The row groups that may hold rows of an episode, by the file's own statistics."""
    groups = []
    for group in range(file.num_row_groups):
        meta = file.metadata.row_group(group)
        column = next(
            i for i in range(meta.num_columns) if meta.column(i).path_in_schema == "episode_index"
        )
        known = meta.column(column).statistics
        if known is None or not known.has_min_max or known.min <= index <= known.max:
            groups.append(group)
    return groups


def _major(root: Path, info: dict[str, Any]) -> int:
    version = str(info.get("codebase_version", ""))
    number = version.lstrip("v").split(".")[0]
    if number not in ("2", "3"):
        raise EpisodeError(
            f"{root} is a data set of version {version or '(unknown)'}; 2.0, 2.1 and 3.0 are read"
        )
    return int(number)


def _is_depth(entry: dict[str, Any]) -> bool:
    info = entry.get("info") or entry.get("video_info") or {}
    return bool(info.get("is_depth_map") or info.get("video.is_depth_map"))


def _matrix(values: list[Any], name: str) -> np.ndarray:
    try:
        return np.array(values, np.float64).reshape(len(values), -1)
    except (ValueError, TypeError):
        raise EpisodeError(f"its column {name} does not hold numbers of one shape") from None


def _schema(path: Path) -> Any:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return parquet.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise EpisodeError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error


def _read_table(path: Path, columns: list[str] | None = None) -> Any:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            return file.read(columns)
    except (pa.ArrowException, OSError) as error:
        raise EpisodeError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error


def _json_lines(path: Path) -> list[dict[str, Any]]:
    rows = []
    try:
        text = text_of(path)
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise EpisodeError(f"{path} cannot be read: {error}") from error
    # At newlines alone: JSON text may hold what else str.splitlines takes for a line's end.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            raise EpisodeError(f"{path} line {number} is no JSON") from None
        if isinstance(row, dict):
            rows.append(row)
    return rows
