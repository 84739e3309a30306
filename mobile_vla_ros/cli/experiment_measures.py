"""What ``mobile_vla experiment`` measures of a checkpoint: error, success rate, latency."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobile_vla_ros.errors import InputError

if TYPE_CHECKING:
    from mobile_vla_ros.policy import Policy

# The first of the fields that are driven; no row trains on them.
FIELDS = 100_000


def measure(
    what: Iterable[str],
    found: Mapping[str, Any],
    *,
    drives: int,
    data: Path | None = None,
    device: str = "auto",
) -> dict[str, Any]:
    """Measures one trained checkpoint.

    Args:
        what: of ``training.experiments.MEASURES``; losses are taken from ``found``.
        found: the trained row's result, with ``checkpoint`` and ``data``.
        drives: drives in the simulated field.
        data: folder of the validation episodes; None takes ``found["data"]``.
        device: as ``load_policy`` takes it.

    Returns:
        The measurements; latencies in ms, driving time in s, path in m.

    Raises:
        InputError: the checkpoint cannot be loaded or cannot drive, or its validation episodes
            are not in ``data``.
    """
    from mobile_vla_ros.policy import load_policy

    wanted = set(what)
    result: dict[str, Any] = {"checkpoint": str(found["checkpoint"])}
    if "val_loss" in wanted:
        keys = ("val_loss", "last_val_loss", "train_loss")
        result |= {key: found[key] for key in keys}
    if not wanted - {"val_loss"}:
        return result
    policy = load_policy(found["checkpoint"], device=device, runtime="torch")
    if "rmse" in wanted:
        result |= _rmse(policy, Path(data or found["data"]))
    if wanted & {"success_rate", "drive"}:
        result |= _success(policy, drives)
    if wanted & {"stages", "latency"}:
        result |= _latency(policy)
    return result


def _rmse(policy: Policy, data: Path) -> dict[str, Any]:
    from mobile_vla_ros.analysis.verification import verify
    from mobile_vla_ros.cli.progress import bar

    # verify refuses files it was trained on, so it is handed the validation files alone.
    files = [data / name for name in sorted(policy.provenance.validation_files)]
    files = [file for file in files if file.exists()]
    if not files:
        source = Path(policy.provenance.source).name
        raise InputError(f"none of the validation episodes of {source} is in {data}.")
    found = verify(policy, files, swap=False, progress=bar)
    return {key: found[key] for key in ("rmse_normalised_step0", "rmse")}


def episode_errors(found: Mapping[str, Any], device: str = "auto") -> dict[str, dict[str, Any]]:
    """RMSE (normalised, first chunk step) on each episode that the checkpoint held out.

    Args:
        found: the trained row's result, with ``checkpoint`` and ``data``.
        device: as ``load_policy`` takes it.

    Returns:
        SHA-256 of the file -> ``name`` and ``rmse``; empty where nothing was held out.
    """
    from mobile_vla_ros.analysis.traces import error_sums, follow
    from mobile_vla_ros.cli.progress import bar
    from mobile_vla_ros.episodes import open_episode
    from mobile_vla_ros.policy import load_policy
    from mobile_vla_ros.stats.regression import rmse

    policy = load_policy(found["checkpoint"], device=device, runtime="torch")
    errors = {}
    held_out = sorted(policy.provenance.validation_files.items())
    for name, sha256 in bar(held_out, "held-out episodes"):
        path = Path(found["data"]) / name
        if not path.exists():
            continue
        with open_episode(path) as episode:
            trace = follow(policy, episode, swap=False)
        sums = error_sums(trace.normalised[:, 0], trace.truth_normalised[:, 0])
        errors[sha256] = {"name": name, "rmse": float(rmse(sums.sum(axis=0)))}
    return errors


def _success(policy: Policy, drives: int) -> dict[str, Any]:
    from mobile_vla_ros.sim.evaluate import evaluate, evaluation_plan
    from mobile_vla_ros.sim.scenario import SCENARIOS

    summary = evaluate(policy, plan=evaluation_plan(SCENARIOS, drives, FIELDS)).summary()
    keys = ("episodes", "successes", "success_rate", "wilson", "driving_time", "path_length")
    return {key: summary[key] for key in keys}


def _latency(policy: Policy) -> dict[str, Any]:
    """Medians of one frame in the stream, in ms; the stages are those of the benchmark."""
    from mobile_vla_ros.benchmark.frames import drawn_frames
    from mobile_vla_ros.benchmark.latency import measure_latency

    found = measure_latency(policy, drawn_frames(), mode="stream", lean_pairs=0)
    stages = found.modes["stream"]["stages"]
    names = ("preprocess", "vision", "text", "head")
    return {
        **{f"{name}_ms": 1e3 * stages[name]["p50"] for name in names},
        "latency_ms": 1e3 * stages["total"]["p50"],
        "latency_p99_ms": 1e3 * stages["total"]["p99"],
        "device": str(policy.device),
        "dtype": found.model["dtype"],
    }
