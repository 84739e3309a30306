"""What other programs may read in the JSON of each command; the reference page is made of this.

More may stand beside these keys. A dot stands for a key inside a key, ``[]`` for each item of a
list, ``*`` for each key of a mapping.
"""

from __future__ import annotations

KEYS: dict[str, dict[str, str]] = {
    "inspect": {
        "kind": "robovlms, lightning, converted or kosmos2",
        "head": "class of the action head; null without one",
        "dof": "velocities in a step",
        "window_size": "frames that the head reads at most",
        "chunk_size": "steps that it puts out",
        "lora": "null, or r, alpha and modules of the adapters",
        "action_axes": "what the outputs mean",
        "action_axes_confirmed": "false: nothing says so, it is assumed",
        "parameters": "weights, a count",
        "bytes": "as stored",
        "coverage.loaded": "weights that have a place, a count",
        "coverage.missing": "names that the model wants and the file lacks",
        "coverage.unexpected": "names that no part of the model knows",
    },
    "benchmark": {
        "machine": "processor, memory, GPU, versions, threads, load",
        "model": "source, size, device, dtype",
        "modes.*.stages.*.p50": "s; modes stream and window, each stage with p50, p90, p99, max",
        "stream_over_window": "time of a window step over that of a stream step",
        "max_action_difference": "of the two modes, normalised",
        "floor": "how fast the machine could be: operations, bytes, rates, seconds",
        "memory": "bytes at their highest, loading and running",
    },
    "verify": {
        "episodes": "a count",
        "frames": "a count",
        "rmse_normalised_step0": "normalised units, first chunk step, axes pooled",
        "rmse.*": "m/s or rad/s, by axis",
        "mae": "the same",
        "r2": "the same",
        "per_step[].step": "every measure for each step of the chunk",
        "baselines.repeat_last": "the guess that the last command goes on",
        "baselines.mean": "the best constant",
        "by_scenario": "the same by scenario",
        "direction.labels": "of the matrix",
        "direction.matrix": "recorded against predicted directions, counts",
        "instruction_swap": "what changes with left and right exchanged",
        "intervals": "95 %, from resampling episodes: [low, high] by measure",
    },
    "context extract": {
        "shape": "episodes, frames, tokens, width",
        "mean": "of all values",
        "std": "of all values",
        "min": "of all values",
        "max": "of all values",
        "norm": "of all values",
        "checkpoint_sha256": "of the file",
        "files": "SHA-256 of each episode, by name",
    },
    "context compare": {
        "metrics.*.value": "each measure, with low and high",
        "references.neighbour": "a model against itself on neighbouring frames",
        "references.shuffled": "and on frames shuffled between episodes",
        "thresholds": "the lab's lines: value, passed, discriminating",
    },
    "latent compare": {
        "metrics.*.value": "each measure, with low and high",
        "references.neighbour": "a model against itself on neighbouring frames",
        "references.shuffled": "and on frames shuffled between episodes",
        "thresholds": "the lines: value, passed, discriminating",
    },
    "episodes list": {
        "scenarios[].name": "of the plan and of the files",
        "scenarios[].done": "episodes there are",
        "scenarios[].target": "episodes wanted; null without a plan",
    },
    "episodes check": {
        "files[].path": "of the file",
        "files[].ok": "no problem was found",
        "files[].complete": "the recording was ended in order",
        "files[].frames": "a count",
        "files[].problems": "sentences",
    },
    "train": {
        "best_checkpoint": "path",
        "last_checkpoint": "path",
        "epochs": "that were run",
        "train_loss": "of the last epoch",
        "val_loss": "of the last epoch",
        "trainable_parameters": "a count",
    },
    "sim evaluate": {
        "episodes": "drives, a count",
        "successes": "a count",
        "success_rate": "0 to 1",
        "wilson": "95 % interval: [low, high]",
        "by_scenario": "the same by scenario",
        "driving_time": "s, mean over the successes",
        "path_length": "m, mean over the successes",
        "collisions": "a count",
    },
    "sim evaluate --field open": {
        "spl": "success weighted by path length, 0 to 1, mean over the runs that ask for a thing",
        "navigation_error": "m from the robot's centre to the target's outline at the end, mean",
        "wrong_targets": "runs that stopped at another thing, a count",
        "false_stops": "runs that stood away from the target with nobody near, a count",
        "by_tier": "the same by tier",
        "by_target": "the same by thing asked for",
        "by_wording": "the same for wordings that are trained and kept for testing",
    },
    "sim correct": {
        "episodes": "a count",
        "interventions": "times that the person took over, a count",
        "interventions_per_100m": "of the way driven",
        "successes": "a count",
    },
    "experiment table": {
        "rows[].id": "of the experiment",
        "rows[].seeds": "runs that the numbers are the mean of, a count",
        "rows[].metric.mean": "of its first target's metric; null where nothing was measured",
        "rows[].metric.low": "95 % interval over seeds; null for fewer than two",
        "rows[].metric.high": "the same",
        "rows[].target": "null, or the bound: below, above or reached, and the value",
        "differences": "of rows on the same held-out episodes, with interval and verdict",
    },
    "gate": {
        "decision": "promote or hold",
        "checks[].name": "what was looked at",
        "checks[].ok": "false: it speaks for holding",
        "checks[].value": "what was found",
        "checks[].limit": "what would do",
        "sha256": "of the files of candidate and current, of the data and the incidents, by name",
    },
    "trials report": {
        "checkpoints[].name": "of the plan",
        "checkpoints[].trials": "a count",
        "checkpoints[].successes": "a count",
        "checkpoints[].wilson": "95 % interval: [low, high]",
        "checkpoints[].driving_time": "s",
        "checkpoints[].path_length": "m",
        "comparison.test": "which test",
        "comparison.p": "its p",
        "comparison.enough": "whether there are enough trials to tell",
    },
}


def missing(command: str, result) -> list[str]:
    """The keys of a command that its result does not have."""
    keys = [(key, key.replace("[]", ".[]").split(".")) for key in KEYS[command]]
    return [key for key, names in keys if not all(_walk(result, names))]


def _walk(value, names: list[str]):
    if not names:
        yield True
    elif names[0] == "[]":
        yield isinstance(value, list)
        for item in value:
            yield from _walk(item, names[1:])
    elif names[0] == "*":
        yield isinstance(value, dict) and bool(value)
        for item in value.values():
            yield from _walk(item, names[1:])
    elif isinstance(value, dict) and names[0] in value:
        yield from _walk(value[names[0]], names[1:])
    else:
        yield False
