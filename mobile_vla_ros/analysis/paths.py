"""Where a robot would end that follows commands without feedback, fast or slow hardware."""

from __future__ import annotations

import numpy as np

CONTROL_PERIOD = 0.05
CHUNK_TIMEOUT = 0.8


def commands_with_latency(
    stamps: np.ndarray,
    chunks: np.ndarray,
    action_period: float,
    latency: float,
    times: np.ndarray,
    timeout: float = CHUNK_TIMEOUT,
) -> np.ndarray:
    """What the control timer would send if every chunk arrived ``latency`` after its frame.

    Chunks are sampled at the time since their frame was captured, as in driving, so latency costs
    fresh information and not time. Older than min(horizon, timeout), or before the first chunk
    arrives, the command is zero.

    Args:
        stamps: float64 [T], capture times.
        chunks: float [T, chunk, dof].
        action_period: seconds per chunk step.
        latency: seconds from capture to the chunk's arrival.
        times: float64 [N], the timer's ticks.
        timeout: greatest age of a command, in seconds.

    Returns:
        float64 [N, dof].
    """
    steps = chunks.shape[1]
    newest = np.searchsorted(stamps + latency, times + 1e-9, side="right") - 1
    age = times - stamps[np.maximum(newest, 0)]
    step = np.floor(age / action_period + 1e-9).astype(int)
    valid = (newest >= 0) & (age < min(steps * action_period, timeout) - 1e-9)
    commands = chunks[np.maximum(newest, 0), np.clip(step, 0, steps - 1)].astype(np.float64)
    return np.where(valid[:, None], commands, 0.0)


def commands_in_force(stamps: np.ndarray, commands: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Recorded commands [T, dof] held from each stamp to the next, at ``times``: [N, dof]."""
    rows = np.clip(np.searchsorted(stamps, times + 1e-9, side="right") - 1, 0, len(stamps) - 1)
    return np.asarray(commands, dtype=np.float64)[rows]


def path_end_error(path: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    """Distance (m) and absolute heading difference (rad, at most pi) of two paths' ends."""
    gap = path[-1] - reference[-1]
    heading = float(np.abs(np.angle(np.exp(1j * gap[2]))))
    return float(np.hypot(gap[0], gap[1])), heading
