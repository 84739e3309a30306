"""Predicted against recorded velocities: how far off, against what, and where."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from mobile_vla_ros.analysis.directions import confusion, directions
from mobile_vla_ros.analysis.paths import (
    CHUNK_TIMEOUT,
    CONTROL_PERIOD,
    commands_in_force,
    commands_with_latency,
    path_end_error,
)
from mobile_vla_ros.analysis.recordings import (
    AnalysisError,
    Progress,
    find_recordings,
    side_of_name,
    silent,
)
from mobile_vla_ros.analysis.traces import Trace, follow
from mobile_vla_ros.control import integrate
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.stats.bootstrap import Interval, bootstrap_mean, bootstrap_sums
from mobile_vla_ros.stats.regression import mae, r2, regression_sums, rmse

DEFINITION = (
    "RMSE in normalised units, first chunk step, axes pooled, over every frame of the episodes; "
    "the label of step k is the command in force k action periods after the frame, and steps "
    "past the end of an episode are left out"
)
# A change of less than one per cent of an axis's full range (2 in normalised units) is none.
IGNORED_CHANGE = 0.02
# Recorded columns are named as fits only from this correlation on.
LEAST_FIT = 0.3


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
    traces: list[Trace] = []
    hashes: dict[str, str] = {}
    for episode in recordings.walk(progress, "verifying"):
        try:
            fingerprint = episode.sha256()
            if fingerprint in provenance.training:
                if not skip_training_files:
                    raise TrainedOnError(
                        f"the checkpoint was trained on {episode.path}; verify on other "
                        "episodes, or leave such files out with --skip-training-files"
                    )
                recordings.skip(episode.path, "the checkpoint was trained on it")
                continue
            traces.append(follow(policy, episode, instruction=instruction, swap=swap))
        except TrainedOnError:
            raise
        except (InputError, OSError) as error:
            recordings.skip(episode.path, str(error))
            continue
        hashes[episode.path.name] = fingerprint
    recordings.require(len(traces))
    result = measure(traces, policy.config, seed=seed, resamples=resamples)
    result["command"] = "verify"
    result["skipped"] = recordings.skipped
    result["files"] = hashes
    result["held_out"] = provenance.held_out(hashes)
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


class TrainedOnError(AnalysisError):
    """A file the checkpoint has seen in training stands among the held-out ones."""


class Provenance:
    """Which files a checkpoint has seen."""

    def __init__(self, training: dict[str, str], validation: dict[str, str]) -> None:
        self.names = {fingerprint: name for name, fingerprint in training.items()}
        self.training = set(training.values())
        self.validation = set(validation.values())

    @classmethod
    def of(cls, policy) -> Provenance:
        """Reads the policy's own record; empty when the checkpoint keeps none."""
        kept = policy.provenance
        return cls(dict(kept.training_files or {}), dict(kept.validation_files or {}))

    def training_sides(self) -> dict[str, int]:
        """How many training files of each side, by their names."""
        sides = [side_of_name(name) for name in self.names.values()]
        return {side: sides.count(side) for side in ("left", "right") if side in sides}

    def held_out(self, files: dict[str, str]) -> dict[str, Any]:
        """What is known about whether ``files`` (name -> hash) are new to the checkpoint."""
        seen = sum(fingerprint in self.validation for fingerprint in files.values())
        if not self.training:
            return {
                "known": False,
                "note": "the checkpoint does not say which files it was trained on, so whether "
                "these are held out is not known",
                "validation_files": seen,
            }
        note = "none of the files was trained on"
        if seen:
            note += f"; {seen} of them chose the checkpoint (validation files), which flatters it"
        return {"known": True, "note": note, "validation_files": seen}


def measure(traces: list[Trace], config, *, seed: int = 0, resamples: int = 1000) -> dict:
    """Everything that is counted on the traces alone; see ``verify``."""
    axes = tuple(config.action_axes)
    raw = np.stack([_sums(trace.predicted, trace.truth) for trace in traces])
    normalised = np.stack([_sums(trace.normalised, trace.truth_normalised) for trace in traces])

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


def _sums(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return regression_sums(predicted, truth, ~np.isnan(truth))


def _baselines(traces: list[Trace], config, policy_step0: np.ndarray, interval) -> dict:
    """Errors of constant guesses on the same frames and labels.

    repeat_last sends on what was in force before the frame (standstill before the first);
    mean is the best constant there is for these very episodes.
    """
    last, changed, still = [], [], []
    policy_changed, policy_still = [], []
    for trace in traces:
        commands = trace.truth_normalised[:, 0]
        zero = config.normalise(np.zeros_like(commands[:1]))
        before = np.concatenate([zero, commands[:-1]])
        guess = np.broadcast_to(before[:, None], trace.truth_normalised.shape)
        last.append(_sums(guess, trace.truth_normalised))
        change = np.any(np.abs(commands - before) > 1e-6, axis=1)
        for rows, ours, theirs in (
            (change, policy_changed, changed),
            (~change, policy_still, still),
        ):
            ours.append(_sums(trace.normalised[rows, 0], commands[rows]).sum(axis=0))
            theirs.append(_sums(before[rows], commands[rows]).sum(axis=0))
    last_sums = np.stack(last)
    everything = np.concatenate([trace.truth_normalised for trace in traces])
    centre = np.nanmean(everything[:, 0], axis=0)
    mean_sums = np.stack(
        [
            _sums(np.broadcast_to(centre, t.truth_normalised.shape), t.truth_normalised)
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


def generalisation(
    traces: list[Trace], trained: dict[str, int], *, seed: int = 0, resamples: int = 1000
) -> dict[str, Any]:
    """Error on the side that training left out against the side it showed."""
    result: dict[str, Any] = {"trained_on": trained}
    if len(trained) != 1:
        result["measured"] = False
        result["reason"] = (
            "the checkpoint does not say which sides it was trained on"
            if not trained
            else "the checkpoint was trained on both sides; train on one to measure it"
        )
        return result
    seen = next(iter(trained))
    rng = np.random.default_rng([seed, 13])
    sums: dict[str, np.ndarray] = {}
    for side in ("left", "right"):
        rows = [
            _sums(t.normalised[:, 0], t.truth_normalised[:, 0]).sum(axis=0)
            for t in traces
            if (t.side or side_of_name(t.scenario or "")) == side
        ]
        if not rows:
            result["measured"] = False
            result["reason"] = f"trained on {seen} only, but no {side} episode is among the data"
            return result
        sums[side] = np.stack(rows)
    unseen = "right" if seen == "left" else "left"
    on_seen = bootstrap_sums(sums[seen], rmse, rng, resamples=resamples)
    on_unseen = bootstrap_sums(sums[unseen], rmse, rng, resamples=resamples)
    result.update(
        measured=True,
        seen=seen,
        unseen=unseen,
        rmse_normalised_step0={
            side: {"value": found.value, "low": found.low, "high": found.high}
            for side, found in ((seen, on_seen), (unseen, on_unseen))
        },
    )
    return result


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
        errors.append(_sums(config.normalise(sent), config.normalise(recorded)).sum(axis=0))
    rng = np.random.default_rng([seed, 14])
    ones = np.ones(len(ends))
    end = bootstrap_mean(np.array(ends), ones, rng, resamples=resamples)
    error = bootstrap_sums(np.stack(errors), rmse, rng, resamples=resamples)
    return {
        "latency": latency,
        "open_loop": True,
        "path_end_error": {"value": end.value, "low": end.low, "high": end.high, "unit": "m"},
        "heading_error": {"value": float(np.mean(headings)), "unit": "rad"},
        "recorded_path_length": {"value": float(np.mean(lengths)), "unit": "m"},
        "share_of_time_at_zero": float(np.mean(zeros)),
        "rmse_normalised": {"value": error.value, "low": error.low, "high": error.high},
        "usable": latency < min(CHUNK_TIMEOUT, config.chunk_size * config.action_period),
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
        if gain["low"] > 0:
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
