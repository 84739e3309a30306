"""One stretch of an episode made ready for a data set, on its own, so that several run at once."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mobile_vla_ros.episodes.lerobot import layout
from mobile_vla_ros.episodes.lerobot.pictures import encoded, resized
from mobile_vla_ros.episodes.lerobot.statistics import count_levels, sample_pixels
from mobile_vla_ros.episodes.lerobot.video import VideoSettings, encode
from mobile_vla_ros.episodes.reader import Episode, open_episode
from mobile_vla_ros.rig import ATTRIBUTE, rig_of

_BATCH_BYTES = 32 << 20  # of pictures held at once


@dataclass(frozen=True)
class PieceOrder:
    """What is to be made ready.

    Attributes:
        path: the episode.
        rows: int [N], the rows to take.
        target: the file for its pictures (Arrow batches) or its video (MP4).
        fps: whole frames per second.
        size: (H, W) to resize to, or None.
        odom: whether to take odometry.
        names: how columns are named, see ``layout.column_names``.
        video: settings, or None for pictures.
    """

    path: Path
    rows: np.ndarray
    target: Path
    fps: int
    size: tuple[int, int] | None
    odom: bool
    names: str
    video: VideoSettings | None


@dataclass(frozen=True)
class Piece:
    """What was made ready.

    Attributes:
        target: the file with its pictures or its video.
        numbers: the values that are the episode's own, float [N] or [N, D], by feature.
        levels: int64 [3, 256], how often each level comes in the sampled pixels.
        task: the instruction.
        facts: more columns of the table of episodes.
        without_odometry: rows whose odometry is not known.
        psnr: of the video, in dB; infinite for pictures.
    """

    target: Path
    numbers: dict[str, np.ndarray]
    levels: np.ndarray
    task: str
    facts: dict[str, Any]
    without_odometry: int
    psnr: float

    def __len__(self) -> int:
        return len(self.numbers[layout.ACTION])


def prepare(order: PieceOrder) -> Piece:
    """Reads the rows and encodes their frames.

    Raises:
        EpisodeError: a frame cannot be read.
    """
    with open_episode(order.path) as episode:
        levels = np.zeros((3, 256), np.int64)
        psnr = math.inf
        if order.video is None:
            _write_pictures(episode, order, levels)
        else:
            psnr = encode(
                order.target,
                _frames(episode, order, levels),
                len(order.rows),
                order.fps,
                order.video,
            )
        numbers = _numbers(episode, order)
        state = numbers.get(layout.STATE)
        lacking = 0 if state is None else int((~np.isfinite(state).all(axis=1)).sum())
        return Piece(
            target=order.target,
            numbers=numbers,
            levels=levels,
            task=episode.instruction or episode.scenario or "drive",
            facts={
                "start_stamp": float(episode.image_stamps[order.rows[0]]),
                "source": episode.path.name,
                "scenario": episode.scenario,
                "outcome": episode.outcome,
                "frame_period": episode.frame_period,
                ATTRIBUTE: rig_of(episode.attributes, episode.camera).to_json(),
            },
            without_odometry=lacking,
            psnr=psnr,
        )


def _numbers(episode: Episode, order: PieceOrder) -> dict[str, np.ndarray]:
    rows = order.rows
    found = {
        layout.ACTION: _named(episode.actions[rows], episode.action_axes, order.names),
        # From the episode's first frame on: loaders turn numbers into float32, in which
        # seconds since 1970 have steps of two minutes.
        layout.STAMP: episode.image_stamps[rows] - episode.image_stamps[rows[0]],
    }
    if order.odom and episode.odom is not None:
        columns = layout.STATE_COLUMNS
        odometry = episode.odom[rows, : len(columns)]
        found[layout.STATE] = _named(odometry, columns, order.names)
    return found


def _named(values: np.ndarray, columns: tuple[str, ...], names: str) -> np.ndarray:
    """float32 [N, D] in the units that the names stand for."""
    turned = [layout.in_degrees(name) for name in layout.column_names(columns, names)]
    return np.where(turned, np.rad2deg(values), values).astype(np.float32)


def _frames(episode: Episode, order: PieceOrder, levels: np.ndarray) -> Iterator[np.ndarray]:
    for row in order.rows.tolist():
        image = resized(episode.image(row), order.size)
        levels += count_levels(sample_pixels(image))
        yield image


def _write_pictures(episode: Episode, order: PieceOrder, levels: np.ndarray) -> None:
    import pyarrow as pa

    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema([pa.field(layout.CAMERA, kind)])
    batch: list[dict[str, Any]] = []
    held = 0
    with pa.OSFile(str(order.target), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for index, row in enumerate(order.rows.tolist()):
            data, image = encoded(episode, row, order.size)
            levels += count_levels(sample_pixels(image))
            batch.append({"bytes": data, "path": None})
            held += len(data)
            if held >= _BATCH_BYTES or index == len(order.rows) - 1:
                writer.write_batch(pa.record_batch([pa.array(batch, kind)], schema=schema))
                batch, held = [], 0
