"""Pictures for links of different speeds."""

from __future__ import annotations

import cv2
import numpy as np

QUALITY = 60


def smaller(jpeg: bytes, width: int) -> bytes:
    """A JPEG picture with at most ``width`` pixels across; 0, or one that is small: as it came."""
    if not width:
        return jpeg
    pixels = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_REDUCED_COLOR_2)
    if pixels is None:
        return jpeg
    high, wide = pixels.shape[:2]
    if wide > width:
        size = (width, max(1, round(high * width / wide)))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    good, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return encoded.tobytes() if good and len(encoded) < len(jpeg) else jpeg
