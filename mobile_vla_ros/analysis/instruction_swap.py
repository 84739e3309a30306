"""Does the policy listen? The same frames with left and right exchanged in the instruction."""

from __future__ import annotations

from typing import Any

import numpy as np

from mobile_vla_ros.analysis.recordings import side_of_name
from mobile_vla_ros.analysis.traces import Trace
from mobile_vla_ros.stats.bootstrap import bootstrap_mean, bootstrap_sums

# A change of less than one per cent of an axis's full range (2 in normalised units) is none.
IGNORED_CHANGE = 0.02


def instruction_swap(
    traces: list[Trace], axes: tuple[str, ...], *, seed: int = 0, resamples: int = 1000
) -> dict:
    """How much the velocities change when left and right are exchanged in the instruction.

    ``turn_towards_side`` is half the difference that naming a side makes in the turning axis:
    positive when the policy turns more to the side it is told, in normalised units.
    """
    told = [trace for trace in traces if trace.swapped is not None]
    if not told:
        return {
            "measured": False,
            "reason": "no instruction names left or right, or the check was left out",
        }
    change = [((trace.swapped - trace.normalised)[:, 0] ** 2).sum() for trace in told]
    values = [trace.normalised[:, 0].size for trace in told]
    rng = np.random.default_rng([seed, 12])
    both = np.stack([np.array(change, float), np.array(values, float)], axis=-1)
    size = bootstrap_sums(both, lambda s: np.sqrt(s[..., 0] / s[..., 1]), rng, resamples=resamples)
    within = np.concatenate([t.normalised[:, 0] - t.normalised[:, 0].mean(axis=0) for t in told])
    result: dict[str, Any] = {
        "measured": True,
        "episodes": len(told),
        "rms_change_normalised": size.value,
        "low": size.low,
        "high": size.high,
        "change_over_frames": float(np.sqrt((within**2).mean())),
        "ignored_below": IGNORED_CHANGE,
    }
    turn_axis = next((axis for axis in ("angular.z", "linear.y") if axis in axes), None)
    upper = size.high if np.isfinite(size.high) else size.value
    ignores = upper < IGNORED_CHANGE
    toward = None
    if turn_axis:
        place = axes.index(turn_axis)
        sums, counts = [], []
        for trace in told:
            # An instruction that names both sides asks for neither.
            sides = {side_of_name(word) for word in trace.instruction.split()} - {None}
            if len(sides) != 1:
                continue
            sign = 1.0 if sides == {"left"} else -1.0
            gain = sign * (trace.normalised - trace.swapped)[:, 0, place] / 2
            sums.append(gain.sum())
            counts.append(len(gain))
        if counts:
            toward = bootstrap_mean(np.array(sums), np.array(counts), rng, resamples=resamples)
            result["turn_towards_side"] = {
                "axis": turn_axis,
                "value": toward.value,
                "low": toward.low,
                "high": toward.high,
            }
    result["ignores_instruction"] = bool(ignores)
    if ignores:
        verdict = (
            "the policy ignores its instruction: exchanging left and right changes its "
            f"velocities by {size.value:.3f} of a range of 2"
        )
    elif toward is not None and np.isfinite(toward.low) and toward.low > 0:
        verdict = "the policy follows its instruction: it turns more to the side it is told"
    elif toward is not None and np.isfinite(toward.high) and toward.high < 0:
        verdict = "the policy reacts to its instruction by turning away from the side it is told"
    else:
        verdict = (
            "the policy's velocities change with the instruction, but not clearly towards the "
            "side it is told"
        )
    result["verdict"] = verdict
    return result
