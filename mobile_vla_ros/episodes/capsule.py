"""An incident: what happened around one moment, in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mobile_vla_ros.errors import InputError
from mobile_vla_ros.pictures import ImageError, decode_compressed

NOTHING_SEEN = np.empty((0, 0, 0, 3), np.uint8)


class IncidentError(InputError):
    """An incident file that cannot be read or written."""


@dataclass(frozen=True)
class Incident:
    """What happened around one moment. All times are seconds of one clock (the node clock).

    Attributes:
        reason: what set it off, e.g. ``stopped: camera silent``, ``takeover``, ``mark``.
        time: when.
        jpegs: one encoded frame each, oldest first.
        frame_stamps: float64 [N], capture times.
        frame_received: float64 [N], arrival times.
        chunks: float32 [C, steps, dof], the policy's own output in m/s and rad/s, every step,
            played or not.
        chunk_stamps: float64 [C], capture time of the newest frame behind each chunk.
        chunk_received: float64 [C].
        axes: names of the ``dof`` columns.
        action_period: seconds per chunk step.
        commands: float64 [M, 4]: time, linear.x, linear.y (m/s), angular.z (rad/s) as published.
        odometry: float64 [K, 7]: time, x, y (m), yaw (rad), vx, vy (m/s), wz (rad/s).
        events: (time, text): states, marks, takeovers, verdicts.
        feature_stamps: float64 [F], capture times of ``features``.
        features: float32 [F, D], the policy's feature of a frame; [0, 0] when not published.
        attributes: of the trial (instruction, checkpoint and its hash, scenario), and
            ``instruction_before``: the one in force when the capsule begins, where it is known.
        seen: uint8 [N, S, S, 3], each frame as a policy's preprocessing resizes it, where
            ``jpegs`` has lost something; [0, 0, 0, 3] where it has not.
    """

    reason: str
    time: float
    jpegs: tuple[bytes, ...]
    frame_stamps: np.ndarray
    frame_received: np.ndarray
    chunks: np.ndarray
    chunk_stamps: np.ndarray
    chunk_received: np.ndarray
    axes: tuple[str, ...]
    action_period: float
    commands: np.ndarray
    odometry: np.ndarray
    events: tuple[tuple[float, str], ...]
    feature_stamps: np.ndarray
    features: np.ndarray
    attributes: Mapping[str, Any] = field(default_factory=dict)
    seen: np.ndarray = field(default_factory=lambda: NOTHING_SEEN)

    def image(self, index: int, seen_size: int = 0) -> np.ndarray:
        """Frame ``index`` as uint8 [H, W, 3] RGB.

        Args:
            index: of the frame.
            seen_size: the side of a policy's pictures: the frame as it is, or, where it was
                stored with losses and the policy's picture of it was kept, that one.

        Raises:
            IncidentError: the stored bytes are not an image.
        """
        if index < len(self.seen) and self.seen.shape[1] == seen_size:
            return self.seen[index]
        try:
            return decode_compressed(self.jpegs[index])
        except ImageError:
            raise IncidentError(f"frame {index} of the incident is not a readable image") from None
