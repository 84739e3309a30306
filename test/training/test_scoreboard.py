"""Measured against target: every metric on its line, what was never measured left empty."""

from __future__ import annotations

from pathlib import Path

import pytest

from mobile_vla_ros.training.experiments import (
    Experiment,
    checkpoints_to_measure,
    experiments_folder,
    find_experiment,
    read_experiments,
)
from mobile_vla_ros.training.run_schema import RunError
from mobile_vla_ros.training.scoreboard import Score, columns, scores, table_rows, verdict


@pytest.fixture(scope="module")
def rows() -> list[Experiment]:
    return read_experiments(experiments_folder())


def test_nothing_measured_gives_empty_cells(rows: list[Experiment], tmp_path: Path) -> None:
    table = table_rows(rows, tmp_path, small=False)
    assert len(table) == len(rows)
    assert all(row["measured"] == {} and row["verdict"] == "" for row in table)
    with pytest.raises(RunError, match="run one of them first"):
        checkpoints_to_measure(rows, find_experiment(rows, "T2-3"), tmp_path, small=False)


def test_a_verdict_compares_bounds_only(rows: list[Experiment]) -> None:
    below = find_experiment(rows, "T4-2")
    assert verdict(below, {"val_loss": 0.009}) == "met"
    assert verdict(below, {"val_loss": 0.011}) == "missed"
    assert verdict(find_experiment(rows, "T1-1"), {"val_loss": 0.5}) == ""


def test_a_row_that_never_ran_shows_its_targets_and_empty_cells(rows: list[Experiment]) -> None:
    for row in rows:
        assert not any(any(score.measured) or score.verdict for score in scores(row, None))
    assert scores(find_experiment(rows, "T3-3"), None) == [
        Score("RMSE (normalised)", ("",), "below 0.12"),
        Score("", ("",), "reached 0.114"),
        Score("RMSE (m/s, rad/s)", ("",)),
    ]
    assert columns(find_experiment(rows, "T3-3"), None) == ("best",)


def test_the_latency_row_shows_its_stages_and_the_total_against_its_target(
    rows: list[Experiment],
) -> None:
    found = {"preprocess_ms": 2.0, "vision_ms": 120.0, "text_ms": 90.5, "head_ms": 1.25}
    found["latency_ms"] = 214.0
    row = find_experiment(rows, "T3-1")
    result = {"by_checkpoint": {"case 3": found}, **found}
    assert columns(row, result) == ("case 3",)
    assert scores(row, result)[1:] == [
        Score("vision (ms)", ("120",)),
        Score("text (ms)", ("90.5",)),
        Score("head (ms)", ("1.25",)),
        Score("latency, total (ms)", ("214",), "below 200", "missed"),
    ]


def test_errors_stand_in_the_units_of_their_axes(rows: list[Experiment]) -> None:
    found = {"rmse_normalised_step0": 0.114, "rmse": {"linear.x": 0.1, "angular.z": 0.25}}
    row = find_experiment(rows, "T3-3")
    assert scores(row, {"by_checkpoint": {"T1-1": found}}) == [
        Score("RMSE (normalised)", ("0.114",), "below 0.12", "met"),
        Score("", ("",), "reached 0.114"),
        Score("RMSE linear.x (m/s)", ("0.1",)),
        Score("RMSE angular.z (rad/s)", ("0.25",)),
    ]


def test_checkpoints_stand_side_by_side_and_untrained_ones_stay_empty(
    rows: list[Experiment],
) -> None:
    row = find_experiment(rows, "T2-1")
    found = {
        "T1-1": {"success_rate": 0.5, "wilson": [0.1, 0.9]},
        "case 3": {"success_rate": 0.25, "wilson": [0.05, 0.6]},
        "case 3 last": {"success_rate": 0.125, "wilson": [0.02, 0.47]},
    }
    assert columns(row, {"by_checkpoint": found}) == ("T1-1", "T1-2", "case 3", "case 4")
    assert scores(row, {"by_checkpoint": found}) == [
        Score("success rate", ("0.5", "", "0.25", "")),
        Score("  95 % interval", ("0.10-0.90", "", "0.05-0.60", "")),
        Score("success rate, last epoch", ("", "", "0.125", "")),
        Score("  95 % interval", ("", "", "0.02-0.47", "")),
    ]


def test_the_table_as_values_holds_every_checkpoint(
    rows: list[Experiment], tmp_path: Path
) -> None:
    folder = tmp_path / "real" / "T2-3"
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(
        '{"by_checkpoint": {"T1-1": {"val_loss": 0.02, "checkpoint": "a"}, "case 3": {}}}'
    )
    table = {row["id"]: row for row in table_rows(rows, tmp_path, small=False)}
    assert table["T2-3"]["by_checkpoint"] == {"T1-1": {"val_loss": 0.02}, "case 3": {}}
    assert table["T2-1"]["by_checkpoint"] == {}
