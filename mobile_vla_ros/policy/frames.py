"""Camera frames as a policy takes them: what is refused, and PIL's resize. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from mobile_vla_ros.policy.errors import PolicyError


def check_frames(dtype: str, shape: Sequence[int]) -> None:
    """Raises PolicyError unless these are uint8 RGB frames [N, H, W, 3] of a positive size."""
    if dtype.removeprefix("torch.") != "uint8":
        raise PolicyError(f"images must be uint8 RGB, not {dtype}")
    if len(shape) != 4 or shape[-1] != 3:
        raise PolicyError(f"images must have the shape [N, height, width, 3], not {list(shape)}")
    if not shape[0]:
        raise PolicyError("there are no images: the batch is empty")
    if min(shape[1:3]) == 0:
        raise PolicyError(f"an image of {shape[2]}x{shape[1]} pixels is empty")


def check_pixels(floating: bool, dtype: str, shape: Sequence[int], size: int) -> None:
    """Raises PolicyError unless these are preprocessed pixels [N, 3, size, size]."""
    if not floating:
        raise PolicyError(
            f"pixel_values must be preprocessed (float), not {dtype}; see preprocess"
        )
    if len(shape) != 4 or tuple(shape[1:]) != (3, size, size):
        raise PolicyError(f"pixel_values must be [N, 3, {size}, {size}], not {list(shape)}")
    if not shape[0]:
        raise PolicyError("pixel_values holds no frame")


def check_features(shape: Sequence[int], latent: int, width: int) -> None:
    """Raises PolicyError unless these are features [B, T, latent, width], at least one."""
    if len(shape) != 4 or tuple(shape[2:]) != (latent, width) or 0 in shape:
        raise PolicyError(f"features must be [B, T, {latent}, {width}], not {list(shape)}")


def frames_array(images: Any) -> np.ndarray:
    """The images as uint8 [N, H, W, 3], without a copy where there need be none.

    A list or tuple of arrays [H, W, 3] of one size is stacked.

    Raises:
        PolicyError: the images are not uint8 RGB of a positive size.
    """
    images = stacked(images)
    if not isinstance(images, np.ndarray):
        raise PolicyError(f"images must be a uint8 array, not {type(images).__name__}")
    frames = images[None] if images.ndim == 3 else images
    check_frames(str(images.dtype), frames.shape)
    return frames


def stacked(images: Any) -> Any:
    """A list or tuple of arrays as one array; anything else as it is.

    Raises:
        PolicyError: they are not of one size and kind.
    """
    if not isinstance(images, list | tuple) or not images:
        return images
    if not all(isinstance(image, np.ndarray) and image.ndim == 3 for image in images):
        return images
    kinds = sorted({f"{image.dtype} {list(image.shape)}" for image in images})
    if len(kinds) > 1:
        raise PolicyError(f"the images are of different kinds: {', '.join(kinds[:3])}")
    return np.stack(images)


def resize_exactly(frame: np.ndarray, size: int) -> np.ndarray:
    """One frame uint8 [H, W, 3] to [size, size, 3] by PIL's own antialiased bicubic."""
    picture = Image.fromarray(np.ascontiguousarray(frame))
    return np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC))
