"""The lab's experiments: one file per row, and what each has measured."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from mobile_vla_ros.files import text_of
from mobile_vla_ros.policy.run_file import read_run_file
from mobile_vla_ros.training.run_schema import RunError

RESULT = "result.json"
# After a row's id: its last checkpoint, where the id alone means its best.
LAST = " last"
# What a row may measure, and the keys of its result that come of it.
MEASURES = {
    "val_loss": ("val_loss", "last_val_loss", "train_loss"),
    "rmse": ("rmse_normalised_step0", "rmse"),
    "success_rate": ("success_rate", "wilson"),
    "drive": ("driving_time", "path_length"),
    "stages": ("preprocess_ms", "vision_ms", "text_ms", "head_ms"),
    "latency": ("latency_ms",),
}


@dataclass(frozen=True)
class Experiment:
    """One row.

    Attributes:
        id: as the lab calls it.
        title: what it is.
        kind: `train` (a run file) or `measure` (of checkpoints that other rows trained).
        data: what it is made on, in words.
        targets: metric -> {"reached" | "below" | "above": value}.
        measure: what is measured, of `MEASURES`; a trained row's losses always are.
        of: rows whose best checkpoints are measured (with ` last` behind the id: their last);
            `best` alone is the one of lowest validation loss among all rows.
        small: how much simulated data the small version takes: `episodes`, `side`.
        question: what the lab wants to know, where there is no number to reach.
        path: its file.
        run: the run file, for kind `train`.
    """

    id: str
    title: str
    kind: str
    data: str
    targets: Mapping[str, Mapping[str, float]]
    measure: tuple[str, ...]
    of: tuple[str, ...]
    small: Mapping[str, Any]
    question: str
    path: Path
    run: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def folder(self) -> str:
        """Name of its folder among the runs."""
        return re.sub(r"[^\w-]+", "_", self.id)


def experiments_folder() -> Path:
    """The rows that come with the package: in a checkout, or where an install put them.

    Raises:
        RunError: there are none.
    """
    share = Path("share") / "mobile_vla_ros"
    prefixes = [Path(p) / share for p in os.environ.get("AMENT_PREFIX_PATH", "").split(":") if p]
    for root in (Path(__file__).parents[2], *prefixes, Path(sys.prefix) / share):
        if (root / "config" / "experiments").is_dir():
            return root / "config" / "experiments"
    raise RunError("config/experiments was not found; give its folder with --configs.")


def read_experiments(folder: str | Path) -> list[Experiment]:
    """All rows of a folder, by id.

    Raises:
        RunError: a file is no experiment, or two have one id.
    """
    rows = [read_experiment(path) for path in sorted(Path(folder).glob("*.json"))]
    if not rows:
        raise RunError(f"no experiments (*.json) in {folder}.")
    seen: dict[str, Path] = {}
    for row in rows:
        if row.id in seen:
            raise RunError(f"{row.path} and {seen[row.id]} have the same id '{row.id}'.")
        seen[row.id] = row.path
    return sorted(rows, key=lambda row: (not row.id.startswith(("T1", "case")), row.id))


def read_experiment(path: str | Path) -> Experiment:
    """Reads one row.

    Raises:
        RunError: it has no usable `experiment` section.
    """
    path = Path(path)
    raw = read_run_file(path)
    said = raw.get("experiment")
    if not isinstance(said, dict) or said.get("kind") not in ("train", "measure"):
        raise RunError(f"{path} has no experiment section of kind 'train' or 'measure'.")
    missing = [key for key in ("id", "title", "data", "targets") if key not in said]
    if missing:
        raise RunError(f"{path}: experiment.{missing[0]} is missing.")
    unknown = [str(what) for what in said.get("measure", ()) if what not in MEASURES]
    if unknown:
        raise RunError(
            f"{path}: experiment.measure has '{unknown[0]}'; choose among {', '.join(MEASURES)}."
        )
    if said["kind"] == "measure" and not (said.get("measure") and said.get("of")):
        raise RunError(f"{path}: experiment.measure and experiment.of must say what and of whom.")
    return Experiment(
        id=said["id"],
        title=said["title"],
        kind=said["kind"],
        data=said["data"],
        targets=said["targets"],
        measure=tuple(said.get("measure", ())),
        of=tuple(said.get("of", ())),
        small=said.get("small", {}),
        question=said.get("question", ""),
        path=path,
        run={key: value for key, value in raw.items() if key != "experiment"},
    )


def find_experiment(rows: Sequence[Experiment], name: str) -> Experiment:
    """The row of that id; case, spaces and underscores do not matter.

    Raises:
        RunError: there is none.
    """
    wanted = re.sub(r"[\s_]+", "", name).lower()
    for row in rows:
        if re.sub(r"[\s_]+", "", row.id).lower() == wanted:
            return row
    raise RunError(f"no experiment '{name}'; there are {', '.join(row.id for row in rows)}.")


def result_file(runs: str | Path, row: Experiment, small: bool) -> Path:
    """Where a row's measurements are kept; small versions never mix with real ones."""
    return Path(runs) / ("small" if small else "real") / row.folder / RESULT


def read_result(runs: str | Path, row: Experiment, small: bool) -> dict[str, Any] | None:
    """What a row has measured so far; None when it never ran."""
    path = result_file(runs, row, small)
    if not path.exists():
        return None
    try:
        found = json.loads(text_of(path))
    except ValueError as error:
        raise RunError(f"{path} is damaged; delete it and run {row.id} again.") from error
    return found if isinstance(found, dict) else None


def checkpoints_to_measure(
    rows: Sequence[Experiment], row: Experiment, runs: str | Path, small: bool
) -> dict[str, dict[str, Any]]:
    """What `row` measures: results of trained rows by id, with the path of a `checkpoint` each.

    Raises:
        RunError: none of them has been trained, or its checkpoint is gone.
    """
    trained = {
        other.id: result
        for other in rows
        if other.kind == "train" and (result := read_result(runs, other, small))
    }
    if row.of == ("best",):
        scored = [name for name, result in trained.items() if result.get("val_loss") is not None]
        if not scored:
            raise RunError(f"{row.id} needs a trained row: run T1-1 or case 3 first.")
        wanted: tuple[str, ...] = (min(scored, key=lambda name: trained[name]["val_loss"]),)
    else:
        wanted = tuple(name for name in row.of if name.removesuffix(LAST) in trained)
        if not wanted:
            ids = dict.fromkeys(name.removesuffix(LAST) for name in row.of)
            raise RunError(f"{row.id} compares {', '.join(ids)}: run one of them first.")
    found = {}
    for name in wanted:
        other = find_experiment(rows, name.removesuffix(LAST))
        result = trained[other.id]
        path = _checkpoint(result, name.endswith(LAST))
        # Looked for beside the result, so that a folder of runs may be moved.
        file = result_file(runs, other, small).with_name(Path(path).name)
        if not path or not file.exists():
            raise RunError(f"the checkpoint of {other.id}, {file}, is gone; run {other.id} again.")
        found[name] = {**result, "checkpoint": str(file.resolve())}
    return found


def _checkpoint(result: Mapping[str, Any], last: bool) -> str:
    # Where the last epoch was the best, both files hold the same weights.
    if last and result.get("val_loss") != result.get("last_val_loss"):
        return result.get("last_checkpoint") or ""
    return result.get("best_checkpoint") or result.get("last_checkpoint") or ""


def small_overrides(row: Experiment, place: Path, episodes: Path, seed: int = 0) -> dict[str, Any]:
    """What turns a real row into its small version, for any laptop.

    The small Kosmos-2 starts from random weights, and so does the stand-in for the RoboVLMs
    checkpoint: the small version shows that a row runs from end to end, not how well the real
    one does.

    Args:
        row: the row, of kind `train`.
        place: folder for the small network.
        episodes: folder of simulated episodes.
        seed: of the weights.
    """
    from mobile_vla_ros.training.small import write_small_kosmos2

    backbone = place / "kosmos"
    start = place / "robovlms.pt" if row.run.get("model_load_path") else None
    place.mkdir(parents=True, exist_ok=True)
    # Both get their names when they are whole: an interruption leaves no half of one.
    with tempfile.TemporaryDirectory(dir=place, prefix=".small-") as part:
        if not backbone.exists():
            write_small_kosmos2(Path(part) / "kosmos", seed).rename(backbone)
        if start is not None and not start.exists():
            _write_stand_in(backbone, Path(part) / start.name, seed + 1).rename(start)
    setup = row.run.get("train_setup", {})
    cached = bool(setup.get("freeze_backbone")) and not setup.get("lora_enable")
    return {
        "model_path": str(backbone.resolve()),
        "model_load_path": str(start.resolve()) if start else None,
        "norm_min": -1.0,
        "norm_max": 1.0,
        "batch_size": 16,
        "learning_rate": 1e-3,
        "head_learning_rate": 1e-3,
        "act_head": {"hidden_size": 64},
        "train_setup": {"gradient_checkpointing": False},
        "trainer": {
            "max_epochs": 10 if cached else 2,
            "precision": "32-true",
            "accumulate_grad_batches": 1,
        },
        "train_dataset": {
            "data_dir": str(episodes.resolve()),
            "max_episodes": None,
            "train_split": 0.75,
            "num_workers": 0,
        },
    }


def _write_stand_in(backbone: Path, path: Path, seed: int) -> Path:
    """A checkpoint in RoboVLMs' layout with a 7-DoF head and random weights."""
    from safetensors.torch import load_file

    from mobile_vla_ros.policy.heads import ARM_HEAD, KINDS
    from mobile_vla_ros.policy.heads.network import ActionHead

    torch.manual_seed(seed)
    weights = load_file(backbone / "model.safetensors")
    state = {
        f"model.backbone.{name}": value + 0.02 * torch.randn_like(value)
        for name, value in weights.items()
    }
    width = weights["text_model.model.embed_tokens.weight"].shape[1]
    state["model.action_token"] = 0.1 * torch.randn(width)
    for name, value in ActionHead(KINDS[ARM_HEAD], width, 64, 4, 10, 7).state_dict().items():
        state[f"model.act_head.{name}"] = value
    torch.save({"state_dict": state}, path)
    return path
