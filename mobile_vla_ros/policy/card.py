"""The card of a policy: what it is, its training, how well it does, what it is not for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mobile_vla_ros.errors import without_secrets
from mobile_vla_ros.policy.errors import CheckpointError
from mobile_vla_ros.policy.provenance import revisions_of

MARK = "<!-- written by mobile_vla push -->"
_NOT_FOR = (
    "It drives a small, slow robot in places like those of its training data, with a person near "
    "who can stop it. It must not be used to carry people, on roads, near people who do not know "
    "of it, above the speeds it was trained at, or where a wrong turn could hurt somebody. It "
    "knows no obstacle that its training data did not show; the guard, the speed limits and an "
    "emergency stop are not optional."
)


def write_card(
    directory: Path, licence: str, results: Sequence[Path] = (), note: str = ""
) -> bool:
    """Writes README.md of a converted directory, unless somebody else wrote one.

    Args:
        directory: what ``mobile_vla convert`` wrote.
        licence: as a hub names it; ``unknown`` when nobody said.
        results: JSON files of ``sim evaluate``, ``trials report``, ``verify``.
        note: in the lab's own words.

    Returns:
        Whether it was written.

    Raises:
        CheckpointError: the directory's or a result's JSON cannot be read.
    """
    path = directory / "README.md"
    if path.exists() and MARK not in path.read_text(encoding="utf-8", errors="replace"):
        return False
    values = _read(directory / "config.json")
    own = values.get("mobile_vla") or {}
    source = own.get("source") or {}
    training = own.get("training_files") or {}
    rows = [
        ("Licence", licence),
        ("Answers", ", ".join(values.get("action_axes") or ["image contexts only"])),
        ("Frames", f"{values.get('window_size')}, {values.get('frame_period')} s apart"),
        (
            "Chunk",
            f"{values.get('fwd_pred_next_n')} steps of {values.get('action_period')} s",
        ),
        ("Weights", str(own.get("dtype", ""))),
        ("Made of", f"{source.get('name', '')} ({source.get('kind', '')})"),
        ("SHA-256 of that", str(source.get("sha256", ""))),
        *([("On the hub", str(source["revision"]))] if source.get("revision") else []),
    ]
    table = "\n".join(f"| {name} | {_cell(str(value))} |" for name, value in rows)
    front = (
        f"---\nlicense: {json.dumps(licence)}\npipeline_tag: robotics\ntags:\n- robotics\n"
        "- mobile-base\n- vision-language-action\n---"
    )
    measured = [line for result in results for line in _measured(result)]
    parts = [
        front,
        MARK,
        "# A vision-language-action policy for a mobile base",
        f"| | |\n|---|---|\n{table}",
        f"## Training\n\n{_training(values, training, own)}",
        "## How well it does\n\n"
        + ("\n".join(f"- {line}" for line in measured) or "Nobody has said; measure before use."),
        f"## What it must not be used for\n\n{_NOT_FOR}",
        f"## Notes\n\n{note}" if note else "",
    ]
    text = "\n\n".join(part for part in parts if part) + "\n"
    path.write_text(without_secrets(text), encoding="utf-8")
    return True


def _training(values: Mapping[str, Any], files: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    setup = values.get("train_setup") or {}
    backbone = "frozen" if setup.get("freeze_backbone") else "trained"
    adapters = f", LoRA rank {setup.get('lora_r')}" if setup.get("lora_enable") else ""
    held_out = len(own.get("validation_files") or {})
    data = (
        f"{len(files)} episodes, and {held_out} held out; `config.json` has the hash of each."
        if files
        else "Its files are not recorded."
    )
    revisions = ", ".join(f"`{_cell(one)}`" for one in revisions_of(own))
    data += f" They were taken from {revisions}." if revisions else ""
    return f"Backbone {backbone}{adapters}. {data}"


def _measured(path: Path) -> list[str]:
    """What a result file says, with its intervals."""
    found = _read(path)
    lines = []
    if "success_rate" in found and "wilson" in found:
        low, high = found["wilson"]
        lines.append(
            f"Simulated field: {found.get('successes')} of {found.get('episodes')} drives reach "
            f"the goal, {found['success_rate']:.0%} (95 % interval {low:.0%} to {high:.0%})."
        )
    for row in found.get("checkpoints") or ():
        low, high = row["wilson"]
        lines.append(
            f"Field trials, {row.get('name')}: {row.get('successes')} of {row.get('trials')} "
            f"(95 % interval {low:.0%} to {high:.0%})."
        )
    if "rmse_normalised_step0" in found:
        lines.append(
            f"Velocities of {found.get('episodes')} held-out episodes: RMSE "
            f"{found['rmse_normalised_step0']:.3f} in normalised units, first step."
        )
    if not lines:
        raise CheckpointError(
            f"{path} holds no result that a card takes: give the --json of `sim evaluate`, "
            "`trials report` or `verify`"
        )
    return lines


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path} does not exist") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise CheckpointError(f"{path} is no JSON object")
    return found


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
