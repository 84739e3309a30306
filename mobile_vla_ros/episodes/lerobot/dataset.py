"""A data set while it is written: files of frames, the table of episodes, tasks, statistics."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mobile_vla_ros.episodes.lerobot import layout
from mobile_vla_ros.episodes.lerobot.piece import Piece
from mobile_vla_ros.episodes.lerobot.statistics import (
    Numbers,
    describe_levels,
    join_pictures,
)
from mobile_vla_ros.episodes.lerobot.video import VideoFiles


@dataclass
class Existing:
    """What a data set that is appended to holds already.

    Attributes:
        info: its ``info.json``.
        tasks: instructions by task index.
        episodes: its rows of the table of episodes, without statistics.
        schema: the pyarrow schema of that table.
        numbers: its values by feature.
        camera: the statistics of its pictures.
    """

    info: dict[str, Any]
    tasks: list[str]
    episodes: list[dict[str, Any]]
    schema: Any
    numbers: dict[str, Numbers]
    camera: dict[str, Any] | None

    def next_file(self, prefix: str) -> int:
        """Number of the first file of that kind that is free, counted through the chunks."""
        per_chunk = int(self.info["chunks_size"])
        used = [
            int(row[f"{prefix}chunk_index"]) * per_chunk + int(row[f"{prefix}file_index"])
            for row in self.episodes
        ]
        return max(used, default=-1) + 1


@dataclass
class Totals:
    """What has been added so far."""

    episodes: int = 0
    frames: int = 0
    without_odometry: int = 0
    squares: list[float] = field(default_factory=list)

    @property
    def psnr(self) -> float:
        """Of the frames compared, in dB over their mean squared error; infinite without loss."""
        error = float(np.mean(self.squares)) if self.squares else 0.0
        return math.inf if error == 0 else 10 * math.log10(255**2 / error)


class DataSet:
    """Writes the files under ``root``; ``info.json`` comes last, so a cut-off one has none.

    Args:
        root: the folder being built.
        fps: whole frames per second.
        features: of ``info.json``.
        robot: ``robot_type`` of ``info.json``.
        existing: what is there already, when appending.
    """

    def __init__(
        self,
        root: Path,
        fps: int,
        features: dict[str, Any],
        robot: str,
        existing: Existing | None = None,
    ) -> None:
        self.totals = Totals()
        self.tasks = {task: index for index, task in enumerate(existing.tasks if existing else [])}
        self._root = root
        self._fps = fps
        self._features = features
        self._existing = existing
        self._info = dict(existing.info) if existing else _new_info(features, fps, robot)
        self._per_chunk = int(self._info["chunks_size"])
        self._schema = layout.data_schema(features)
        self._numbers = (
            existing.numbers
            if existing
            else {name: Numbers() for name in features if name != layout.CAMERA}
        )
        self._levels = np.zeros((3, 256), np.int64)
        self._episodes = layout.EpisodesTable(existing.schema if existing else None)
        file = existing.next_file("meta/episodes/") if existing else 0
        self._episodes_file = divmod(file, self._per_chunk)
        self._table = _TableFiles(
            root,
            self._info["data_path"],
            self._schema,
            self._per_chunk,
            existing.next_file("data/") if existing else 0,
        )
        self._videos = self._video_files()

    def _video_files(self) -> VideoFiles | None:
        if self._features[layout.CAMERA]["dtype"] != "video":
            return None
        first = 0
        if self._existing:
            first = self._existing.next_file(f"videos/{layout.CAMERA}/")
        return VideoFiles(self._root, self._info["video_path"], layout.CAMERA, self._fps, first)

    def add(self, piece: Piece) -> None:
        """Adds what was made ready as the next episode; its file is not needed afterwards."""
        count = len(piece)
        number = int(self._info["total_episodes"]) + self.totals.episodes
        first = int(self._info["total_frames"]) + self.totals.frames
        task = self.tasks.setdefault(piece.task, len(self.tasks))
        numbers = {
            **piece.numbers,
            "timestamp": (np.arange(count) / self._fps).astype(np.float32),
            "frame_index": np.arange(count),
            "episode_index": np.full(count, number),
            "index": first + np.arange(count),
            "task_index": np.full(count, task),
        }
        place = self._table.add(piece, numbers, self._videos is None)
        if self._videos is not None:
            most = int(self._info["video_files_size_in_mb"]) << 20
            place |= self._videos.add(piece.target, count, most, self._per_chunk)
            if math.isfinite(piece.psnr):
                self.totals.squares.append(255**2 / 10 ** (piece.psnr / 10))
            else:
                self.totals.squares.append(0.0)
        stats = {layout.CAMERA: describe_levels(piece.levels, count)}
        stats |= {name: self._numbers[name].add(numbers[name]) for name in self._numbers}
        self._levels += piece.levels
        chunk, index = self._episodes_file
        self._episodes.add(
            {
                "episode_index": number,
                "tasks": [piece.task],
                "length": count,
                **place,
                "dataset_from_index": first,
                "dataset_to_index": first + count,
                **piece.facts,
                "meta/episodes/chunk_index": chunk,
                "meta/episodes/file_index": index,
                **{
                    f"stats/{name}/{what}": value
                    for name, found in stats.items()
                    for what, value in found.items()
                },
            }
        )
        self.totals.episodes += 1
        self.totals.frames += count
        self.totals.without_odometry += piece.without_odometry

    def close(self) -> None:
        """Closes the files that are open, finished or not."""
        self._table.close()
        if self._videos is not None:
            self._videos.close()

    def finish(self) -> dict[str, Any]:
        """Writes what describes the whole.

        Returns:
            The ``info.json``.
        """
        self.close()
        camera = describe_levels(self._levels, self.totals.frames)
        if self._existing and self._existing.camera:
            camera = join_pictures([self._existing.camera, camera])
        stats = {
            name: camera if name == layout.CAMERA else self._numbers[name].all()
            for name in self._features
        }
        chunk, index = self._episodes_file
        path = layout.EPISODES_PATH.format(chunk_index=chunk, file_index=index)
        self._episodes.write(self._root / path)
        layout.write_tasks(self._root / layout.TASKS_PATH, list(self.tasks))
        layout.write_json(self._root / layout.STATS_PATH, stats)
        total = int(self._info["total_episodes"]) + self.totals.episodes
        self._info |= {
            "total_episodes": total,
            "total_frames": int(self._info["total_frames"]) + self.totals.frames,
            "total_tasks": len(self.tasks),
            "splits": {"train": f"0:{total}"},
        }
        layout.write_json(self._root / layout.INFO_PATH, self._info)
        return self._info


class _TableFiles:
    """The files of frames: one closes and the next begins where it would become too large."""

    def __init__(
        self, root: Path, template: str, schema: Any, per_chunk: int, first_file: int
    ) -> None:
        self._root = root
        self._template = template
        self._schema = schema
        self._per_chunk = per_chunk
        self._file = first_file - 1
        self._bytes = 0
        self._writer: Any = None

    def add(self, piece: Piece, numbers: dict[str, np.ndarray], pictures: bool) -> dict[str, Any]:
        """Writes one episode's rows; returns the columns that say where they are."""
        import pyarrow as pa

        self._open_for(piece.target.stat().st_size if pictures else 0)
        start = 0
        for batch in _batches(piece.target) if pictures else [None]:
            end = start + (len(piece) if batch is None else len(batch))
            columns = {
                name: batch if name == layout.CAMERA else numbers[name][start:end].tolist()
                for name in self._schema.names
            }
            table = pa.Table.from_pydict(columns, schema=self._schema)
            self._writer.write_table(table, row_group_size=end - start)
            start = end
        chunk, index = divmod(self._file, self._per_chunk)
        return {"data/chunk_index": chunk, "data/file_index": index}

    def _open_for(self, size: int) -> None:
        from pyarrow import parquet

        if self._writer is None or self._bytes + size > layout.DATA_FILE_BYTES:
            self.close()
            self._file += 1
            self._bytes = 0
            chunk, index = divmod(self._file, self._per_chunk)
            path = self._root / self._template.format(chunk_index=chunk, file_index=index)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = parquet.ParquetWriter(path, self._schema, compression="snappy")
        self._bytes += size

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _batches(path: Path) -> Iterator[Any]:
    """The pictures that a piece holds, some megabytes at a time."""
    import pyarrow as pa

    with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as reader:
        for index in range(reader.num_record_batches):
            yield reader.get_batch(index).column(0)


def _new_info(features: dict[str, Any], fps: int, robot: str) -> dict[str, Any]:
    video = features[layout.CAMERA]["dtype"] == "video"
    return {
        "codebase_version": layout.VERSION,
        "robot_type": robot,
        "total_episodes": 0,
        "total_frames": 0,
        "total_tasks": 0,
        "chunks_size": layout.FILES_PER_CHUNK,
        "data_files_size_in_mb": layout.DATA_FILE_BYTES >> 20,
        "video_files_size_in_mb": layout.VIDEO_FILE_BYTES >> 20,
        "fps": fps,
        "splits": {},
        "data_path": layout.DATA_PATH,
        "video_path": layout.VIDEO_PATH if video else None,
        "features": features,
    }
