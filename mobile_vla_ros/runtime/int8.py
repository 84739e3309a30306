"""Weights of 8 bits brought to 7, for processors that add two products of bytes in 16 bits.

The largest sum of two products of an unsigned byte and a signed one is 2 x 255 x 127 = 64,770,
which 16 bits cut off at 32,767; with weights of 7 bits it is 2 x 255 x 64 = 32,640.
"""

from __future__ import annotations

import numpy as np

from mobile_vla_ros.policy.errors import CheckpointError
from mobile_vla_ros.runtime.manifest import INT8_FILE, Manifest


def in_seven_bits(manifest: Manifest, part: str) -> dict[str, np.ndarray]:
    """The quantised weights of a part with every level halved and every scale doubled, by name.

    Args:
        manifest: of an int8 directory.
        part: what the names of its weights begin with.

    Raises:
        CheckpointError: the directory has no file of quantised weights.
    """
    header = next((item for item in manifest.weights if item.path.name == INT8_FILE), None)
    if header is None:
        raise CheckpointError(f"{manifest.directory} says int8 and has no {INT8_FILE}")
    replaced = {}
    for name in header.places:
        if name.startswith(part) and name.endswith(".int8"):
            replaced[name] = halved(header.read(name))
        elif name.startswith(part) and name.endswith(".scale"):
            replaced[name] = header.read(name) * np.float32(2)
    return replaced


def halved(levels: np.ndarray) -> np.ndarray:
    """int8 [...] divided by two, rounded to nearest, halves to even; within -64 to 64."""
    floor = levels >> 1
    # An odd level lies between two: it goes up where the lower one is odd.
    return floor + (levels & 1 & floor)
