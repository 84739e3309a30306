"""Predicted against recorded velocities: how far off, against what, and where."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mobile_vla_ros.analysis.axes_fit import fit_axes
from mobile_vla_ros.analysis.held_out import Provenance, TrainedOnError, generalisation
from mobile_vla_ros.analysis.instruction_swap import instruction_swap
from mobile_vla_ros.analysis.paths import latency_effect
from mobile_vla_ros.analysis.recordings import (
    AnalysisError,
    Progress,
    Recordings,
    find_recordings,
    side_of_name,
    silent,
)
from mobile_vla_ros.analysis.traces import Trace, error_sums, follow
from mobile_vla_ros.episodes import Episode
from mobile_vla_ros.episodes.check_pictures import require_whole
from mobile_vla_ros.episodes.identity import Identity
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.stats.bootstrap import Interval, bootstrap_mean, bootstrap_sums
from mobile_vla_ros.stats.directions import confusion, directions
from mobile_vla_ros.stats.regression import mae, r2, rmse

DEFINITION = (
    "RMSE in normalised units, first chunk step, axes pooled, over every frame of the episodes; "
    "the label of step k is the command in force k action periods after the frame, and steps "
    "past the end of an episode are left out"
)

# A difference in RMSE below this (normalised) has no meaning for driving, however certain it is.
NEGLIGIBLE = 0.005
# The command changes where an axis moves by more than five per cent of its range at once; a
# smooth driver's small corrections are no change points.
CHANGE = 0.1


def verify(
    policy,
    data: Sequence[str | Path],
    *,
    instruction: str | None = None,
    latencies: Sequence[float] = (),
    threshold: float | None = None,
    skip_training_files: bool = False,
    swap: bool = True,
    limit: int | None = None,
    seed: int = 0,
    resamples: int = 1000,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Follows the policy through held-out episodes and measures its error.

    Args:
        policy: a loaded policy with a driving head.
        data: episode files or folders.
        instruction: overrides the episodes' own.
        latencies: seconds; for each, where the robot's path would end.
        threshold: greatest acceptable ``rmse_normalised_step0``.
        skip_training_files: leave out files the policy was trained on instead of refusing.
        swap: stream everything a second time with left and right exchanged.
        limit: at most this many episodes.
        seed: of the bootstrap.
        resamples: of the bootstrap.
        progress: shows how far it is.

    Returns:
        A JSON-ready dictionary; velocities in m/s and rad/s unless a key says normalised.

    Raises:
        AnalysisError: no usable episode, a file the policy was trained on, or no driving head.
    """
    if not policy.config.drives:
        raise AnalysisError(
            "this checkpoint has no 2-DoF driving head, so there are no velocities to verify; "
            "`context extract` and `context compare` work without one"
        )
    recordings = find_recordings(data, limit)
    provenance = Provenance.of(policy)
    traces, hashes = _follow_all(
        policy, recordings, provenance, instruction, skip_training_files, swap, progress
    )
    recordings.require(len(traces))
    result = measure(traces, policy.config, seed=seed, resamples=resamples)
    result["command"] = "verify"
    result["skipped"] = recordings.skipped
    result["files"] = hashes
    result["held_out"] = provenance.held_out()
    result["generalisation"] = generalisation(
        traces, provenance.training_sides(), seed=seed, resamples=resamples
    )
    result["latency"] = [
        latency_effect(traces, policy.config, value, seed=seed, resamples=resamples)
        for value in ((0.0, *latencies) if latencies else ())
    ]
    result["threshold"] = threshold
    result["passed"] = None if threshold is None else result["rmse_normalised_step0"] <= threshold
    result["conclusion"] = conclude(result)
    return result


def _follow_all(
    policy,
    recordings: Recordings,
    provenance: Provenance,
    instruction: str | None,
    skip_training_files: bool,
    swap: bool,
    progress: Progress,
) -> tuple[list[Trace], dict[str, str]]:
    """What the policy predicts for each usable episode, and their hashes by name."""
    traces: list[Trace] = []
    hashes: dict[str, str] = {}
    for episode in recordings.walk(progress, "verifying"):
        try:
            fingerprint = episode.sha256()
            known = provenance.seen(episode, fingerprint)
            if known is not None:
                if not skip_training_files:
                    raise TrainedOnError(
                        f"the checkpoint was trained on {episode.path}{_as(known, episode)}; "
                        "verify on other episodes, or leave such files out with "
                        "--skip-training-files"
                    )
                recordings.skip(
                    episode.path, f"the checkpoint was trained on it{_as(known, episode)}"
                )
                continue
            episode.require_order()
            require_whole(episode)
            traces.append(follow(policy, episode, instruction=instruction, swap=swap))
        except TrainedOnError:
            raise
        except (InputError, OSError) as error:
            recordings.skip(episode.path, str(error))
            continue
        hashes[episode.path.name] = fingerprint
    return traces, hashes


def _as(known: Identity, episode: Episode) -> str:
    """Under which name and in which stage it was trained on, where that is not plain."""
    name = f" as {known.name}" if known.name != episode.path.name else ""
    return name + (f" in an earlier stage, {known.stage}" if known.stage else "")


def measure(traces: list[Trace], config, *, seed: int = 0, resamples: int = 1000) -> dict:
    """Everything that is counted on the traces alone; see ``verify``."""
    axes = tuple(config.action_axes)
    raw = np.stack([error_sums(trace.predicted, trace.truth) for trace in traces])
    normalised = np.stack(
        [error_sums(trace.normalised, trace.truth_normalised) for trace in traces]
    )

    def interval(sums: np.ndarray, name: str, metric=rmse) -> Interval:
        # The name seeds the resampling, so a number does not depend on what else is asked.
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        return bootstrap_sums(sums, metric, rng, resamples=resamples)

    # Sums have the shape [episodes, chunk, dof, 5]; pooled ones [episodes, 5].
    step0 = normalised[:, 0].sum(axis=1)
    main = interval(step0, "rmse_normalised_step0")
    everything = interval(normalised.sum(axis=(1, 2)), "rmse_normalised")
    intervals = {
        "rmse_normalised_step0": [main.low, main.high],
        "rmse_normalised": [everything.low, everything.high],
    }
    by_axis: dict[str, dict[str, float]] = {"rmse": {}, "mae": {}, "r2": {}}
    for place, axis in enumerate(axes):
        for name, metric in (("rmse", rmse), ("mae", mae), ("r2", r2)):
            found = interval(raw[:, 0, place], f"{name} {axis}", metric)
            by_axis[name][axis] = found.value
            intervals[f"{name} {axis}"] = [found.low, found.high]
    total = raw.sum(axis=0)
    pooled_steps = normalised.sum(axis=2)
    per_step = []
    for step in range(total.shape[0]):
        found = interval(pooled_steps[:, step], f"step {step}")
        per_step.append(
            {
                "step": step,
                "time": step * config.action_period,
                "values": int(total[step, 0, 0]),
                "rmse_normalised": found.value,
                "low": found.low,
                "high": found.high,
                **{
                    name: dict(zip(axes, map(float, metric(total[step])), strict=True))
                    for name, metric in (("rmse", rmse), ("mae", mae), ("r2", r2))
                },
            }
        )
    result = {
        "definition": DEFINITION,
        "episodes": len(traces),
        "frames": int(sum(len(trace.stamps) for trace in traces)),
        "rmse_normalised_step0": main.value,
        "rmse_normalised": everything.value,
        "r2_normalised_step0": float(r2(step0.sum(axis=0))),
        **by_axis,
        "units": {axis: "rad/s" if axis.startswith("angular") else "m/s" for axis in axes},
        "per_step": per_step,
        "baselines": _baselines(traces, config, step0, interval),
        "by_scenario": _split(traces, step0, raw, axes, lambda trace: trace.scenario, interval),
        "by_side": _split(
            traces,
            step0,
            raw,
            axes,
            lambda trace: trace.side or side_of_name(trace.scenario or ""),
            interval,
        ),
        "direction": _direction(traces, axes, seed, resamples),
        "instruction_swap": instruction_swap(traces, axes, seed=seed, resamples=resamples),
        "axes": fit_axes(traces, config),
        "intervals": intervals,
        "bootstrap": {"over": "episodes", "resamples": resamples, "seed": seed, "level": 0.95},
        "traces": [_trace_json(trace) for trace in _examples(traces)],
        "scatter": _scatter(traces, axes),
    }
    return result


def _baselines(traces: list[Trace], config, policy_step0: np.ndarray, interval) -> dict:
    """Errors of constant guesses on the same frames and labels.

    repeat_last sends on what was in force before the frame (standstill before the first);
    mean is the best constant there is for these very episodes.
    """
    last: list[np.ndarray] = []
    changed: list[np.ndarray] = []
    still: list[np.ndarray] = []
    policy_changed: list[np.ndarray] = []
    policy_still: list[np.ndarray] = []
    for trace in traces:
        commands = trace.truth_normalised[:, 0]
        zero = config.normalise(np.zeros_like(commands[:1]))
        before = np.concatenate([zero, commands[:-1]])
        guess = np.broadcast_to(before[:, None], trace.truth_normalised.shape)
        last.append(error_sums(guess, trace.truth_normalised))
        change = np.any(np.abs(commands - before) > CHANGE, axis=1)
        for rows, ours, theirs in (
            (change, policy_changed, changed),
            (~change, policy_still, still),
        ):
            ours.append(error_sums(trace.normalised[rows, 0], commands[rows]).sum(axis=0))
            theirs.append(error_sums(before[rows], commands[rows]).sum(axis=0))
    last_sums = np.stack(last)
    everything = np.concatenate([trace.truth_normalised for trace in traces])
    centre = np.nanmean(everything[:, 0], axis=0)
    mean_sums = np.stack(
        [
            error_sums(np.broadcast_to(centre, t.truth_normalised.shape), t.truth_normalised)
            for t in traces
        ]
    )
    result = {}
    for name, sums in (("repeat_last", last_sums), ("mean", mean_sums)):
        step0 = sums[:, 0].sum(axis=1)
        found = interval(step0, name)
        # Positive: the policy's squared error is smaller, on the same frames.
        gain = interval(
            np.stack([step0, policy_step0], axis=1),
            f"{name} gain",
            lambda both: rmse(both[..., 0, :]) - rmse(both[..., 1, :]),
        )
        per_step = rmse(sums.sum(axis=(0, 2)))
        result[name] = {
            "rmse_normalised_step0": found.value,
            "low": found.low,
            "high": found.high,
            "policy_better_by": {"value": gain.value, "low": gain.low, "high": gain.high},
            "per_step": [float(value) for value in per_step],
        }
    for name, ours, theirs in (
        ("change_points", policy_changed, changed),
        ("elsewhere", policy_still, still),
    ):
        mine, guess = np.stack(ours).sum(axis=0), np.stack(theirs).sum(axis=0)
        result["repeat_last"][name] = {
            "frames": int(guess[0] // len(config.action_axes)),
            "rmse_normalised_step0": float(rmse(guess)),
            "policy_rmse_normalised_step0": float(rmse(mine)),
        }
    velocities = config.unnormalise(centre)
    result["mean"]["command"] = dict(zip(config.action_axes, map(float, velocities), strict=True))
    return result


def _split(traces, step0, raw, axes, key, interval) -> dict:
    groups: dict[str, list[int]] = {}
    for place, trace in enumerate(traces):
        groups.setdefault(key(trace) or "unknown", []).append(place)
    result = {}
    for name in sorted(groups):
        rows = groups[name]
        found = interval(step0[rows], f"split {name}")
        total = raw[rows, 0].sum(axis=0)
        result[name] = {
            "episodes": len(rows),
            "frames": int(total[0, 0]),
            "rmse_normalised_step0": found.value,
            "low": found.low,
            "high": found.high,
            "rmse": dict(zip(axes, map(float, rmse(total)), strict=True)),
            "mae": dict(zip(axes, map(float, mae(total)), strict=True)),
        }
    return result


def _direction(traces: list[Trace], axes: tuple[str, ...], seed: int, resamples: int) -> dict:
    recorded = [directions(trace.commands, axes) for trace in traces]
    predicted = [directions(trace.predicted[:, 0], axes) for trace in traces]
    labels, matrix = confusion(np.concatenate(recorded), np.concatenate(predicted))
    right = [float((a == b).sum()) for a, b in zip(recorded, predicted, strict=True)]
    counts = [len(a) for a in recorded]
    rng = np.random.default_rng([seed, 11])
    agreement = bootstrap_mean(np.array(right), np.array(counts), rng, resamples=resamples)
    return {
        "labels": labels,
        "matrix": matrix.tolist(),
        "rows": "recorded",
        "columns": "predicted",
        "agreement": agreement.value,
        "low": agreement.low,
        "high": agreement.high,
        # What always naming the commonest direction would reach.
        "commonest": float(matrix.sum(axis=1).max() / max(1, matrix.sum())),
    }


def conclude(result: dict[str, Any]) -> str:
    """One sentence that says no more than the numbers do."""
    value = result["rmse_normalised_step0"]
    low, high = result["intervals"]["rmse_normalised_step0"]
    interval = f" (95 % interval {low:.3f} to {high:.3f})" if np.isfinite(low) else ""
    parts = [f"RMSE {value:.3f}{interval} over {result['episodes']} episodes"]
    threshold = result.get("threshold")
    if threshold is not None:
        if np.isfinite(high) and high <= threshold:
            parts.append(f"below the threshold of {threshold:g} with its whole interval")
        elif value <= threshold:
            parts.append(
                f"below the threshold of {threshold:g}, though the data do not settle it"
                if np.isfinite(high)
                else f"below the threshold of {threshold:g} on a single episode"
            )
        else:
            parts.append(f"above the threshold of {threshold:g}")
    for name, label in (("repeat_last", "repeating the last command"), ("mean", "the mean")):
        gain = result["baselines"][name]["policy_better_by"]
        if not np.isfinite(gain["low"]):
            continue
        if max(abs(gain["low"]), abs(gain["high"])) < NEGLIGIBLE:
            parts.append(f"no different from {label} in effect")
        elif gain["low"] > 0:
            parts.append(f"better than {label}")
        elif gain["high"] < 0:
            parts.append(f"worse than {label}")
        else:
            parts.append(f"not distinguishable from {label}")
    swap = result["instruction_swap"]
    if swap.get("ignores_instruction"):
        parts.append("the policy ignores its instruction")
    if not result.get("held_out", {}).get("known", True):
        parts.append("whether the episodes were held out is not known")
    return "; ".join(parts) + "."


def _examples(traces: list[Trace]) -> list[Trace]:
    """Up to three episodes to draw: the first of each side, then others."""
    chosen: list[Trace] = []
    for side in ("left", "right", None):
        chosen += [trace for trace in traces if trace.side == side][:1]
    chosen += [trace for trace in traces if not any(trace is other for other in chosen)]
    return chosen[:3]


def _trace_json(trace: Trace) -> dict[str, Any]:
    return {
        "episode": trace.name,
        "scenario": trace.scenario,
        "axes": list(trace.axes),
        "time": (trace.stamps - trace.stamps[0]).round(4).tolist(),
        "recorded": np.round(trace.commands.astype(float), 5).tolist(),
        "predicted": np.round(trace.predicted[:, 0].astype(float), 5).tolist(),
    }


def _scatter(traces: list[Trace], axes: tuple[str, ...], most: int = 2000) -> dict[str, Any]:
    recorded = np.concatenate([trace.commands for trace in traces]).astype(float)
    predicted = np.concatenate([trace.predicted[:, 0] for trace in traces]).astype(float)
    rows = np.unique(np.linspace(0, len(recorded) - 1, min(most, len(recorded))).astype(int))
    return {
        axis: {
            "recorded": np.round(recorded[rows, place], 5).tolist(),
            "predicted": np.round(predicted[rows, place], 5).tolist(),
        }
        for place, axis in enumerate(axes)
    }
