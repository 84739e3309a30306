"""Frames to measure with: from episodes, or drawn. Never zeros: caches and codecs notice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path

import numpy as np

from mobile_vla_ros.episodes import find_episodes, open_episode
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.pictures import encode_jpeg

KEPT = 16


class BenchmarkError(InputError):
    """A benchmark that cannot be run as asked."""


def drawn_frames(count: int = KEPT, size: tuple[int, int] = (720, 1280)) -> list[bytes]:
    """JPEG frames of a made-up room: gradients, a box that moves, sensor noise.

    Args:
        count: how many different ones.
        size: height, width in pixels.
    """
    rng = np.random.default_rng(0)
    height, width = size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    frames = []
    for index in range(count):
        picture = np.stack(
            [
                90 + 60 * y / height,
                110 + 40 * np.sin(x / width * 3 + index / 5),
                130 + 50 * (1 - y / height),
            ],
            axis=-1,
        )
        left = int((0.2 + 0.6 * index / count) * width)
        picture[height // 3 : 2 * height // 3, left : left + width // 6] = (60, 110, 160)
        picture += rng.normal(0, 6, picture.shape)
        pixels = picture.clip(0, 255).astype(np.uint8)
        frames.append(encode_jpeg(pixels[..., ::-1], 90))
    return frames


def episode_frames(directory: str | Path, count: int = KEPT) -> list[bytes]:
    """JPEG frames of recorded episodes, the first of each in turn.

    Raises:
        BenchmarkError: no readable episode in the folder.
    """
    frames: list[bytes] = []
    for path in find_episodes(directory):
        try:
            with open_episode(path) as episode:
                for index in range(min(len(episode), count - len(frames))):
                    jpeg = episode.jpeg(index)
                    if jpeg is None:
                        jpeg = encode_jpeg(episode.image(index))
                    frames.append(jpeg)
        except InputError:
            continue
        if len(frames) >= count:
            break
    if not frames:
        raise BenchmarkError(f"there is no readable episode in {directory}")
    return frames


def endless(frames: Sequence[bytes]) -> Iterator[bytes]:
    """The frames over and over."""
    return cycle(frames)
