"""Does a policy agree with the data: its axes, periods, normalisation, its camera's place?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mobile_vla_ros.analysis.axes_fit import LEAST_FIT, fit_axes
from mobile_vla_ros.analysis.gate_check import Check
from mobile_vla_ros.analysis.traces import Trace
from mobile_vla_ros.rig import Rig, standing_differently
from mobile_vla_ros.sampling import command_rows

# Recorded over predicted velocity, fitted through zero: what a wrong range would shift.
SCALE = (0.67, 1.5)
# The constant part of the error, in normalised units.
OFFSET = 0.1
# Share of recorded commands that the normalisation would cut off.
CUT_OFF = 0.02
# Periods that differ by less are one.
SAME_PERIOD = 0.05
PERIOD_FACTORS = (0.5, 2 / 3, 1.0, 1.5, 2.0)
# Another period must fit by so much better; commands that hardly change fit any.
BETTER_FIT = 0.85


def check_axes(traces: Sequence[Trace], config) -> Check:
    """Whether each output follows the recorded column of its name, and not another or backwards.

    A column that hardly moves settles nothing, and is not held against the policy.
    """
    fitted = fit_axes(list(traces), config)
    used = list(config.action_axes)
    rows = [fitted["correlation"][f"output {place}"] for place in range(len(used))]
    own = [row[axis] for row, axis in zip(rows, used, strict=True)]
    limit = "each output follows its own column"
    best = [name or axis for name, axis in zip(fitted["best_fit"], used, strict=True)]
    others = sum(row[name] for row, name in zip(rows, best, strict=True))
    if best != used and others - sum(own) > LEAST_FIT:
        wrong = next(place for place, name in enumerate(best) if name != used[place])
        reason = f"its output {used[wrong]} follows the recorded {best[wrong]}"
        return Check("axes", False, best, limit, reason)
    for axis, correlation in zip(used, own, strict=True):
        if correlation < -LEAST_FIT:
            reason = f"its {axis} runs against the recorded one"
            return Check("axes", False, {axis: correlation}, limit, reason)
    found = dict(zip(used, own, strict=True))
    return Check("axes", True, found, limit, f"{' and '.join(used)}, as recorded")


def check_frame_period(config, recorded: Sequence[float]) -> Check:
    """Whether the window's spacing is the one that the data was recorded for."""
    meant = float(np.median(recorded))
    apart = abs(config.frame_period / meant - 1)
    return Check(
        "frame_period",
        apart <= SAME_PERIOD,
        config.frame_period,
        meant,
        f"frames {config.frame_period:g} s apart, the data is for {meant:g} s",
    )


def check_action_period(traces: Sequence[Trace], config) -> Check:
    """Whether the chunks' steps fit the recorded commands best at the period they claim."""
    errors = {factor: _chunk_error(traces, config, factor) for factor in PERIOD_FACTORS}
    best = min(errors, key=lambda factor: errors[factor])
    settled = errors[best] < BETTER_FIT * errors[1.0]
    found = config.action_period * (best if settled else 1.0)
    return Check(
        "action_period",
        not settled,
        found,
        config.action_period,
        f"steps claim {config.action_period:g} s and fit the recording best at {found:g} s",
    )


def _chunk_error(traces: Sequence[Trace], config, factor: float) -> float:
    total, count = 0.0, 0
    for trace in traces:
        steps = trace.predicted.shape[1]
        longest = command_rows(
            trace.stamps, trace.stamps, config.action_period * max(PERIOD_FACTORS), steps
        )
        rows = command_rows(trace.stamps, trace.stamps, config.action_period * factor, steps)
        # Every period is judged on the same steps of the same frames.
        inside = (longest >= 0) & (rows >= 0)
        truth = config.normalise(trace.commands[np.maximum(rows, 0)])
        total += float(((trace.normalised - truth) ** 2)[inside].sum())
        count += int(inside.sum())
    return float(np.sqrt(total / count)) if count else 0.0


def check_range(traces: Sequence[Trace], config) -> Check:
    """Whether the normalisation spans what was recorded."""
    commands = np.concatenate([trace.commands for trace in traces])
    low, high = np.asarray(config.norm_min), np.asarray(config.norm_max)
    outside = ((commands < low - 1e-6) | (commands > high + 1e-6)).mean(axis=0)
    worst = int(outside.argmax())
    axis = config.action_axes[worst]
    return Check(
        "range",
        bool(outside[worst] <= CUT_OFF),
        float(outside[worst]),
        CUT_OFF,
        f"{outside[worst]:.1%} of the recorded {axis} lies outside {low[worst]:g} to "
        f"{high[worst]:g}",
    )


def check_scale(traces: Sequence[Trace], config) -> Check:
    """Whether predicted velocities have the size and the middle of the recorded ones.

    Outputs that were trained in one range and are read in another are too large or too small by
    one factor, or off by a constant.
    """
    said = np.concatenate([trace.predicted[:, 0] for trace in traces]).astype(float)
    done = np.concatenate([trace.commands for trace in traces]).astype(float)
    span = (np.asarray(config.norm_max) - np.asarray(config.norm_min)) / 2
    found, worst, reason = {}, 0.0, ""
    for place, axis in enumerate(config.action_axes):
        # An axis that is hardly used has no size to compare.
        power = float((said[:, place] ** 2).mean())
        slope = None
        if max(power, float((done[:, place] ** 2).mean())) > (0.02 * span[place]) ** 2:
            slope = float((said[:, place] * done[:, place]).mean() / max(power, 1e-12))
        offset = float((said[:, place] - done[:, place]).mean() / span[place])
        found[axis] = {"scale": slope, "offset": offset}
        away = max(
            abs(offset) / OFFSET,
            0.0
            if slope is None
            else (np.inf if slope <= 0 else abs(np.log(slope)) / np.log(SCALE[1])),
        )
        if away >= worst:
            worst = away
            size = "" if slope is None else f"recorded {axis} is {slope:.2f} of the predicted, "
            reason = f"{size or axis + ': '}its middle off by {offset:+.3f} of the range"
    limit = {"scale": list(SCALE), "offset": OFFSET}
    return Check("scale", bool(worst <= 1.0), found, limit, reason)


def check_rig(recorded: Rig, data: Rig) -> Check:
    """Whether the data was seen from where the candidate's training data was seen."""
    apart = standing_differently(recorded, data)
    return Check(
        "rig", apart is None, str(recorded), str(data), apart or "the same, as far as known"
    )
