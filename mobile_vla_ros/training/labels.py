"""Labels that a simulated episode carries beyond its recording; they serve training only.

`expert_chunks` are the commands an expert would give from each row's true state, so that frames
of a wandering robot carry the way back. `bottle_places` and `box_places` say where things stand.
Commands of another expert can lie in a `.chunks.npy` file beside the episode: labelling anew
leaves the recording, its hash and its cached features as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mobile_vla_ros.axes import UNICYCLE_AXES
from mobile_vla_ros.files import whole_file
from mobile_vla_ros.training.run_schema import RunError

MOST_OBJECTS = 3  # the bottle and two boxes
EXPERT_AXES = UNICYCLE_AXES


@dataclass(frozen=True)
class EpisodeLabels:
    """Extra labels of one episode's T rows.

    Attributes:
        chunks: float32 [T, chunk, 2], linear.x in m/s and angular.z in rad/s.
        objects: float32 [T, 3, 5] for the bottle and up to two boxes, the nearer one first:
            column and row in the picture (0 to 1 from its left and upper edge), visible (0 or
            1), bearing in rad (left positive), distance in m. NaN where there is none.
    """

    chunks: np.ndarray
    objects: np.ndarray


def chunks_path(episode: str | Path) -> Path:
    """Where commands that replace an episode's own `expert_chunks` lie."""
    return Path(episode).with_suffix(".chunks.npy")


def write_chunks(episode: str | Path, chunks: np.ndarray) -> Path:
    """Writes commands [T, chunk, 2] in m/s and rad/s beside an episode, whole or not at all."""
    target = chunks_path(episode)
    with whole_file(target) as temporary, temporary.open("wb") as file:
        np.save(file, np.asarray(chunks, dtype=np.float32))
    return target


def read_labels(path: Path, attributes: Mapping[str, Any], rows: int) -> EpisodeLabels:
    """Reads the extra labels out of an episode's attributes and the file beside it.

    Args:
        path: the episode.
        attributes: the episode's attributes.
        rows: number of its rows.

    Raises:
        RunError: there are none, or they belong to another number of rows.
    """
    missing = [
        key for key in ("expert_chunks", "bottle_places", "box_places") if key not in attributes
    ]
    if missing:
        raise RunError(
            f"{path.name} has no {missing[0]}: expert labels and auxiliary losses need episodes "
            f"of the simulated field."
        )
    beside = chunks_path(path)
    chunks = np.asarray(
        np.load(beside) if beside.exists() else attributes["expert_chunks"], dtype=np.float32
    )
    bottle = np.asarray(attributes["bottle_places"], dtype=np.float32)[:, None]
    boxes = np.asarray(attributes["box_places"], dtype=np.float32)
    if not len(chunks) == len(bottle) == len(boxes) == rows:
        raise RunError(f"{path.name} has labels for {len(chunks)} rows but {rows} rows.")
    nearer = np.argsort(boxes[..., 3], axis=1)
    boxes = np.take_along_axis(boxes, nearer[..., None], axis=1)
    places = np.concatenate([bottle, boxes], axis=1)[:, :MOST_OBJECTS]
    visible = ((places[..., :2] >= 0) & (places[..., :2] <= 1)).all(-1)
    objects = np.full((rows, MOST_OBJECTS, 5), np.nan, dtype=np.float32)
    objects[:, : places.shape[1]] = np.concatenate(
        [places[..., :2], np.asarray(visible)[..., None], places[..., 2:]], axis=-1
    )
    return EpisodeLabels(chunks=chunks, objects=objects)
