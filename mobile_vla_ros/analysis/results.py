"""The results of a folder: which commands measured a run, what they said, what is missing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mobile_vla_ros.analysis.recordings import AnalysisError
from mobile_vla_ros.files import text_of

# What a run can have been measured by, and the command that does it.
MEASURES = {
    "train": ("training and validation loss", "train"),
    "verify": ("velocity error on held-out episodes", "verify"),
    "context extract": ("context statistics", "context extract"),
    "context probe": ("whether features are informative", "context probe"),
    "context ablate": ("what the velocities depend on", "context ablate"),
    "context attention": ("where the policy looks", "context attention"),
    "benchmark": ("latency", "benchmark"),
    "sim evaluate": ("success in simulation", "sim evaluate"),
    "trials report": ("success in the field", "trials report"),
}
PAIRED = {"context compare": "context vectors", "latent compare": "LSTM states"}
# Results of commands that do not name themselves are told by their keys.
SIGNS = {
    "train": ("best_checkpoint", "val_loss"),
    "benchmark": ("machine", "modes"),
    "sim evaluate": ("success_rate", "by_scenario", "wilson"),
    "trials report": ("checkpoints", "comparison"),
    "inspect": ("kind", "coverage"),
    "verify": ("rmse_normalised_step0", "baselines"),
}


@dataclass
class Run:
    """The results of one checkpoint.

    Attributes:
        name: its folder's name.
        results: command -> result.
        files: command -> the JSON file it was read from.
    """

    name: str
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)


def read_runs(folders: Sequence[str | Path]) -> tuple[list[Run], list[tuple[str, dict]]]:
    """Reads every result in the folders.

    Returns:
        The runs, and the comparisons of two checkpoints as (command, result).

    Raises:
        AnalysisError: a folder is missing, holds no result, or a result is not JSON.
    """
    runs: list[Run] = []
    pairs: list[tuple[str, dict]] = []
    for place in map(Path, folders):
        if not place.is_dir():
            raise AnalysisError(f"{place} is not a folder of results")
        run = Run(_unused(place.resolve().name, runs))
        found = sorted(place.glob("*.json")) + sorted(place.glob("*/context.json"))
        for path in found:
            result = _read(path)
            command = _command(result)
            if command in PAIRED:
                if not any(command == other and result == kept for other, kept in pairs):
                    pairs.append((command, result))
            elif command is not None:
                run.results[command] = result
                run.files[command] = path
        if run.results:
            runs.append(run)
        elif not any(_command(_read(path)) in PAIRED for path in found):
            raise AnalysisError(
                f"{place} holds no result; write some there with --json, for example "
                f"`mobile_vla verify ... --json {place / 'verify.json'}`"
            )
    if not runs and not pairs:
        raise AnalysisError("there is nothing to report")
    return runs, pairs


def not_measured(
    runs: Sequence[Run], pairs: Sequence[tuple[str, dict]]
) -> list[tuple[str, str, str]]:
    """What no command was run for, and what a command had to leave out, with the reason."""
    rows = []
    for run in runs:
        for command, (what, name) in MEASURES.items():
            if command not in run.results:
                rows.append((run.name, what, f"`{name}` was not run"))
        rows += [(run.name, what, why) for what, why in _gaps(run)]
    for command, what in PAIRED.items():
        if len(runs) > 1 and not any(command == other for other, _ in pairs):
            names = " and ".join(run.name for run in runs)
            rows.append((names, f"comparison of {what}", f"`{command}` was not run"))
    return rows


def _gaps(run: Run) -> list[tuple[str, str]]:
    gaps: list[tuple[str, str]] = []
    verified = run.results.get("verify", {})
    for key, what in (
        ("instruction_swap", "instruction swap"),
        ("generalisation", "generalisation from one side to the other"),
    ):
        if verified.get(key, {}).get("measured") is False:
            gaps.append((what, verified[key]["reason"]))
    if verified and not verified.get("latency"):
        gaps.append(("effect of latency on the path", "verify ran without --latency"))
    if verified and not verified.get("held_out", {}).get("known"):
        gaps.append(("whether the episodes are held out", verified["held_out"]["note"]))
    for entry in run.results.get("context probe", {}).get("probes", ()):
        if not entry["measured"]:
            gaps.append((f"{entry['target']} from the {entry['features']}", entry["reason"]))
    for command, result in run.results.items():
        skipped = result.get("skipped") or ()
        if isinstance(skipped, list):
            gaps += [(f"{command} of {item['path']}", item["reason"]) for item in skipped]
    return gaps


def _read(path: Path) -> dict[str, Any]:
    try:
        result = json.loads(text_of(path))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise AnalysisError(f"{path} is not a result: {error}") from error
    return result if isinstance(result, dict) else {}


def _command(result: dict[str, Any]) -> str | None:
    named = result.get("command")
    if named in MEASURES or named in PAIRED:
        return named
    for command, keys in SIGNS.items():
        if all(key in result for key in keys):
            return command
    return None


def _unused(name: str, runs: Sequence[Run]) -> str:
    taken = {run.name for run in runs}
    number, candidate = 2, name
    while candidate in taken:
        candidate, number = f"{name} ({number})", number + 1
    return candidate
