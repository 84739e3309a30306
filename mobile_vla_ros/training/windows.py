"""Training windows with their pictures and labels, one by one and as batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from mobile_vla_ros.policy.config import normalise
from mobile_vla_ros.training.augmentation import (
    IDENTITY,
    Transform,
    draw_transform,
    mirror_text,
    mirror_velocities,
    transform_images,
    transform_places,
)
from mobile_vla_ros.training.episode import TrainingEpisode
from mobile_vla_ros.training.frames import FrameCache
from mobile_vla_ros.training.labels import OtherOrder
from mobile_vla_ros.training.run import RunConfig
from mobile_vla_ros.training.run_schema import AugmentationSettings, RunError


def episode_windows(episodes: Sequence[TrainingEpisode], start_weight: float) -> np.ndarray:
    """Every window as (episode, window), int64 [N, 2]; starts of episodes `start_weight` times.

    At the start a robot has to choose its side, and few frames show it.
    """
    pairs = []
    for number, episode in enumerate(episodes):
        for window in range(len(episode.samples)):
            near_start = episode.samples.windows[window, 0] < 4
            pairs += [(number, window)] * (max(1, round(start_weight)) if near_start else 1)
    return np.asarray(pairs, dtype=np.int64).reshape(-1, 2)


class WindowDataset(Dataset):
    """Windows with their pictures, for modes in which the backbone runs in every step.

    An item is a dictionary: images uint8 [T, S, S, 3], instructions str, labels float32
    [T, chunk, dof] normalised, mask bool [T, chunk], with extra labels objects float32
    [T, N, 5] and words float32 [T, W, 5], and with corrections weights float32 [T].
    """

    def __init__(
        self,
        run: RunConfig,
        episodes: Sequence[TrainingEpisode],
        frames: FrameCache,
        augmentation: AugmentationSettings | None = None,
        start_weight: float = 1.0,
    ) -> None:
        self.run = run
        self.episodes = tuple(episodes)
        self.frames = frames
        self.augmentation = augmentation if augmentation and augmentation.on else None
        self.windows = episode_windows(self.episodes, start_weight)
        self.weighed = any(e.samples.weights is not None for e in self.episodes)

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, key: tuple[int, int] | int) -> dict[str, Any]:
        epoch, index = key if isinstance(key, tuple) else (0, key)
        held = index < 0
        index = -1 - index if held else index
        number, window = self.windows[index]
        episode = self.episodes[number]
        places = episode.samples.windows[window]
        transform = IDENTITY
        if self.augmentation is not None:
            rng = np.random.default_rng([self.run.seed, epoch, index])
            transform = draw_transform(self.augmentation, rng)
        images = np.asarray(self.frames.frames(episode)[places])
        item = {
            "images": transform_images(images, transform),
            "instructions": instruction_of(episode, transform),
            "labels": labels_of(self.run, episode, transform)[places],
            "mask": episode.samples.mask[places] & (not held),
        }
        if self.run.auxiliary.on and episode.labels is not None:
            item["objects"] = objects_of(episode, transform)[places]
            if self.run.auxiliary.words:
                item["words"] = words_of(episode, transform)[places]
        if self.weighed:
            item["weights"] = weights_of(episode)[places]
        return item


def collate(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Stacks arrays into tensors; instructions stay a list of strings."""
    batch: dict[str, Any] = {}
    for key in items[0]:
        values = [item[key] for item in items]
        batch[key] = values if isinstance(values[0], str) else torch.from_numpy(np.stack(values))
    return batch


def weights_of(episode: TrainingEpisode) -> np.ndarray:
    """float32 [F], how much each of the episode's rows counts."""
    weights = episode.samples.weights
    return np.ones(len(episode.samples.rows), np.float32) if weights is None else weights


def order_of(episode: TrainingEpisode, transform: Transform) -> OtherOrder | None:
    """What a transform asks for in place of the episode's instruction; None: as recorded."""
    others = episode.labels.others if episode.labels is not None else ()
    if transform.other_order is None or not others:
        return None
    return others[int(transform.other_order * len(others))]


def instruction_of(episode: TrainingEpisode, transform: Transform) -> str:
    """The instruction as the transformed pictures and commands deserve it."""
    order = order_of(episode, transform)
    said = episode.instruction if order is None else order.instruction
    return mirror_text(said) if transform.mirror else said


def labels_of(run: RunConfig, episode: TrainingEpisode, transform: Transform) -> np.ndarray:
    """Normalised labels float32 [F, chunk, dof] of the episode under a transform."""
    chunks = episode.samples.chunks
    order = order_of(episode, transform)
    if order is not None:
        chunks = order.chunks[episode.samples.rows, : chunks.shape[1]]
    if transform.mirror:
        chunks = mirror_velocities(chunks, run.action_axes)
    return normalise(chunks, run.norm_min, run.norm_max)


def objects_of(episode: TrainingEpisode, transform: Transform) -> np.ndarray:
    """Where the objects are after a transform: float32 [F, N, 5], see `EpisodeLabels`."""
    if episode.labels is None:
        raise RunError(f"{episode.path.name} has no object labels.")
    rows = episode.samples.rows
    objects = episode.labels.objects[rows].copy()
    order = order_of(episode, transform)
    if order is not None:
        objects[:, 0] = order.target[rows]
    return _placed(objects, transform)


def words_of(episode: TrainingEpisode, transform: Transform) -> np.ndarray:
    """Where the things of each word are: float32 [F, W, 5], see `EpisodeLabels`."""
    if episode.labels is None or not episode.labels.words.shape[1]:
        raise RunError(
            f"{episode.path.name} has no word_places: auxiliary.words needs episodes that the "
            "present `sim collect` wrote."
        )
    return _placed(episode.labels.words[episode.samples.rows].copy(), transform)


def _placed(objects: np.ndarray, transform: Transform) -> np.ndarray:
    objects[..., :2] = transform_places(objects[..., :2], transform)
    if transform.mirror:
        objects[..., 3] = -objects[..., 3]
    return objects
