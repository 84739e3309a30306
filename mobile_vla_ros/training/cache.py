"""The feature cache: with a frozen backbone a frame's feature never changes, so it is made once.

A file per (episode, view) lies under a folder named by what decides a feature: the weights and
the preprocessing; its own name says prompt and transform. A view is one transform of the whole
episode; view 0 is the episode as recorded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from mobile_vla_ros.training.augmentation import (
    IDENTITY,
    Transform,
    draw_transform,
    transform_images,
)
from mobile_vla_ros.training.episode import TrainingEpisode
from mobile_vla_ros.training.frames import FrameCache, write_array
from mobile_vla_ros.training.run import RunConfig
from mobile_vla_ros.training.run_schema import AugmentationSettings
from mobile_vla_ros.training.windows import (
    episode_windows,
    instruction_of,
    labels_of,
    weights_of,
)


def why_no_cache(run: RunConfig, token_is_trained: bool = False) -> str | None:
    """Why features change during this run, as a sentence; None when they do not.

    Args:
        run: the run.
        token_is_trained: the action token comes from a checkpoint in which it was trained, and
            stays as it is.
    """
    if run.setup.lora_enable:
        return "features change with the adapters (train_setup.lora_enable is true)"
    if not run.setup.freeze_backbone or run.setup.train_vision or run.setup.train_text_embedding:
        return "features change with the backbone, of which some part is trained"
    if run.setup.train_action_token:
        return (
            "features change with the action token (set train_setup.train_action_token to false"
            + (", the loaded one is trained already)" if token_is_trained else ")")
        )
    if run.auxiliary.on:
        return "the auxiliary losses need the pictures"
    return None


def weights_digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, types and bytes of some weights."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name].detach().contiguous().cpu()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        number = float(value.item()).hex().encode("ascii") if not value.dim() else b""
        digest.update(value.view(torch.uint8).numpy().data if value.dim() else number)
    return digest.hexdigest()


def episode_view(
    settings: AugmentationSettings, episode: TrainingEpisode, view: int, seed: int
) -> Transform:
    """The transform of one view of one episode; view 0 changes nothing."""
    if view == 0 or not settings.on:
        return IDENTITY
    rng = np.random.default_rng([seed, int(episode.sha256[:12], 16), view])
    return draw_transform(settings, rng)


@dataclass(frozen=True)
class FeatureCache:
    """Features of episodes on disk.

    Attributes:
        folder: where they lie.
        key: what decides a feature beside picture and prompt: weights and preprocessing.
        frames: where the pictures come from.
        encode: uint8 [N, S, S, 3] and an instruction to float32 [N, latent, D]. It is called
            for what is not there yet, and never again.
        batch: frames per call of `encode`.
    """

    folder: Path
    key: str
    frames: FrameCache
    encode: Callable[[np.ndarray, str], np.ndarray]
    batch: int = 64

    def features(self, episode: TrainingEpisode, transform: Transform) -> np.ndarray:
        """float32 [F, latent, D] of the episode's `samples.rows` under a transform."""
        path = self._path(episode, transform)
        if not path.exists():
            pictures = self.frames.frames(episode)
            prompt = instruction_of(episode, transform)
            parts = [
                self.encode(
                    transform_images(np.asarray(pictures[at : at + self.batch]), transform), prompt
                )
                for at in range(0, len(pictures), self.batch)
            ]
            write_array(path, np.concatenate(parts).astype(np.float32))
        return np.load(path)

    def _path(self, episode: TrainingEpisode, transform: Transform) -> Path:
        said = f"{instruction_of(episode, transform)}|{transform}".encode()
        rows = episode.samples.rows.tobytes()
        name = hashlib.sha256(said + rows).hexdigest()[:16]
        return self.folder / self.key[:24] / f"{episode.sha256[:24]}_{name}.npy"


class FeatureDataset(Dataset):
    """Windows of features, gathered a batch at a time from memory.

    A batch is a dictionary: features float32 [B, T, latent, D], labels float32
    [B, T, chunk, dof], mask bool [B, T, chunk], and with corrections weights float32 [B, T].
    """

    def __init__(
        self,
        run: RunConfig,
        episodes: Sequence[TrainingEpisode],
        cache: FeatureCache,
        augmentation: AugmentationSettings | None = None,
        start_weight: float = 1.0,
        progress: Callable[[Sequence[Any]], Iterable[Any]] = iter,
    ) -> None:
        settings = augmentation if augmentation and augmentation.on else AugmentationSettings()
        self.views = settings.views if settings.on else 1
        self.seed = run.seed
        self.windows = episode_windows(episodes, start_weight)
        features: list[list[np.ndarray]] = [[] for _ in range(self.views)]
        labels: list[list[np.ndarray]] = [[] for _ in range(self.views)]
        masks = [episode.samples.mask for episode in episodes]
        work = [(view, episode) for view in range(self.views) for episode in episodes]
        for view, episode in progress(work):
            transform = episode_view(settings, episode, view, run.seed)
            features[view].append(cache.features(episode, transform))
            labels[view].append(labels_of(run, episode, transform))
        # [view, frame of all episodes, ...]
        self.features = torch.from_numpy(np.stack([np.concatenate(part) for part in features]))
        self.labels = torch.from_numpy(np.stack([np.concatenate(part) for part in labels]))
        self.mask = torch.from_numpy(np.concatenate(masks))
        self.weights: Tensor | None = None
        if any(episode.samples.weights is not None for episode in episodes):
            self.weights = torch.from_numpy(np.concatenate([weights_of(e) for e in episodes]))
        first = np.cumsum([0, *[len(mask) for mask in masks]])
        self.places = torch.from_numpy(
            np.stack(
                [
                    episodes[number].samples.windows[window] + first[number]
                    for number, window in self.windows
                ]
            )
            if len(self.windows)
            else np.empty((0, run.window_size), dtype=np.int64)
        )
        self._drawn: tuple[int, Tensor] | None = None

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, key: tuple[int, int] | int) -> dict[str, Tensor]:
        batch = self.__getitems__([key])
        return {name: value[0] for name, value in batch.items()}

    def __getitems__(self, keys: Sequence[tuple[int, int] | int]) -> dict[str, Tensor]:
        pairs = [key if isinstance(key, tuple) else (0, key) for key in keys]
        epoch = pairs[0][0]
        given = torch.tensor([pair[1] for pair in pairs])
        held = given < 0
        index = torch.where(held, -1 - given, given)
        view = self._views(epoch)[index][:, None]
        places = self.places[index]
        batch = {
            "features": self.features[view, places],
            "labels": self.labels[view, places],
            "mask": self.mask[places] & ~held[:, None, None],
        }
        if self.weights is not None:
            batch["weights"] = self.weights[places]
        return batch

    def _views(self, epoch: int) -> Tensor:
        if self._drawn is None or self._drawn[0] != epoch:
            rng = np.random.default_rng([self.seed, epoch, 1])
            drawn = rng.integers(self.views, size=len(self.windows))
            self._drawn = (epoch, torch.from_numpy(drawn))
        return self._drawn[1]
