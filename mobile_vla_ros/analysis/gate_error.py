"""Is a policy's error small enough, no worse than the current one's, and due to its words?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mobile_vla_ros.analysis.gate_check import Check
from mobile_vla_ros.analysis.instruction_swap import IGNORED_CHANGE, instruction_swap
from mobile_vla_ros.analysis.recordings import side_of_name
from mobile_vla_ros.analysis.traces import Trace, error_sums
from mobile_vla_ros.stats.bootstrap import Interval, bootstrap_sums
from mobile_vla_ros.stats.regression import rmse

# Fewer episodes say too little about the next one, and fewer to a side about that side.
LEAST_EPISODES = 4
LEAST_OF_A_SIDE = 2
# A candidate counts as worse when its error is clearly above the current one's by more than this
# share, and by more than this in normalised units: seeds of one recipe differ by less.
WORSE_SHARE = 0.25
WORSE_AT_LEAST = 0.03
# The candidate's reaction to the words against the current one's.
LEAST_REACTION = 0.25


def check_threshold(traces: Sequence[Trace], limit: float) -> Check:
    """Whether the error on held-out episodes is within its limit."""
    sums = [error_sums(t.normalised[:, 0], t.truth_normalised[:, 0]).sum(axis=0) for t in traces]
    value = float(rmse(np.stack(sums).sum(axis=0)))
    return Check("error", bool(value <= limit), value, limit, f"RMSE {value:.3f} normalised")


def check_mean(traces: Sequence[Trace], seed: int) -> Check:
    """Whether the policy is better than the best constant command."""
    truth = np.concatenate([trace.truth_normalised[:, 0] for trace in traces])
    centre = np.nanmean(truth, axis=0)
    sums = np.stack(
        [
            np.stack(
                [
                    error_sums(said, t.truth_normalised[:, 0]).sum(axis=0)
                    for said in (
                        np.broadcast_to(centre, t.normalised[:, 0].shape),
                        t.normalised[:, 0],
                    )
                ]
            )
            for t in traces
        ]
    )
    gain = bootstrap_sums(sums, _difference, np.random.default_rng([seed, 31]))
    return Check(
        "better_than_constant",
        bool(gain.low > 0),
        _plain(gain),
        0.0,
        f"better than the mean command by {_words(gain)}",
    )


def check_against(
    candidate: Sequence[Trace], current: Sequence[Trace], span: np.ndarray, seed: int
) -> list[Check]:
    """Whether the candidate is worse than the current one on the same frames: all, and by side.

    Args:
        candidate: its traces.
        current: the current one's, of the same episodes in the same order.
        span: float [axes both have], half a range of the current one's normalisation, m/s and
            rad/s: both errors are in its units, so that a wider range flatters nobody.
        seed: of the bootstrap.
    """
    axes = [axis for axis in current[0].axes if axis in candidate[0].axes]
    sums = np.stack(
        [
            np.stack([_own_errors(trace, axes, span) for trace in pair])
            for pair in zip(candidate, current, strict=True)
        ]
    )
    checks = []
    if len(candidate) < LEAST_EPISODES:
        found = f"{len(candidate)} episodes are not enough to tell; give {LEAST_EPISODES} or more"
        checks.append(Check("episodes", False, len(candidate), LEAST_EPISODES, found))
    checks.append(_not_worse("against_current", sums, seed, "in all"))
    sides = [trace.side or side_of_name(trace.scenario or "") for trace in candidate]
    for side in ("left", "right"):
        rows = [place for place, name in enumerate(sides) if name == side]
        name = f"against_current_{side}"
        if len(rows) < LEAST_OF_A_SIDE:
            found = f"{len(rows)} {side} episodes are not enough to tell"
            checks.append(Check(name, False, len(rows), LEAST_OF_A_SIDE, found))
        else:
            checks.append(_not_worse(name, sums[rows], seed, f"to the {side}"))
    return checks


def _own_errors(trace: Trace, axes: Sequence[str], span: np.ndarray) -> np.ndarray:
    places = [trace.axes.index(axis) for axis in axes]
    said = trace.predicted[:, 0, places] / span
    return error_sums(said, trace.commands[:, places] / span).sum(axis=0)


def _not_worse(name: str, sums: np.ndarray, seed: int, where: str) -> Check:
    worse = bootstrap_sums(sums, _difference, np.random.default_rng([seed, 32]))
    current = float(rmse(sums[:, 1].sum(axis=0)))
    limit = max(WORSE_AT_LEAST, WORSE_SHARE * current)
    ok = worse.value <= limit or worse.low <= 0
    reason = f"RMSE {current + worse.value:.3f} {where}, the current one's is {current:.3f}"
    return Check(name, bool(ok), _plain(worse), limit, reason)


def check_words(traces: Sequence[Trace], current: Sequence[Trace], axes, seed: int) -> Check:
    """Whether exchanging left and right matters, and the right words fit the recording better."""
    found = instruction_swap(list(traces), tuple(axes), seed=seed)
    limit: dict[str, float] = {"rms_change": IGNORED_CHANGE, "words_gain": 0.0}
    if not found["measured"]:
        reason = "no instruction of the data names left or right, so it cannot be told"
        return Check("instruction", False, None, limit, reason)
    theirs = instruction_swap(list(current), tuple(current[0].axes), seed=seed)
    if theirs["measured"] and not theirs["ignores_instruction"]:
        least = LEAST_REACTION * theirs["rms_change_normalised"]
        limit["rms_change"] = max(IGNORED_CHANGE, least)
    sums = np.stack(
        [
            np.stack(
                [
                    error_sums(said[:, 0], t.truth_normalised[:, 0]).sum(axis=0)
                    for said in (t.swapped, t.normalised)
                ]
            )
            for t in traces
            if t.swapped is not None
        ]
    )
    gain = bootstrap_sums(sums, _difference, np.random.default_rng([seed, 33]))
    change = found["rms_change_normalised"]
    ok = change >= limit["rms_change"] and gain.value > 0 and not gain.low <= 0
    reason = (
        f"exchanging left and right changes its velocities by {change:.3f} of a range of 2, and "
        f"the right words fit better by {_words(gain)}"
    )
    value = {"rms_change": change, "words_gain": _plain(gain)}
    return Check("instruction", bool(ok), value, limit, reason)


def _difference(sums: np.ndarray) -> np.ndarray:
    """RMSE of the first of two rows less that of the second, [..., 2, 5] -> [...]."""
    return rmse(sums[..., 0, :]) - rmse(sums[..., 1, :])


def _plain(found: Interval) -> Mapping[str, float]:
    return {"value": found.value, "low": found.low, "high": found.high}


def _words(found: Interval) -> str:
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"
