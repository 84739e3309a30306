"""A frame as a picture file's bytes, upright whatever its EXIF tag says."""

from __future__ import annotations

import numpy as np

from mobile_vla_ros.episodes.reader import Episode
from mobile_vla_ros.pictures import encode_png

_EXIF = (b"Exif\x00\x00", b"eXIf")
_HEAD = 1 << 16  # a tag stands before the picture's own bytes


def upright(data: bytes, image: np.ndarray) -> bool:
    """Whether every program sees a picture file as ``image``, its orientation tag or not.

    Args:
        data: the file's bytes.
        image: uint8 [H,W,3] RGB as our reader sees it, which turns by the tag.
    """
    if not any(mark in data[:_HEAD] for mark in _EXIF):
        return True
    import cv2

    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    stored = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    return stored is not None and np.array_equal(stored[..., ::-1], image)


def resized(image: np.ndarray, size: tuple[int, int] | None) -> np.ndarray:
    """uint8 [H,W,3] at ``size`` (H, W), averaged over areas."""
    if size is None or image.shape[:2] == size:
        return image
    import cv2

    return cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)


def encoded(episode: Episode, row: int, size: tuple[int, int] | None) -> tuple[bytes, np.ndarray]:
    """The frame of a row as a JPEG or PNG file, and as uint8 [H,W,3] RGB.

    A compressed frame that keeps its size stays byte for byte, unless a tag turns it; all others
    become PNG, which loses nothing.
    """
    image, data = episode.image(row), episode.jpeg(row)
    small = resized(image, size)
    if data is not None and small is image and upright(data, image):
        return data, image
    return encode_png(small), small
