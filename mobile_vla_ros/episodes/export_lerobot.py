"""Writes episodes as a LeRobotDataset, version 3.0, with the frames as images in parquet.

The layout (lerobot's `lerobot-dataset-v3` documentation): `meta/info.json`, `meta/stats.json`,
`meta/tasks.parquet`, `meta/episodes/chunk-000/file-000.parquet` and
`data/chunk-000/file-000.parquet`, many episodes per file. That format wants frames at an exact
whole rate, and says so by its time stamps; the true ones are kept as `observation.stamp` (from
the episode's first frame on, whose own is `start_stamp` in the table of episodes).
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mobile_vla_ros.episodes import schema
from mobile_vla_ros.episodes.editing import check_alike
from mobile_vla_ros.episodes.reader import Episode, open_episode
from mobile_vla_ros.episodes.schema import EpisodeError
from mobile_vla_ros.episodes.writer import sync_folder
from mobile_vla_ros.pictures import encode_png

VERSION = "v3.0"
CAMERA = "observation.images.camera"
STATE = "observation.state"
STAMP = "observation.stamp"
_STATE_COLUMNS = schema.ODOM_COLUMNS[:6]
_DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
_EPISODES_PATH = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
_FILE_BYTES = 100 << 20
_FILES_PER_CHUNK = 1000
_GAP = 2.5  # median steps; an exported episode never steps over a gap
_FEWEST_FRAMES = 2
_QUANTILES = (0.01, 0.10, 0.50, 0.90, 0.99)
_PIXELS_PER_FRAME = 2500  # sampled for the pictures' statistics


@dataclass(frozen=True)
class LerobotExport:
    """What was written.

    Attributes:
        path: the data set's folder.
        episodes: episodes in it; one with gaps became several.
        frames: frames in it.
        fps: whole frames per second.
        tasks: the instructions, by task index.
        left_out: files, or pieces between gaps, that are too short.
    """

    path: Path
    episodes: int
    frames: int
    fps: int
    tasks: tuple[str, ...]
    left_out: tuple[str, ...]


def export(
    paths: Sequence[str | Path],
    out: str | Path,
    *,
    fps: int | None = None,
    size: tuple[int, int] | None = None,
    progress: Callable[[Iterable[Any], str], Iterable[Any]] = lambda items, _: items,
) -> LerobotExport:
    """Writes the data set; nothing is there under ``out`` before all of it is.

    Args:
        paths: episode files of the same axes, spacing and frame size.
        out: the new folder.
        fps: whole frames per second; by default what was recorded, rounded down.
        size: (H, W) to resize frames to. JPEG frames that keep their size stay byte for byte,
            all others become PNG.
        progress: wraps the list of paths, e.g. in a progress bar.

    Raises:
        EpisodeError: pyarrow is missing, ``out`` exists, the episodes differ, ``fps`` is more than
            was recorded, or nothing is long enough.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise EpisodeError(
            "export-lerobot needs pyarrow: pip install 'mobile_vla_ros[bags]'"
        ) from None
    folder = Path(out)
    if folder.exists():
        raise EpisodeError(f"{folder} exists already; choose a new folder")
    if not folder.parent.is_dir():
        raise EpisodeError(f"the folder {folder.parent} does not exist")
    rate = _rate(paths, fps)
    with open_episode(paths[0]) as first:
        shape = (*size, 3) if size else first.image_shape
        axes, odom = first.action_axes, first.odom is not None
        for path in paths[1:]:
            with open_episode(path) as other:
                check_alike([first, other])
                odom = odom and other.odom is not None
    building = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        data = _DataSet(building, rate, shape, axes, odom)
        for path in progress(paths, "exporting"):
            with open_episode(path) as episode:
                data.add(episode, size)
        result = data.finish(folder)
        os.rename(building, folder)
        sync_folder(folder.parent)
    except OSError as error:
        raise EpisodeError(f"cannot write {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return result


def choose_rows(stamps: np.ndarray, fps: int) -> list[np.ndarray]:
    """Rows to export, one array per piece between gaps.

    Where the recorded rate is a whole multiple of ``fps`` within 3 percent, every n-th row is
    taken, so that a clock that runs a little slow repeats no frame; else the row nearest to each
    tick.

    Args:
        stamps: float64 [T], rising, seconds.
        fps: whole frames per second, at most what was recorded.
    """
    if len(stamps) < _FEWEST_FRAMES:
        return []
    steps = np.diff(stamps)
    spacing = float(np.median(steps))
    ratio = 1 / (spacing * fps)
    stride = max(1, round(ratio))
    ends = [0, *(np.flatnonzero(steps > _GAP * spacing) + 1).tolist(), len(stamps)]
    pieces = []
    for start, end in itertools.pairwise(ends):
        if abs(ratio / stride - 1) < 0.03:
            rows = np.arange(start, end, stride)
        else:
            part = stamps[start:end] - stamps[start]
            ticks = np.arange(0, part[-1] + spacing / 2, 1 / fps)
            after = np.clip(np.searchsorted(part, ticks), 1, max(1, len(part) - 1))
            before = after - 1
            if len(part) == 1:
                nearest = np.zeros(1, int)
            else:
                closer = np.abs(ticks - part[before]) <= np.abs(part[after] - ticks)
                nearest = np.where(closer, before, after)
            rows = start + np.unique(nearest)
        pieces.append(rows)
    return pieces


def _rate(paths: Sequence[str | Path], wanted: int | None) -> int:
    rates = []
    for path in paths:
        with open_episode(path) as episode:
            if len(episode) >= _FEWEST_FRAMES:
                steps = np.diff(episode.image_stamps)
                if not (steps > 0).all():
                    raise EpisodeError(f"{path}: the image stamps do not rise; check it first")
                rates.append((1 / float(np.median(steps)), str(path)))
    if not rates:
        raise EpisodeError(f"no episode has {_FEWEST_FRAMES} frames or more")
    slowest, name = min(rates)
    most = int(slowest * 1.03)
    if most < 1:
        raise EpisodeError(f"{name} has {slowest:.2f} frames/s; a data set needs 1 at least")
    if wanted is not None and not 1 <= wanted <= most:
        raise EpisodeError(
            f"{name} has {slowest:.2f} frames/s; --fps {wanted} would repeat frames "
            f"(at most {most})"
        )
    return wanted or most


@dataclass
class _Numbers:
    """Values of one feature, for its statistics."""

    values: list[np.ndarray] = field(default_factory=list)

    def add(self, rows: np.ndarray) -> dict[str, Any]:
        rows = np.asarray(rows, np.float64).reshape(len(rows), -1)
        self.values.append(rows)
        return describe(rows)

    def all(self) -> dict[str, Any]:
        return describe(np.concatenate(self.values))


class _DataSet:
    """The data set while it is being written."""

    def __init__(
        self, root: Path, fps: int, shape: tuple[int, ...], axes: Sequence[str], odom: bool
    ) -> None:
        self._root = root
        self._fps = fps
        self._odom = odom
        self._features = _features(shape, axes, odom)
        self._schema = _data_schema(self._features)
        self._numbers = {name: _Numbers() for name in self._features}
        self._pixels: list[np.ndarray] = []
        self._episodes: list[dict[str, Any]] = []
        self._tasks: dict[str, int] = {}
        self._left_out: list[str] = []
        self._frames = 0
        self._file = -1
        self._bytes = 0
        self._writer: Any = None

    def add(self, episode: Episode, size: tuple[int, int] | None) -> None:
        pieces = choose_rows(episode.image_stamps, self._fps)
        if not pieces:
            self._left_out.append(f"{episode.path.name} (too short)")
        for rows in pieces:
            if len(rows) < _FEWEST_FRAMES:
                self._left_out.append(f"{episode.path.name} row {rows[0]} (alone between gaps)")
                continue
            self._add_piece(episode, rows, size)

    def _add_piece(self, episode: Episode, rows: np.ndarray, size: tuple[int, int] | None) -> None:
        import pyarrow

        task = episode.instruction or episode.scenario or "drive"
        task_index = self._tasks.setdefault(task, len(self._tasks))
        count, number = len(rows), len(self._episodes)
        numbers: dict[str, np.ndarray] = {
            "action": episode.actions[rows],
            # From the episode's first frame on: loaders turn numbers into float32, in which
            # seconds since 1970 have steps of two minutes.
            STAMP: episode.image_stamps[rows] - episode.image_stamps[rows[0]],
            "timestamp": np.arange(count) / self._fps,
            "frame_index": np.arange(count),
            "episode_index": np.full(count, number),
            "index": self._frames + np.arange(count),
            "task_index": np.full(count, task_index),
        }
        if self._odom and episode.odom is not None:
            numbers[STATE] = episode.odom[rows, : len(_STATE_COLUMNS)]
        pictures, pixels = _pictures(episode, rows, size)
        columns = {
            name: pictures if name == CAMERA else numbers[name].tolist() for name in self._features
        }
        batch = pyarrow.Table.from_pydict(columns, schema=self._schema)
        self._open_file(sum(len(picture["bytes"]) for picture in pictures))
        self._writer.write_table(batch, row_group_size=count)
        stats = {CAMERA: _describe_pixels(pixels, count)}
        stats |= {name: self._numbers[name].add(values) for name, values in numbers.items()}
        self._pixels.append(pixels)
        chunk, file = divmod(self._file, _FILES_PER_CHUNK)
        self._episodes.append(
            {
                "episode_index": number,
                "tasks": [task],
                "length": count,
                "data/chunk_index": chunk,
                "data/file_index": file,
                "dataset_from_index": self._frames,
                "dataset_to_index": self._frames + count,
                "start_stamp": float(episode.image_stamps[rows[0]]),
                "source": episode.path.name,
                "scenario": episode.scenario,
                "outcome": episode.outcome,
                "meta/episodes/chunk_index": 0,
                "meta/episodes/file_index": 0,
                **{
                    f"stats/{name}/{what}": value
                    for name, found in stats.items()
                    for what, value in found.items()
                },
            }
        )
        self._frames += count

    def _open_file(self, size: int) -> None:
        """A new data file where the last one has become large."""
        from pyarrow import parquet

        if self._writer is None or self._bytes + size > _FILE_BYTES:
            self._close()
            self._file += 1
            self._bytes = 0
            chunk, file = divmod(self._file, _FILES_PER_CHUNK)
            path = self._root / _DATA_PATH.format(chunk_index=chunk, file_index=file)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = parquet.ParquetWriter(path, self._schema, compression="snappy")
        self._bytes += size

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def finish(self, folder: Path) -> LerobotExport:
        self._close()
        if not self._episodes:
            raise EpisodeError(f"nothing to export: {'; '.join(self._left_out)}")
        pixels = np.concatenate(self._pixels)
        stats = {
            name: _describe_pixels(pixels, self._frames)
            if name == CAMERA
            else self._numbers[name].all()
            for name in self._features
        }
        _write_table(
            self._root / _EPISODES_PATH.format(chunk_index=0, file_index=0), self._episodes
        )
        _write_tasks(self._root / "meta" / "tasks.parquet", list(self._tasks))
        _write_json(self._root / "meta" / "stats.json", stats)
        _write_json(self._root / "meta" / "info.json", self._info())
        return LerobotExport(
            folder,
            len(self._episodes),
            self._frames,
            self._fps,
            tuple(self._tasks),
            tuple(self._left_out),
        )

    def _info(self) -> dict[str, Any]:
        return {
            "codebase_version": VERSION,
            "robot_type": "mobile_base",
            "total_episodes": len(self._episodes),
            "total_frames": self._frames,
            "total_tasks": len(self._tasks),
            "chunks_size": _FILES_PER_CHUNK,
            "data_files_size_in_mb": _FILE_BYTES >> 20,
            "video_files_size_in_mb": 200,
            "fps": self._fps,
            "splits": {"train": f"0:{len(self._episodes)}"},
            "data_path": _DATA_PATH,
            "video_path": None,
            "features": self._features,
        }


def describe(rows: np.ndarray) -> dict[str, Any]:
    """Statistics of float [N, D] per column, as lists: min, max, mean, std, count, quantiles."""
    found = {
        "min": rows.min(axis=0).tolist(),
        "max": rows.max(axis=0).tolist(),
        "mean": rows.mean(axis=0).tolist(),
        "std": rows.std(axis=0).tolist(),
        "count": [len(rows)],
    }
    for share, values in zip(_QUANTILES, np.quantile(rows, _QUANTILES, axis=0), strict=True):
        found[f"q{round(share * 100):02d}"] = values.tolist()
    return found


def _describe_pixels(pixels: np.ndarray, frames: int) -> dict[str, Any]:
    """Of uint8 [N,3]: per colour in 0..1, shaped [3,1,1] as pictures are [3,H,W] there."""
    found = describe(pixels / 255.0)
    return {
        what: [frames] if what == "count" else [[[value]] for value in values]
        for what, values in found.items()
    }


def _features(shape: tuple[int, ...], axes: Sequence[str], odom: bool) -> dict[str, Any]:
    def numbers(kind: str, names: Sequence[str] | None = None) -> dict[str, Any]:
        return {
            "dtype": kind,
            "shape": [len(names) if names else 1],
            "names": list(names) if names else None,
        }

    features: dict[str, Any] = {
        CAMERA: {
            "dtype": "image",
            "shape": list(shape),
            "names": ["height", "width", "channels"],
        },
        "action": numbers("float32", axes),
        STAMP: numbers("float64"),
        "timestamp": numbers("float32"),
        "frame_index": numbers("int64"),
        "episode_index": numbers("int64"),
        "index": numbers("int64"),
        "task_index": numbers("int64"),
    }
    if odom:
        features[STATE] = numbers("float32", _STATE_COLUMNS)
    return features


def _data_schema(features: dict[str, Any]) -> Any:
    import pyarrow as pa

    fields = []
    described: dict[str, Any] = {}
    for name, entry in features.items():
        kind, width = entry["dtype"], entry["shape"][0]
        if kind == "image":
            fields.append(
                pa.field(name, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
            )
            described[name] = {"_type": "Image"}
            continue
        value = {"float32": pa.float32(), "float64": pa.float64(), "int64": pa.int64()}[kind]
        single = {"dtype": kind, "_type": "Value"}
        if entry["names"] is None:
            fields.append(pa.field(name, value))
            described[name] = single
        else:
            fields.append(pa.field(name, pa.list_(value, width)))
            described[name] = {"feature": single, "length": width, "_type": "Sequence"}
    # What the `datasets` library writes beside a table, so that it knows pictures from bytes.
    note = json.dumps({"info": {"features": described}})
    return pa.schema(fields, metadata={"huggingface": note})


def _pictures(
    episode: Episode, rows: np.ndarray, size: tuple[int, int] | None
) -> tuple[list[dict[str, Any]], np.ndarray]:
    """The encoded frames, and uint8 [N,3] pixels sampled from them."""
    import cv2

    pictures: list[dict[str, Any]] = []
    samples: list[np.ndarray] = []
    for row in rows.tolist():
        image, data = episode.image(row), episode.jpeg(row)
        if size is not None and image.shape[:2] != size:
            image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
            data = None
        if data is None:
            data = encode_png(image)
        pictures.append({"bytes": data, "path": None})
        flat = image.reshape(-1, 3)
        samples.append(flat[:: max(1, len(flat) // _PIXELS_PER_FRAME)])
    return pictures, np.concatenate(samples)


def _write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    import pyarrow
    from pyarrow import parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.Table.from_pylist(rows), path, compression="snappy")


def _write_tasks(path: Path, tasks: list[str]) -> None:
    """The table that pandas reads with the task as its index, which is how lerobot looks it up."""
    import pyarrow as pa
    from pyarrow import parquet

    columns = [
        {
            "name": name,
            "field_name": name,
            "pandas_type": kind,
            "numpy_type": numpy,
            "metadata": None,
        }
        for name, kind, numpy in (("task_index", "int64", "int64"), ("task", "unicode", "object"))
    ]
    note = {
        "index_columns": ["task"],
        "column_indexes": [],
        "columns": columns,
        "creator": {"library": "pyarrow", "version": pa.__version__},
        "pandas_version": "2.0.0",
    }
    table = pa.table({"task_index": pa.array(range(len(tasks)), pa.int64()), "task": tasks})
    table = table.replace_schema_metadata({"pandas": json.dumps(note)})
    parquet.write_table(table, path)


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=4, ensure_ascii=False) + "\n", encoding="utf-8")
