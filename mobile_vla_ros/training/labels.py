"""Labels that a simulated episode carries beyond its recording; they serve training only.

`expert_chunks` are the commands an expert would give from each row's true state, so that frames
of a wandering robot carry the way back. `bottle_places` and `box_places` say where things stand.
Commands of another expert can lie in a `.chunks.npy` file beside the episode: labelling anew
leaves the recording, its hash and its cached features as they are.
"""

from __future__ import annotations

import json
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
class OtherOrder:
    """What could have been asked for instead, from the same T rows.

    Attributes:
        instruction: in words.
        chunks: float32 [T, chunk, 2], what the expert would then have commanded.
        target: float32 [T, 5] of what it names, as in `EpisodeLabels.objects`.
    """

    instruction: str
    chunks: np.ndarray
    target: np.ndarray


@dataclass(frozen=True)
class EpisodeLabels:
    """Extra labels of one episode's T rows.

    Attributes:
        chunks: float32 [T, chunk, 2], linear.x in m/s and angular.z in rad/s.
        objects: float32 [T, 3, 5] for the bottle and up to two boxes, the nearer one first:
            column and row in the picture (0 to 1 from its left and upper edge), visible (0 or
            1), bearing in rad (left positive), distance in m. NaN where there is none.
        others: what else could have been asked for.
        words: float32 [T, W, 5] the same for the nearest thing of each colour and kind, for
            obstacles and for a person; W is 0 where the episode does not say.
    """

    chunks: np.ndarray
    objects: np.ndarray
    words: np.ndarray
    others: tuple[OtherOrder, ...] = ()


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
    objects = np.full((rows, MOST_OBJECTS, 5), np.nan, dtype=np.float32)
    objects[:, : places.shape[1]] = _with_visible(places)
    words = np.asarray(attributes.get("word_places", np.empty((rows, 0, 4))), dtype=np.float32)
    if words.ndim != 3 or len(words) != rows or words.shape[2] != 4:
        raise RunError(f"{path.name} has word_places of another number of rows or columns.")
    others = _other_orders(path, attributes, chunks.shape)
    return EpisodeLabels(chunks, objects, _with_visible(words), others)


def _with_visible(places: np.ndarray) -> np.ndarray:
    """float32 [..., 4] (u, v, bearing, distance) to [..., 5] with whether it is in the picture."""
    seen = (places[..., :2] >= 0) & (places[..., :2] <= 1)
    visible = np.all(seen, axis=-1, keepdims=True)
    return np.concatenate([places[..., :2], visible, places[..., 2:]], axis=-1, dtype=np.float32)


def _other_orders(
    path: Path, attributes: Mapping[str, Any], shape: tuple[int, ...]
) -> tuple[OtherOrder, ...]:
    if "asked_instructions" not in attributes:
        return ()
    try:
        said = [str(text) for text in json.loads(attributes["asked_instructions"])]
        chunks = np.asarray(attributes["asked_chunks"], dtype=np.float32)
        places = np.asarray(attributes["asked_places"], dtype=np.float32)
        count = len(said)
        fits = chunks.shape == (count, *shape) and places.shape == (count, shape[0], 4)
        fits = fits and bool(np.isfinite(chunks).all())
    except (KeyError, TypeError, ValueError):
        fits = False
    if not fits:
        raise RunError(
            f"{path.name}: its asked_instructions, asked_chunks and asked_places do not belong "
            f"together; collect the episode anew."
        )
    targets = _with_visible(places)
    return tuple(OtherOrder(*one) for one in zip(said, chunks, targets, strict=True))
