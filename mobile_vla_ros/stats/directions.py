"""Velocities as the words people use: forward, left, right, backward, stop.

One rule names the recorded and the predicted velocities wherever they are compared, so that a
share of agreement means the same in a verification and in a field trial.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

LABELS = ("forward", "left", "right", "stop")
BACKWARD = "backward"
# Slower than this on every axis is standing still (m/s, rad/s); it is also when a goal counts
# as reached while driving.
STANDSTILL = 0.05
# More than this share of the forward speed to the side is left or right.
TURN_SHARE = 0.5


def directions(velocities: np.ndarray, axes: Sequence[str]) -> np.ndarray:
    """Names the direction of each velocity.

    Left and right begin where the motion to the side exceeds half the forward speed, 27 degrees
    off straight ahead. The keys with which people drive lie at 0 (forward), 45 (the diagonals)
    and 90 degrees (sideways): a border at 45, where the larger part would win, runs right
    through the diagonals, and the smallest difference between a recorded and a predicted one
    would change its word. Half-way between forward and diagonal every key is far from a border.

    A base that cannot strafe goes to a side by turning: 1 rad/s counts as 1 m/s, the speed at
    which a point one metre ahead moves sideways. So an arc tighter than 2 m is a turn. That is
    still wide, and on purpose: whether an obstacle is passed on the left or on the right is what
    the words shall tell, and calling a bend forward would hide it. Where a base strafes and
    turns at once, the larger of both counts: their sum would be nothing on a circle around a
    goal.

    Args:
        velocities: float [N, dof], m/s and rad/s, left and counter-clockwise positive (REP-103).
        axes: names of the columns; linear.x, linear.y and angular.z count.

    Returns:
        str [N]: one of ``LABELS``, or ``BACKWARD``.
    """
    columns = dict(zip(axes, np.asarray(velocities, dtype=np.float64).T, strict=True))
    none = np.zeros(len(velocities))
    forward = columns.get("linear.x", none)
    strafe, turn = columns.get("linear.y", none), columns.get("angular.z", none)
    sideways = np.where(np.abs(turn) > np.abs(strafe), turn, strafe)
    labels = np.where(forward >= 0, "forward", BACKWARD)
    aside = np.abs(sideways) > TURN_SHARE * np.abs(forward)
    labels = np.where(aside, np.where(sideways > 0, "left", "right"), labels)
    still = np.maximum(np.abs(forward), np.abs(sideways)) < STANDSTILL
    return np.where(still, "stop", labels)


def confusion(recorded: np.ndarray, predicted: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Counts of recorded (rows) against predicted (columns) directions.

    Returns:
        The labels (``BACKWARD`` only when it occurs) and an int64 matrix.
    """
    labels = list(LABELS)
    if BACKWARD in recorded or BACKWARD in predicted:
        labels.append(BACKWARD)
    index = {label: place for place, label in enumerate(labels)}
    matrix = np.zeros((len(labels), len(labels)), dtype=np.int64)
    for truth, guess in zip(recorded, predicted, strict=True):
        matrix[index[truth], index[guess]] += 1
    return labels, matrix
