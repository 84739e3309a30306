"""Which recorded columns a policy's outputs follow, for checkpoints that do not name them."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from mobile_vla_ros.analysis.traces import Trace

# Recorded columns are named as fits only from this correlation on.
LEAST_FIT = 0.3


def fit_axes(traces: list[Trace], config) -> dict[str, Any]:
    """Which recorded columns the policy's outputs follow best, by correlation."""
    names = list(traces[0].columns)
    shared = [name for name in names if all(name in trace.columns for trace in traces)]
    outputs = np.concatenate([trace.predicted[:, 0] for trace in traces]).astype(np.float64)
    columns = np.stack(
        [np.concatenate([trace.columns[name] for trace in traces]) for name in shared], axis=1
    ).astype(np.float64)
    correlation = np.zeros((outputs.shape[1], len(shared)))
    for place in range(outputs.shape[1]):
        for other in range(len(shared)):
            a = outputs[:, place] - outputs[:, place].mean()
            b = columns[:, other] - columns[:, other].mean()
            scale = np.sqrt((a * a).sum() * (b * b).sum())
            correlation[place, other] = (a * b).sum() / scale if scale > 1e-12 else 0.0
    rows, chosen = linear_sum_assignment(-correlation)
    best = [None] * outputs.shape[1]
    for row, column in zip(rows, chosen, strict=True):
        if correlation[row, column] >= LEAST_FIT:
            best[row] = shared[column]
    used = list(config.action_axes)
    result = {
        "used": used,
        "confirmed": bool(config.action_axes_confirmed),
        "best_fit": best,
        "correlation": {
            f"output {place}": dict(zip(shared, map(float, row), strict=True))
            for place, row in enumerate(correlation)
        },
    }
    if not config.action_axes_confirmed:
        named = " and ".join(
            f"output {place} ({axis} assumed) follows {name or 'no recorded column'}"
            for place, (axis, name) in enumerate(zip(used, best, strict=True))
        )
        verdict = "as assumed" if best == used else "which is not as assumed"
        result["note"] = f"the checkpoint does not name its axes: {named}, {verdict}"
    return result
