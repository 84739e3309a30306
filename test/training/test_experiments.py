"""The lab's experiments: every row is there, a small one runs, the table leaves gaps empty."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mobile_vla_ros.cli.main import main
from mobile_vla_ros.training.experiments import (
    Experiment,
    checkpoints_to_measure,
    experiments_folder,
    find_experiment,
    read_experiments,
    small_overrides,
    table_rows,
    verdict,
)
from mobile_vla_ros.training.run import RunError, load_run
from mobile_vla_ros.training.start import starting_network

IDS = {
    *("T1-1", "T1-2", "T1-3", "T1-4", "case 3", "case 4", "T2-1", "T2-2", "T2-3"),
    *("T3-1", "T3-2", "T3-3", "T3-4", "T4-1", "T4-2", "T4-3", "T4-4"),
}


@pytest.fixture(scope="module")
def rows() -> list[Experiment]:
    return read_experiments(experiments_folder())


def command(*arguments: Any) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    code = ended.value.code
    return code if isinstance(code, int) else 0


def test_every_row_of_the_lab_is_there(rows: list[Experiment]) -> None:
    assert {row.id for row in rows} == IDS


def test_every_training_row_is_a_run_file_that_passes_its_check(rows: list[Experiment]) -> None:
    modes = {row.id: load_run(row.path).mode for row in rows if row.kind == "train"}
    assert modes["T1-1"] == modes["T1-2"] == modes["case 4"] == "lora"
    assert modes["T1-3"] == modes["T1-4"] == "full"
    assert modes["case 3"] == modes["T4-1"] == modes["T4-2"] == "frozen"
    case_4 = load_run(find_experiment(rows, "case_4").path)
    assert (case_4.setup.lora_r, case_4.setup.lora_alpha) == (8, 16)
    assert (case_4.learning_rate, case_4.head_learning_rate) == (1e-5, 1e-4)
    robovlms = {row.id for row in rows if row.run.get("model_load_path")}
    assert robovlms == {"T1-2", "T1-4"}


def test_one_sided_rows_never_mirror(rows: list[Experiment]) -> None:
    row = load_run(find_experiment(rows, "T1-1").path)
    assert "left" in row.data.episode_pattern
    assert row.augmentation.mirror == 0


def test_rows_that_measure_name_rows_that_exist(rows: list[Experiment]) -> None:
    for row in rows:
        if row.kind == "measure":
            assert row.measure
            assert row.of == ("best",) or set(row.of) <= IDS


def test_an_unknown_id_lists_the_known_ones(rows: list[Experiment]) -> None:
    with pytest.raises(RunError, match="T4-4"):
        find_experiment(rows, "T9")
    assert find_experiment(rows, "CASE3").id == "case 3"


def test_nothing_measured_gives_empty_cells(rows: list[Experiment], tmp_path: Path) -> None:
    table = table_rows(rows, tmp_path, small=False)
    assert len(table) == len(IDS)
    assert all(row["measured"] == {} and row["verdict"] == "" for row in table)
    with pytest.raises(RunError, match="run one of them first"):
        checkpoints_to_measure(rows, find_experiment(rows, "T2-3"), tmp_path, small=False)


def test_a_verdict_compares_bounds_only(rows: list[Experiment]) -> None:
    below = find_experiment(rows, "T4-2")
    assert verdict(below, {"val_loss": 0.009}) == "met"
    assert verdict(below, {"val_loss": 0.011}) == "missed"
    assert verdict(find_experiment(rows, "T1-1"), {"val_loss": 0.5}) == ""


def test_the_small_version_of_a_robovlms_row_starts_from_a_7_dof_stand_in(
    rows: list[Experiment], episodes: Path, tmp_path: Path
) -> None:
    row = find_experiment(rows, "T1-2")
    run = load_run(row.path, small_overrides(row, tmp_path, episodes))
    said: list[str] = []
    starting_network(run, said.append)
    assert any("7-DoF arm head replaced by a fresh one" in sentence for sentence in said)


def test_a_small_row_runs_and_appears_in_the_table(
    episodes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--runs", tmp_path, "--small"]
    assert command("experiment", "run", "T4-1", "--data", episodes, *where) == 0
    assert command("experiment", "run", "T2-3", *where) == 2
    assert "run one of them first" in capsys.readouterr().err
    assert command("experiment", "run", "T3-1", *where) == 0
    assert command("experiment", "table", *where, "--json", tmp_path / "table.json") == 0
    found = {row["id"]: row for row in json.loads((tmp_path / "table.json").read_text())}
    assert set(found) == IDS
    assert set(found["T4-1"]["measured"]) == {"val_loss", "train_loss"}
    assert found["T3-1"]["measured"]["latency_ms"] > 0
    assert found["T3-2"]["measured"] == {}
    assert (
        command("experiment", "table", "--runs", tmp_path, "--json", tmp_path / "real.json") == 0
    )
    real = json.loads((tmp_path / "real.json").read_text())
    assert all(row["measured"] == {} for row in real)
    assert command("experiment", "list", "--json", tmp_path / "list.json") == 0
    assert {row["id"] for row in json.loads((tmp_path / "list.json").read_text())} == IDS
