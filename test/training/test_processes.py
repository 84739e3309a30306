"""Two training processes are one with twice the batch."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mobile_vla_ros.training.order import EpochBatches, EpochSampler
from mobile_vla_ros.training.run import RunConfig

TWO = {"devices": 2, "strategy": "ddp"}
# Lightning starts the second process by running this file again.
PROGRAM = """
import os, signal, sys
import lightning.pytorch as pl
from mobile_vla_ros.training.run import load_run
from mobile_vla_ros.training.train import train

class Stop(pl.Callback):
    def on_train_batch_end(self, trainer, module, *_):
        if trainer.global_step == stop and trainer.is_global_zero:
            os.kill(os.getpid(), signal.SIGINT)

run, data, out, stop, resume = sys.argv[1:]
stop = int(stop)
train(load_run(run), data, out, callbacks=[Stop()], resume=resume or None)
"""


def start(
    run: RunConfig, data: Path, folder: Path, batch: int, trainer: dict[str, Any], **more: Any
) -> Path:
    """Trains in processes of their own; the folder of the run."""
    folder.mkdir(exist_ok=True)
    raw = {**run.raw, "batch_size": batch, **more.pop("run", {})}
    raw["trainer"] = {**run.raw["trainer"], "max_steps": 20, "max_epochs": -1, **trainer}
    (folder / "run.json").write_text(json.dumps(raw))
    (folder / "program.py").write_text(PROGRAM)
    words = [folder / "run.json", data, folder, more.pop("stop", 0), more.pop("resume", "")]
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, str(folder / "program.py"), *map(str, words)],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return folder


def losses(folder: Path) -> dict[int, float]:
    """Training loss by step."""
    with (folder / "logs" / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row.get("train_loss_step")]
    return {int(row["step"]): float(row["train_loss_step"]) for row in rows}


def validation_losses(folder: Path) -> list[float]:
    with (folder / "logs" / "metrics.csv").open() as file:
        return [float(row["val_loss"]) for row in csv.DictReader(file) if row.get("val_loss")]


@pytest.fixture(scope="module")
def single(
    make_run: Callable[..., RunConfig], episodes: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    # 12 windows: the second step of an epoch has 2 of the 10.
    return start(make_run(), episodes, tmp_path_factory.mktemp("single"), 10, {})


@pytest.fixture(scope="module")
def both(
    make_run: Callable[..., RunConfig], episodes: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return start(make_run(), episodes, tmp_path_factory.mktemp("both"), 5, TWO)


def test_two_processes_equal_one_with_twice_the_batch_for_twenty_steps(
    single: Path, both: Path
) -> None:
    first, second = losses(single), losses(both)
    assert first.keys() == second.keys()
    assert len(first) == 20
    assert max(abs(first[step] - second[step]) for step in first) < 1e-5
    for one, other in zip(validation_losses(single), validation_losses(both), strict=True):
        assert abs(one - other) < 1e-5
    one, other = (torch.load(f / "last.ckpt", weights_only=True) for f in (single, both))
    for name, value in one["state_dict"].items():
        torch.testing.assert_close(value, other["state_dict"][name], rtol=0, atol=1e-4)


def test_two_processes_write_every_file_once(single: Path, both: Path) -> None:
    def names(folder: Path) -> list[str]:
        found = sorted(path.name for path in folder.rglob("*") if "=" not in path.name)
        return [name.split(".")[0] if name.startswith("events") else name for name in found]

    assert names(single) == names(both)


def test_two_processes_stopped_in_mid_epoch_go_on_as_if_they_had_not(
    make_run: Callable[..., RunConfig], episodes: Path, tmp_path: Path, both: Path
) -> None:
    # Two steps an epoch; one process hears the signal, both end after the same step.
    start(make_run(), episodes, tmp_path, 5, TWO, stop=3)
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 3
    start(make_run(), episodes, tmp_path, 5, TWO, resume=tmp_path / "last.ckpt")
    first, second = (torch.load(f / "last.ckpt", weights_only=True) for f in (both, tmp_path))
    assert (first["global_step"], second["global_step"]) == (20, 20)
    for name, value in first["state_dict"].items():
        assert torch.equal(value, second["state_dict"][name]), name


def test_processes_take_parts_of_every_batch_and_equally_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from mobile_vla_ros.training import processes

    monkeypatch.setattr(processes, "count", lambda: 3)
    parts = []
    for rank in range(3):
        monkeypatch.setattr(processes, "rank", lambda rank=rank: rank)
        parts.append(list(EpochBatches(EpochSampler(20, seed=1), 3)))
    assert [len(part) for part in parts] == [3, 3, 3]
    order = list(EpochSampler(20, seed=1))
    taken = [key for step in zip(*parts, strict=True) for part in step for key in part]
    assert [key for key in taken if key[1] >= 0] == order
    assert sum(key[1] < 0 for key in taken) == 1
