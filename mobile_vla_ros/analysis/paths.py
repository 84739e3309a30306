"""Where a robot would end that follows commands without feedback, fast or slow hardware."""

from __future__ import annotations

from typing import Any

import numpy as np

from mobile_vla_ros.analysis.traces import Trace, error_sums
from mobile_vla_ros.planar import integrate
from mobile_vla_ros.stats.bootstrap import bootstrap_mean, bootstrap_sums
from mobile_vla_ros.stats.regression import rmse

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


def latency_effect(
    traces: list[Trace], config, latency: float, *, seed: int = 0, resamples: int = 1000
) -> dict[str, Any]:
    """Where the path of the commands would end if every chunk arrived ``latency`` s late.

    Open loop: the recorded frames do not change with what is commanded, so this says how stale
    commands get, not where the robot would drive.
    """
    ends, headings, lengths, zeros, errors = [], [], [], [], []
    for trace in traces:
        hold = float(np.median(np.diff(trace.stamps))) if len(trace.stamps) > 1 else 0.4
        times = np.arange(trace.stamps[0], trace.stamps[-1] + hold - 1e-9, CONTROL_PERIOD)
        sent = commands_with_latency(
            trace.stamps, trace.predicted, config.action_period, latency, times
        )
        recorded = commands_in_force(trace.stamps, trace.commands, times)
        path = integrate(sent, trace.axes, CONTROL_PERIOD)
        reference = integrate(recorded, trace.axes, CONTROL_PERIOD)
        end, heading = path_end_error(path, reference)
        ends.append(end)
        headings.append(heading)
        lengths.append(float(np.linalg.norm(np.diff(reference[:, :2], axis=0), axis=1).sum()))
        zeros.append(float((np.abs(sent).max(axis=1) == 0).mean()))
        errors.append(error_sums(config.normalise(sent), config.normalise(recorded)).sum(axis=0))
    rng = np.random.default_rng([seed, 14])
    ones = np.ones(len(ends))
    mean_end = bootstrap_mean(np.array(ends), ones, rng, resamples=resamples)
    error = bootstrap_sums(np.stack(errors), rmse, rng, resamples=resamples)
    return {
        "latency": latency,
        "open_loop": True,
        "path_end_error": {
            "value": mean_end.value,
            "low": mean_end.low,
            "high": mean_end.high,
            "unit": "m",
        },
        "heading_error": {"value": float(np.mean(headings)), "unit": "rad"},
        "recorded_path_length": {"value": float(np.mean(lengths)), "unit": "m"},
        "share_of_time_at_zero": float(np.mean(zeros)),
        "rmse_normalised": {"value": error.value, "low": error.low, "high": error.high},
        "usable": latency < min(CHUNK_TIMEOUT, config.chunk_size * config.action_period),
    }
