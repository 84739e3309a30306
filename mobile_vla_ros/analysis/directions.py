"""Velocities as the words people use: forward, left, right, stop."""

from __future__ import annotations

import numpy as np

LABELS = ("forward", "left", "right", "stop")
BACK = "back"
# Slower than this on every axis is standing still (m/s, rad/s); it is also when a goal counts
# as reached while driving.
STANDSTILL = 0.05
# Sideways or turning faster than this share of the forward speed is a turn.
TURN_SHARE = 0.5


def directions(velocities: np.ndarray, axes: tuple[str, ...]) -> np.ndarray:
    """Names the direction of each velocity.

    Args:
        velocities: float [N, dof], m/s and rad/s, left and counter-clockwise positive (REP-103).
        axes: names of the columns. Turning is read from angular.z and from linear.y.

    Returns:
        str [N]: one of ``LABELS``, or ``BACK``.
    """
    names = list(axes)
    velocities = np.asarray(velocities, dtype=np.float64)
    forward = velocities[:, names.index("linear.x")] if "linear.x" in names else 0.0
    forward = np.broadcast_to(forward, len(velocities))
    sideways = np.zeros(len(velocities))
    for name in ("linear.y", "angular.z"):
        if name in names:
            column = velocities[:, names.index(name)]
            sideways = np.where(np.abs(column) > np.abs(sideways), column, sideways)
    labels = np.where(forward >= 0, "forward", BACK)
    turning = np.abs(sideways) > TURN_SHARE * np.abs(forward)
    labels = np.where(turning, np.where(sideways > 0, "left", "right"), labels)
    still = np.maximum(np.abs(forward), np.abs(sideways)) < STANDSTILL
    return np.where(still, "stop", labels)


def confusion(recorded: np.ndarray, predicted: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Counts of recorded (rows) against predicted (columns) directions.

    Returns:
        The labels (``BACK`` only when it occurs) and an int64 matrix.
    """
    labels = list(LABELS)
    if BACK in recorded or BACK in predicted:
        labels.append(BACK)
    index = {label: place for place, label in enumerate(labels)}
    matrix = np.zeros((len(labels), len(labels)), dtype=np.int64)
    for truth, guess in zip(recorded, predicted, strict=True):
        matrix[index[truth], index[guess]] += 1
    return labels, matrix
