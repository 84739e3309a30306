"""The lab's experiments: one file per row, what each has measured, and the table of all."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from mobile_vla_ros.policy.config import read_run_file
from mobile_vla_ros.training.run import RunError

RESULT = "result.json"
METRICS = {
    "val_loss": "validation loss",
    "train_loss": "training loss",
    "rmse_normalised_step0": "RMSE",
    "success_rate": "success rate",
    "latency_ms": "latency (ms)",
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
        measure: what is measured beside the losses: `rmse`, `success_rate`, `latency`.
        of: rows whose checkpoints are measured; `best` is the one of lowest validation loss.
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
    return json.loads(path.read_text(encoding="utf-8"))


def checkpoints_to_measure(
    rows: Sequence[Experiment], row: Experiment, runs: str | Path, small: bool
) -> dict[str, dict[str, Any]]:
    """Results (with their checkpoints) of the rows that `row` measures, by id.

    Raises:
        RunError: none of them has been trained.
    """
    trained = {
        other.id: result
        for other in rows
        if other.kind == "train" and (result := read_result(runs, other, small))
    }
    if row.of == ("best",):
        scored = {
            name: result for name, result in trained.items() if result.get("val_loss") is not None
        }
        if not scored:
            raise RunError(f"{row.id} needs a trained row: run T1-1 or case 3 first.")
        best = min(scored, key=lambda name: scored[name]["val_loss"])
        return {best: scored[best]}
    found = {name: trained[name] for name in row.of if name in trained}
    if not found:
        raise RunError(f"{row.id} compares {', '.join(row.of)}: run one of them first.")
    return found


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
    if not (backbone / "config.json").exists():
        write_small_kosmos2(backbone, seed)
    start = None
    if row.run.get("model_load_path"):
        start = place / "robovlms.pt"
        if not start.exists():
            _write_stand_in(backbone, start, seed + 1)
    cached = bool(row.run["train_setup"].get("freeze_backbone")) and not row.run[
        "train_setup"
    ].get("lora_enable")
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


def table_rows(rows: Sequence[Experiment], runs: str | Path, small: bool) -> list[dict[str, Any]]:
    """One dictionary per row: id, title, data, targets, measured (only what was measured)."""
    result = []
    for row in rows:
        found = read_result(runs, row, small) or {}
        result.append(
            {
                "id": row.id,
                "title": row.title,
                "data": row.data,
                "targets": dict(row.targets),
                "question": row.question,
                "measured": {name: found[name] for name in METRICS if found.get(name) is not None},
                "verdict": verdict(row, found),
            }
        )
    return result


def verdict(row: Experiment, measured: Mapping[str, Any]) -> str:
    """`met`, `missed`, or nothing where there is no bound or no measurement."""
    answers = []
    for name, target in row.targets.items():
        value = measured.get(name)
        if value is None:
            continue
        if "below" in target:
            answers.append(value < target["below"])
        if "above" in target:
            answers.append(value > target["above"])
    if not answers:
        return ""
    return "met" if all(answers) else "missed"


def target_words(targets: Mapping[str, Mapping[str, float]]) -> str:
    """The targets in words."""
    return "; ".join(
        f"{METRICS.get(name, name)} {word} {value:g}"
        for name, target in targets.items()
        for word, value in target.items()
    )


def _write_stand_in(backbone: Path, path: Path, seed: int) -> None:
    """A checkpoint in RoboVLMs' layout with a 7-DoF head and random weights."""
    from safetensors.torch import load_file

    from mobile_vla_ros.policy.heads import ArmHead

    torch.manual_seed(seed)
    weights = load_file(backbone / "model.safetensors")
    state = {
        f"model.backbone.{name}": value + 0.02 * torch.randn_like(value)
        for name, value in weights.items()
    }
    width = weights["text_model.model.embed_tokens.weight"].shape[1]
    state["model.action_token"] = 0.1 * torch.randn(width)
    for name, value in ArmHead(width, 64, 4, 10, 7).state_dict().items():
        state[f"model.act_head.{name}"] = value
    torch.save({"state_dict": state}, path)
