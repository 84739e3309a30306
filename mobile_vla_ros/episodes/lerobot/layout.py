"""What lies where in a LeRobotDataset of version 3.0, and what its columns are called."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mobile_vla_ros.episodes import schema as episode_schema
from mobile_vla_ros.episodes.schema import EpisodeError

VERSION = "v3.0"
ACTION = "action"
CAMERA = "observation.images.camera"
STATE = "observation.state"
STAMP = "observation.stamp"
STATE_COLUMNS = episode_schema.ODOM_COLUMNS[:6]
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
EPISODES_PATH = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
INFO_PATH = "meta/info.json"
STATS_PATH = "meta/stats.json"
TASKS_PATH = "meta/tasks.parquet"
CARD_PATH = "README.md"
DATA_FILE_BYTES = 100 << 20
VIDEO_FILE_BYTES = 200 << 20
FILES_PER_CHUNK = 1000

# How mobile bases call their columns there: LeKiwi, the reference base, in m/s and degrees/s.
LEKIWI = {"linear.x": "x.vel", "linear.y": "y.vel", "angular.z": "theta.vel"}
LEKIWI_STATE = {
    "x": "x.pos",
    "y": "y.pos",
    "yaw": "theta.pos",
    "vx": "x.vel",
    "vy": "y.vel",
    "wz": "theta.vel",
}
NAMES = ("ros", "lekiwi")


def require(module: str, what: str, extra: str) -> None:
    """Demands a library that only this needs.

    Raises:
        EpisodeError: it is not installed; says how to install it.
    """
    try:
        __import__(module)
    except ImportError:
        raise EpisodeError(
            f"{what} needs {module}: pip install 'mobile_vla_ros[{extra}]'"
        ) from None


def column_names(columns: Sequence[str], names: str) -> list[str]:
    """Velocity axes or odometry columns as the data set calls them.

    Args:
        columns: our names.
        names: ``ros`` (as they are) or ``lekiwi``.
    """
    table = {**LEKIWI, **LEKIWI_STATE} if names == "lekiwi" else {}
    return [table.get(column, column) for column in columns]


def in_degrees(name: str) -> bool:
    """Whether a column of this name holds degrees or degrees/s, as LeKiwi's angles do."""
    return name in ("theta.vel", "theta.pos")


def features(
    shape: Sequence[int],
    axes: Sequence[str],
    odom: bool,
    names: str = "ros",
    video: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The ``features`` of ``info.json``.

    Args:
        shape: (H, W, 3) of the frames.
        axes: names of the velocities, ours.
        odom: whether there is odometry.
        names: see ``column_names``.
        video: what ``info.json`` says about the video; None for pictures in the tables.
    """

    def numbers(kind: str, columns: Sequence[str] | None = None) -> dict[str, Any]:
        return {
            "dtype": kind,
            "shape": [len(columns) if columns else 1],
            "names": list(columns) if columns else None,
        }

    camera: dict[str, Any] = {
        "dtype": "image" if video is None else "video",
        "shape": list(shape),
        "names": ["height", "width", "channels"],
    }
    if video is not None:
        camera["info"] = video
    found: dict[str, Any] = {
        CAMERA: camera,
        ACTION: numbers("float32", column_names(axes, names)),
        STAMP: numbers("float64"),
        "timestamp": numbers("float32"),
        "frame_index": numbers("int64"),
        "episode_index": numbers("int64"),
        "index": numbers("int64"),
        "task_index": numbers("int64"),
    }
    if odom:
        found[STATE] = numbers("float32", column_names(STATE_COLUMNS, names))
    return found


def in_tables(described: dict[str, Any]) -> dict[str, Any]:
    """The features that are columns of the tables, which videos are not."""
    return {name: entry for name, entry in described.items() if entry["dtype"] != "video"}


def data_schema(described: dict[str, Any]) -> Any:
    """The pyarrow schema of a table of frames with these features."""
    import pyarrow as pa

    fields = []
    note: dict[str, Any] = {}
    for name, entry in in_tables(described).items():
        kind, width = entry["dtype"], entry["shape"][0]
        if kind == "image":
            fields.append(
                pa.field(name, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
            )
            note[name] = {"_type": "Image"}
            continue
        value = {"float32": pa.float32(), "float64": pa.float64(), "int64": pa.int64()}[kind]
        single = {"dtype": kind, "_type": "Value"}
        if entry["names"] is None:
            fields.append(pa.field(name, value))
            note[name] = single
        else:
            fields.append(pa.field(name, pa.list_(value, width)))
            note[name] = {"feature": single, "length": width, "_type": "Sequence"}
    # What the `datasets` library writes beside a table, so that it knows pictures from bytes.
    text = json.dumps({"info": {"features": note}})
    return pa.schema(fields, metadata={"huggingface": text})


class EpisodesTable:
    """The table of episodes while it grows; its rows are packed as they come.

    Args:
        schema: its columns and no others; None: those of the rows.
    """

    ROWS_AT_ONCE = 64

    def __init__(self, schema: Any = None) -> None:
        self._schema = schema
        self._packed: list[Any] = []
        self._rows: list[dict[str, Any]] = []

    def add(self, row: dict[str, Any]) -> None:
        """One episode."""
        self._rows.append(row)
        if len(self._rows) == self.ROWS_AT_ONCE:
            self._pack()

    def _pack(self) -> None:
        import pyarrow

        self._packed.append(pyarrow.Table.from_pylist(self._rows, schema=self._schema))
        self._rows = []

    def write(self, path: Path) -> None:
        """Writes all rows."""
        import pyarrow
        from pyarrow import parquet

        if self._rows or not self._packed:
            self._pack()
        # Where the first rows hold nothing in a column, the later ones say of what kind it is.
        table = pyarrow.concat_tables(self._packed, promote_options="default").combine_chunks()
        path.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(table, path, compression="snappy")


def write_tasks(path: Path, tasks: list[str]) -> None:
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
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table, path)


def write_json(path: Path, content: Any) -> None:
    """UTF-8 JSON as lerobot writes it; NaN is refused, since JSON has none."""
    text = json.dumps(content, indent=4, ensure_ascii=False, allow_nan=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")
