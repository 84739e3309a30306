"""Resized frames of episodes on disk: each is decoded once."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mobile_vla_ros.episodes import open_episode
from mobile_vla_ros.episodes.check_pictures import require_whole
from mobile_vla_ros.files import whole_file
from mobile_vla_ros.policy.preprocess import as_frames, resize
from mobile_vla_ros.training.episode import TrainingEpisode
from mobile_vla_ros.training.run_schema import RunError


class FrameCache:
    """Resized frames of episodes on disk: uint8 [F, S, S, 3], one file per episode.

    Every frame is decoded and resized once, then mapped into memory by whoever reads it.
    """

    def __init__(self, folder: str | Path, size: int) -> None:
        self.folder = Path(folder)
        self.size = size
        self._open: dict[str, np.ndarray] = {}

    def __getstate__(self) -> dict[str, Any]:
        # A worker process opens its own files.
        return {**self.__dict__, "_open": {}}

    def frames(self, episode: TrainingEpisode) -> np.ndarray:
        """uint8 [F, S, S, 3] RGB of the episode's `samples.rows`, mapped from disk."""
        name = self._name(episode)
        if name not in self._open:
            path = self.folder / name
            if not path.exists():
                self._write(path, episode)
            self._open[name] = np.load(path, mmap_mode="r")
        return self._open[name]

    def _name(self, episode: TrainingEpisode) -> str:
        rows = hashlib.sha256(episode.samples.rows.tobytes()).hexdigest()[:8]
        return f"{episode.sha256[:24]}_{rows}_{self.size}.npy"

    def _write(self, path: Path, episode: TrainingEpisode) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open_episode(episode.path) as file:
            require_whole(file)
            frames = np.stack(
                [
                    resize(as_frames(image).permute(0, 3, 1, 2), self.size)[0]
                    .permute(1, 2, 0)
                    .numpy()
                    for image in (file.image(int(row)) for row in episode.samples.rows)
                ]
            )
        write_array(path, frames)


def write_array(path: Path, values: np.ndarray) -> None:
    """Writes a .npy file, whole or not at all.

    Raises:
        RunError: the disk is full or the folder cannot be written.
    """
    with cache_file(path) as temporary, temporary.open("wb") as file:
        np.save(file, values)


@contextlib.contextmanager
def cache_file(path: Path) -> Iterator[Path]:
    """A name to write a file of the cache under, whole or not at all; see `whole_file`.

    Raises:
        RunError: the disk is full or the folder cannot be written.
    """
    try:
        with whole_file(path) as temporary:
            yield temporary
    except OSError as error:
        # numpy says nothing but how much it wrote when the disk is full.
        reason = error.strerror or "the disk is full"
        raise RunError(
            f"cannot write the cache {path}: {reason}; make room, or choose a folder with --cache."
        ) from error
