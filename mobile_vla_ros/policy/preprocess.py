"""From camera frames to model input: the one function that drives, trains and measures alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mobile_vla_ros.policy.errors import PolicyError
from mobile_vla_ros.policy.frames import check_frames, resize_exactly, stacked

# torch's uint8 kernel has 16-bit weights: on small frames a few values in a million are two grey
# levels from PIL's. Up to this size PIL itself takes no more than 2.5 ms; above it torch takes
# an eighth of PIL's time, and its weights are finer the more a frame shrinks.
EXACT_PIXELS = 640 * 480


def preprocess(
    images: np.ndarray | Tensor,
    size: int,
    mean: Sequence[float],
    std: Sequence[float],
    device: torch.device | str = "cpu",
) -> Tensor:
    """Resizes to ``size`` x ``size`` as PIL's antialiased bicubic does, and normalises.

    The aspect ratio is not kept: the policy was trained that way.

    Args:
        images: uint8 [N, H, W, 3] or [H, W, 3], RGB.
        size: side of the output in pixels.
        mean: per channel, on the [0, 1] scale.
        std: per channel, on the [0, 1] scale.
        device: where the work is done and the result stays.

    Returns:
        float32 [N, 3, size, size], within one grey level of PIL.

    Raises:
        PolicyError: there are none, or they are not uint8 RGB of a positive size.
    """
    frames = as_frames(images)
    device = torch.device(device)
    if frames.device != device:
        frames = frames.to(device, non_blocking=True)
    # A permuted view is what torch calls channels last, for which it has a vectorised kernel.
    return normalise(resize(frames.permute(0, 3, 1, 2), size), mean, std)


def as_frames(images: np.ndarray | Tensor | Any) -> Tensor:
    """The images as a uint8 tensor [N, H, W, 3], without a copy where there need be none.

    Raises:
        PolicyError: the images are not uint8 RGB of a positive size.
    """
    images = stacked(images)
    if isinstance(images, np.ndarray):
        given = images[None] if images.ndim == 3 else images
        check_frames(str(images.dtype), given.shape)
        if any(stride < 0 for stride in images.strides) or not images.flags.writeable:
            images = images.copy()
        frames = torch.from_numpy(images)
    elif isinstance(images, Tensor):
        frames = images
    else:
        raise PolicyError(f"images must be a uint8 array, not {type(images).__name__}")
    if frames.dim() == 3:
        frames = frames[None]
    check_frames(str(frames.dtype), frames.shape)
    return frames


def resize(frames: Tensor, size: int) -> Tensor:
    """Grey levels [N, 3, H, W] to [N, 3, size, size]: uint8 on the CPU, whole floats elsewhere."""
    height, width = frames.shape[-2:]
    if frames.device.type != "cpu":
        # The device's kernel takes floats only. PIL rounds and clips after each pass, so do we:
        # without it an overshoot at an edge is off by several grey levels.
        across = _bicubic(frames.float(), (height, size)).round_().clamp_(0, 255)
        return _bicubic(across, (size, size)).round_().clamp_(0, 255)
    if height * width <= EXACT_PIXELS:
        resized = [
            resize_exactly(frame, size)
            for frame in frames.permute(0, 2, 3, 1).contiguous().numpy()
        ]
        return torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2)
    return _bicubic(frames, (size, size))


def _bicubic(frames: Tensor, size: tuple[int, int]) -> Tensor:
    return functional.interpolate(
        frames, size, mode="bicubic", antialias=True, align_corners=False
    )


def normalise(frames: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Grey levels [N, 3, S, S] to contiguous float32: (x / 255 - mean) / std."""
    values = torch.empty(frames.shape, dtype=torch.float32, device=frames.device)
    values.copy_(frames)
    for channel in range(3):
        values[:, channel].mul_(1 / (255 * std[channel])).sub_(mean[channel] / std[channel])
    return values
