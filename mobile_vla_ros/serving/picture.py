"""A camera frame as it travels: resized to what the policy sees, then compressed."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from mobile_vla_ros.pictures import encode_jpeg, encode_png
from mobile_vla_ros.serving.errors import WireError

LOSSLESS = 0
"""The quality that means PNG."""


def shrink(image: np.ndarray, size: int) -> np.ndarray:
    """Resizes as the policy's preprocessing does: antialiased bicubic, aspect not kept.

    Args:
        image: uint8 [H, W, 3] RGB.
        size: side of the result, pixels.

    Returns:
        uint8 [size, size, 3] RGB. Equal to the training resize up to 640 x 480 pixels, within
        one grey level of it above.
    """
    picture = Image.fromarray(image)
    return np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC))


def compress(image: np.ndarray, quality: int) -> tuple[str, bytes]:
    """Compresses a small picture.

    Args:
        image: uint8 [S, S, 3] RGB.
        quality: JPEG quality 1 to 100 (full colour resolution), or ``LOSSLESS``.

    Returns:
        The form (``jpeg`` or ``png``) and the bytes.
    """
    if quality == LOSSLESS:
        return "png", encode_png(image)
    return "jpeg", encode_jpeg(image, quality, full_colour=True)


def expand(form: str, data: bytes, size: int) -> np.ndarray:
    """Reads a compressed picture that a stranger may have sent.

    Args:
        form: ``jpeg`` or ``png``.
        data: its bytes.
        size: the side it must have; told from its header, before any pixel is allocated.

    Returns:
        uint8 [size, size, 3] RGB.

    Raises:
        WireError: it is not such a picture.
    """
    try:
        with Image.open(io.BytesIO(data), formats=[form.upper()]) as picture:
            if picture.size != (size, size):
                width, height = picture.size
                raise WireError(
                    f"the picture is {width}x{height}: this policy sees {size}x{size}, and the "
                    "robot resizes before it sends"
                )
            return np.array(picture.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, WireError):
            raise
        raise WireError(f"the picture is no {form} that can be read") from error
