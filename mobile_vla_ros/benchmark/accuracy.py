"""What a small number format costs in velocities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mobile_vla_ros.benchmark.frames import endless
from mobile_vla_ros.pictures import decode_compressed

if TYPE_CHECKING:
    from mobile_vla_ros.policy import Policy


def velocity_error(
    policy: Policy, reference: Policy, frames: Sequence[bytes], instruction: str, windows: int = 4
) -> dict[str, Any]:
    """Difference of two policies' chunks on the same windows.

    Args:
        policy: in the number format in question.
        reference: the same policy in float32.
        frames: JPEG frames; taken in turn, each window begins at another one.
        instruction: what both are told.
        windows: how many windows are compared.

    Returns:
        ``windows``; per axis ``mean`` and ``max`` of the absolute difference over all chunk steps
        (m/s, rad/s); and ``max_normalised``, the largest on the scale of [-1, 1].
    """
    config = policy.config
    source = endless(frames)
    differences = []
    for _ in range(windows):
        images = np.stack([decode_compressed(next(source)) for _ in range(config.window_size)])
        differences.append(
            np.abs(
                policy.predict_window(images, instruction)
                - reference.predict_window(images, instruction)
            )
        )
        next(source)
    found = np.concatenate(differences)
    spans = (np.asarray(config.norm_max) - np.asarray(config.norm_min)) / 2
    return {
        "windows": windows,
        "axes": {
            axis: {"mean": float(column.mean()), "max": float(column.max())}
            for axis, column in zip(config.action_axes, found.T, strict=True)
        },
        "max_normalised": float((found / spans).max()),
    }
