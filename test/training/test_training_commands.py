"""`mobile_vla train` and `mobile_vla augment` as they are typed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mobile_vla_ros.cli.json_keys import missing
from mobile_vla_ros.cli.main import main
from mobile_vla_ros.training.run import RunConfig


def command(*arguments: Any) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    code = ended.value.code
    return code if isinstance(code, int) else 0


def test_train_writes_its_result_and_a_figure(
    make_run: Callable[..., RunConfig],
    episodes: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "run.json"
    run.write_text("// a comment\n" + json.dumps(dict(make_run().raw)))
    result = tmp_path / "result.json"
    arguments = ["train", "--config", run, "--data", episodes, "--out", tmp_path / "runs"]
    picture = tmp_path / "losses.png"
    assert command(*arguments, "--json", result, "--plot", picture) == 0
    found = json.loads(result.read_text())
    assert not missing("train", found)
    assert Path(found["best_checkpoint"]).exists()
    assert Path(found["last_checkpoint"]).name == "last.ckpt"
    assert found["epochs"] == 2
    assert math.isfinite(found["train_loss"])
    assert math.isfinite(found["val_loss"])
    assert found["trainable_parameters"] > 0
    assert picture.stat().st_size > 5000
    printed = capsys.readouterr().out
    assert "What will be trained" in printed
    assert "backbone from" in printed


def test_unusable_input_is_one_line_and_status_2(
    make_run: Callable[..., RunConfig],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "run.json"
    run.write_text(json.dumps(dict(make_run().raw)))
    assert command("train", "--config", run, "--data", tmp_path, "--out", tmp_path / "o") == 2
    error = capsys.readouterr().err
    assert len(error.strip().splitlines()) == 1
    assert "no episode" in error
    assert command("train", "--config", tmp_path / "none.json", "--out", tmp_path) == 2
    assert command("augment", "--data", tmp_path, "--out", tmp_path / "a") == 2


def test_augment_writes_copies_its_result_and_a_figure(episodes: Path, tmp_path: Path) -> None:
    result, picture = tmp_path / "result.json", tmp_path / "copies.png"
    arguments = ["augment", "--data", episodes, "--out", tmp_path / "more", "--factor", "2"]
    assert command(*arguments, "--json", result, "--plot", picture) == 0
    assert json.loads(result.read_text())["written"] == 12
    assert picture.stat().st_size > 5000
