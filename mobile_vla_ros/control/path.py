"""Where velocities lead: poses of the base along a sequence of commands."""

from __future__ import annotations

import numpy as np


def integrate(velocities: np.ndarray, axes: tuple[str, ...], period: float) -> np.ndarray:
    """Poses of a planar base that holds each command for ``period`` seconds.

    Exact for commands that are constant over a step (the base moves on a circle or a line), so
    the result does not depend on how finely a command is cut.

    Args:
        velocities: [k, dof], m/s and rad/s in the base frame (REP-103).
        axes: name of each column; only ``linear.x``, ``linear.y`` and ``angular.z`` move a planar
            base, the others are ignored.
        period: seconds per step.

    Returns:
        float64 [k+1, 3]: x, y (m) and yaw (rad, not wrapped) in the frame of the start.

    Raises:
        ValueError: velocities that are not [k, len(axes)].
    """
    commands = np.asarray(velocities, dtype=np.float64)
    if commands.ndim != 2 or commands.shape[1] != len(axes):
        raise ValueError(f"velocities are {list(commands.shape)}, not [steps, {len(axes)}]")
    columns = dict(zip(axes, commands.T, strict=True))
    still = np.zeros(len(commands))
    forward = columns.get("linear.x", still) * period
    left = columns.get("linear.y", still) * period
    turn = columns.get("angular.z", still) * period
    # Chord of an arc: the displacement turned by half the step's turn, shortened by sinc.
    shrink = np.sinc(turn / (2 * np.pi))
    yaw = np.concatenate([[0.0], np.cumsum(turn)])
    heading = yaw[:-1] + turn / 2
    step_x = shrink * (forward * np.cos(heading) - left * np.sin(heading))
    step_y = shrink * (forward * np.sin(heading) + left * np.cos(heading))
    x = np.concatenate([[0.0], np.cumsum(step_x)])
    y = np.concatenate([[0.0], np.cumsum(step_y)])
    return np.stack([x, y, yaw], axis=1)
