"""From camera frames to model input in numpy; equals ``policy.preprocess`` on a CPU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mobile_vla_ros.policy.frames import frames_array, resize_exactly


def preprocess(
    images: np.ndarray, size: int, mean: Sequence[float], std: Sequence[float]
) -> np.ndarray:
    """Resizes to ``size`` x ``size`` by PIL's antialiased bicubic, and normalises.

    Args:
        images: uint8 [N, H, W, 3] or [H, W, 3], RGB.
        size: side of the output in pixels.
        mean: per channel, on the [0, 1] scale.
        std: per channel, on the [0, 1] scale.

    Returns:
        float32 [N, 3, size, size].

    Raises:
        PolicyError: there are none, or they are not uint8 RGB of a positive size.
    """
    frames = frames_array(images)
    values = np.empty((len(frames), 3, size, size), np.float32)
    for index, frame in enumerate(frames):
        values[index] = resize_exactly(frame, size).transpose(2, 0, 1)
    for channel in range(3):
        values[:, channel] *= np.float32(1 / (255 * std[channel]))
        values[:, channel] -= np.float32(mean[channel] / std[channel])
    return values
