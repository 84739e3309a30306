"""Labels that a simulation knows beyond the recording, in a `.labels.npz` file beside an episode.

They serve training only. `chunks` are the commands an expert would give from each frame's true
state, so that frames of a wandering robot carry the way back. `objects` say where things stand.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mobile_vla_ros.training.run import RunError


@dataclass(frozen=True)
class EpisodeLabels:
    """Extra labels of one episode's T rows.

    Attributes:
        chunks: float32 [T, chunk, 2], linear.x in m/s and angular.z in rad/s.
        objects: float32 [T, N, 5] for N kinds of object: column and row in the picture (0 to 1
            from its left and upper edge), visible (0 or 1), bearing in rad (left positive),
            distance in m. NaN where there is none.
    """

    chunks: np.ndarray
    objects: np.ndarray


def labels_path(episode: str | Path) -> Path:
    """Where an episode's extra labels lie."""
    return Path(episode).with_suffix(".labels.npz")


def write_labels(episode: str | Path, labels: EpisodeLabels) -> Path:
    """Writes the labels beside the episode, whole or not at all."""
    target = labels_path(episode)
    temporary = target.with_suffix(".part")
    with open(temporary, "wb") as file:
        np.savez(
            file,
            chunks=labels.chunks.astype(np.float32),
            objects=labels.objects.astype(np.float32),
        )
    os.replace(temporary, target)
    return target


def read_labels(episode: str | Path, rows: int) -> EpisodeLabels:
    """Reads an episode's extra labels.

    Raises:
        RunError: there are none, or they belong to another number of rows.
    """
    path = labels_path(episode)
    if not path.exists():
        raise RunError(
            f"{path} is missing: this run needs expert or object labels, which only simulated "
            f"episodes have."
        )
    with np.load(path) as file:
        labels = EpisodeLabels(chunks=file["chunks"], objects=file["objects"])
    if len(labels.chunks) != rows or len(labels.objects) != rows:
        raise RunError(f"{path} has {len(labels.chunks)} rows but the episode has {rows}.")
    return labels
