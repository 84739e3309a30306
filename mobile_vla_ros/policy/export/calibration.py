"""Frames that a quantisation is chosen and judged by, and what it does to the velocities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mobile_vla_ros.policy.config import PolicyConfig
from mobile_vla_ros.stats.percentiles import percentiles

INSTRUCTION = "Navigate around obstacles and reach the front of the beverage bottle on the left"
DRAWN_FRAMES = 16
# Largest velocity error at the 99th percentile, in normalised units, that is written unasked.
BOUND = 0.03


@dataclass(frozen=True)
class Clip:
    """Frames in a row, ``frame_period`` apart.

    Attributes:
        images: uint8 [T, H, W, 3] RGB.
        instruction: what the robot was told.
    """

    images: np.ndarray
    instruction: str


def drawn_clips(size: int, seed: int = 0) -> list[Clip]:
    """Soft random pictures, for want of episodes: they say little of a trained policy."""
    random = np.random.default_rng(seed)
    coarse = random.random((DRAWN_FRAMES, 7, 7, 3)) * random.random((DRAWN_FRAMES, 1, 1, 3))
    fine = np.kron(coarse, np.ones((1, size // 7, size // 7, 1)))
    noise = random.normal(0, 0.02, fine.shape)
    return [Clip((255 * np.clip(fine + noise, 0, 1)).astype(np.uint8), INSTRUCTION)]


def velocity_errors(
    config: PolicyConfig,
    features: Sequence[np.ndarray],
    exact: Sequence[np.ndarray],
    decode: Callable[[np.ndarray], Any],
) -> dict[str, Any]:
    """How far velocities move when features do.

    Args:
        config: the policy's.
        features: per clip [T, latent, D], quantised.
        exact: the same in float32.
        decode: [1, T, latent, D] to normalised actions [1, T, chunk, dof].

    Returns:
        ``p99``, ``p50`` and ``max`` of the absolute difference in normalised units over all
        frames, steps and axes, each frame with the frames before it in its window, and
        ``frames``.
    """
    found = []
    for one, other in zip(features, exact, strict=True):
        for end in range(1, len(one) + 1):
            start = max(0, end - config.window_size)
            pair = [np.asarray(decode(values[None, start:end]))[0, -1] for values in (one, other)]
            found.append(np.abs(pair[0] - pair[1]))
    errors = np.stack(found)
    return {
        **percentiles(errors.ravel(), (50, 99)),
        "max": float(errors.max()),
        "frames": len(errors),
    }
