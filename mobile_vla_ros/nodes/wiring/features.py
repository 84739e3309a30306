"""The policy's feature of a frame on its way from the model's process, as JSON values."""

from __future__ import annotations

import base64

import numpy as np


def pack_feature(feature: np.ndarray | None) -> dict | None:
    """A feature [latent, D] as JSON values; None stays None."""
    if feature is None:
        return None
    rows = np.atleast_2d(np.asarray(feature, "<f4"))
    return {"shape": rows.shape, "data": base64.b64encode(rows.tobytes()).decode()}


def unpack_feature(packed: dict) -> np.ndarray:
    """float32 [latent, D] of what ``pack_feature`` made."""
    return np.frombuffer(base64.b64decode(packed["data"]), "<f4").reshape(packed["shape"])
