"""Rows with several seeds: each its own run, never twice; means, intervals and differences."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from mobile_vla_ros.cli.experiment_text import as_csv, as_latex
from mobile_vla_ros.cli.json_keys import missing
from mobile_vla_ros.cli.main import main
from mobile_vla_ros.training.error_bars import NOT_ENOUGH, differences, results_of, row_entry
from mobile_vla_ros.training.experiments import (
    Experiment,
    experiments_folder,
    find_experiment,
    read_experiments,
    result_file,
)
from mobile_vla_ros.training.run_schema import RunError
from mobile_vla_ros.training.seeds import EPISODE_ERRORS, alone, seed_overrides, seed_runs


@pytest.fixture(scope="module")
def rows() -> list[Experiment]:
    return read_experiments(experiments_folder())


def command(*arguments: Any) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    code = ended.value.code
    return code if isinstance(code, int) else 0


def kept(
    runs: Path,
    row: Experiment,
    seed: int,
    errors: list[float],
    names: list[str] | None = None,
    **result: float,
) -> None:
    """A seed that was run, on paper; its episodes are called by their number, or as told."""
    file = result_file(seed_runs(runs, seed), row, small=False)
    file.parent.mkdir(parents=True)
    called = names or [f"{n}.h5" for n in range(len(errors))]
    by_episode = {str(n): {"name": called[n], "rmse": error} for n, error in enumerate(errors)}
    file.write_text(json.dumps({**result, EPISODE_ERRORS: by_episode}))


def test_a_row_has_mean_and_interval_over_its_seeds(rows, tmp_path) -> None:
    row = find_experiment(rows, "T4-2")
    for seed, loss in ((1, 0.010), (2, 0.012), (10, 0.014)):
        kept(tmp_path, row, seed, [], val_loss=loss)
    entry = row_entry(row, results_of(tmp_path, row, small=False))
    assert entry["seeds"] == 3
    assert entry["metric"]["name"] == "val_loss"
    assert entry["metric"]["mean"] == pytest.approx(0.012)
    assert entry["metric"]["low"] < 0.010 < 0.014 < entry["metric"]["high"]
    assert entry["target"] == dict(row.targets["val_loss"])
    nothing = row_entry(row, [])
    assert nothing["seeds"] == 0
    assert nothing["metric"]["mean"] is None


def test_rows_differ_or_there_is_not_enough_to_tell(rows, tmp_path) -> None:
    one, other, third = (find_experiment(rows, name) for name in ("case 3", "case 4", "T4-1"))
    for seed in range(1, 4):
        wobble = 0.001 * seed
        kept(tmp_path, one, seed, [0.10 + wobble, 0.12, 0.11, 0.13])
        kept(tmp_path, other, seed, [0.20, 0.22 + wobble, 0.21, 0.23, 0.5])
        # Sometimes better, sometimes worse.
        kept(tmp_path, third, seed, [0.12 if seed == 1 else 0.09, 0.12, 0.11, 0.12])
    found = {(d.first, d.second): d for d in differences(rows, tmp_path, small=False)}
    clear = found["case 3", "case 4"]
    # The fifth episode was held out by one of them alone.
    assert (clear.seeds, clear.episodes) == (3, 4)
    assert clear.interval.value == pytest.approx(-0.1, abs=1e-3)
    assert clear.verdict == "case 3 is better"
    assert found["case 3", "T4-1"].verdict == NOT_ENOUGH


def test_rows_are_compared_on_the_episodes_that_are_asked_for(rows, tmp_path) -> None:
    names = ["a_left.h5", "b_left.h5", "c_right.h5", "d_right.h5"]
    for name, errors in (("case 3", [0.1, 0.12, 0.5, 0.52]), ("case 4", [0.2, 0.22, 0.3, 0.31])):
        for seed in (1, 2):
            kept(tmp_path, find_experiment(rows, name), seed, errors, names=names)
    [left] = differences(rows, tmp_path, small=False, episodes="*left*")
    [right] = differences(rows, tmp_path, small=False, episodes="*right*")
    assert (left.episodes, right.episodes) == (2, 2)
    assert left.interval.value == pytest.approx(-0.1)
    assert right.interval.value == pytest.approx(0.205)
    row = find_experiment(rows, "case 3")
    entry = row_entry(row, results_of(tmp_path, row, small=False), "*right*")
    assert entry["metrics"]["episode_rmse"]["mean"] == pytest.approx(0.51)
    where = ["experiment", "table", "--runs", tmp_path]
    picture, out = tmp_path / "rows.png", tmp_path / "rows.json"
    assert command(*where, "--episodes", "*left*", "--json", out, "--plot", picture) == 0
    assert picture.stat().st_size > 1000
    assert json.loads(out.read_text())["differences"][0]["episodes"] == 2
    assert command(*where, "--episodes", "*up*") == 2
    assert command("experiment", "table", "--runs", tmp_path / "none", "--plot", picture) == 2


def test_one_seed_is_never_enough_to_tell(rows, tmp_path) -> None:
    for name, error in (("case 3", 0.1), ("case 4", 0.9)):
        kept(tmp_path, find_experiment(rows, name), 1, [error, error])
    [found] = differences(rows, tmp_path, small=False)
    assert found.verdict == NOT_ENOUGH
    assert found.to_plain()["low"] is None


def test_every_seed_holds_out_the_episodes_of_the_row(rows) -> None:
    row = find_experiment(rows, "T4-2")
    first, second = seed_overrides(row, 1), seed_overrides(row, 2)
    assert first["train_dataset"] == second["train_dataset"]
    assert (first["seed"], second["seed"]) == (1, 2)


def test_a_seed_is_not_run_by_two_processes(rows, tmp_path) -> None:
    row = find_experiment(rows, "T4-2")
    with (
        alone(tmp_path, row, small=False),
        pytest.raises(RunError, match="run by another process"),
        alone(tmp_path, row, small=False),
    ):
        pass
    with alone(tmp_path, row, small=False):
        pass


def test_latex_and_csv_hold_the_numbers(rows, tmp_path) -> None:
    row = find_experiment(rows, "T4-2")
    for seed, loss in ((1, 0.010), (2, 0.012)):
        kept(tmp_path, row, seed, [], val_loss=loss)
    results = results_of(tmp_path, row, small=False)
    entry = {"id": "a_b", "title": "50 %", "targets": dict(row.targets)}
    entry |= row_entry(row, results)
    [head, line] = csv.reader(as_csv([entry]).splitlines())
    assert head[:4] == ["id", "title", "seeds", "metric"]
    assert (line[0], line[2], line[3]) == ("a_b", "2", "val_loss")
    assert float(line[4]) == pytest.approx(0.011)
    difference = {
        "first": "a_b", "second": "c", "mean": -0.1, "low": None, "high": None,
        "seeds": 1, "episodes": 4, "verdict": NOT_ENOUGH,
    }  # fmt: skip
    latex = as_latex([entry], [difference])
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") == 2
    assert r"a\_b & val\_loss & 0.011 & " in latex
    assert NOT_ENOUGH in latex


def test_seeds_run_once_go_on_where_they_ended_and_stand_in_the_table(
    rows, episodes, tmp_path, capsys
) -> None:
    where = ["--runs", tmp_path, "--small"]
    run = ["experiment", "run", "T4-1", "--data", episodes, *where, "--seeds", 2]
    out = tmp_path / "run.json"
    assert command(*run, "--json", out) == 0
    assert json.loads(out.read_text())["seeds"] == 2
    row = find_experiment(rows, "T4-1")
    files = [result_file(seed_runs(tmp_path, seed), row, small=True) for seed in (1, 2)]
    first, second = (json.loads(file.read_text()) for file in files)
    assert first["val_loss"] != second["val_loss"]
    assert first[EPISODE_ERRORS].keys() == second[EPISODE_ERRORS].keys()
    assert first[EPISODE_ERRORS]
    # The second was killed before its result was written: it goes on, the first stays.
    files[1].unlink()
    before = files[0].stat().st_mtime_ns
    capsys.readouterr()
    assert command(*run) == 0
    printed = capsys.readouterr().out
    assert "seed 1 is done" in printed
    assert "seed 2 goes on" in printed
    assert files[0].stat().st_mtime_ns == before
    assert json.loads(files[1].read_text())["val_loss"] == second["val_loss"]
    table = tmp_path / "table.json"
    texts = ["--latex", tmp_path / "t.tex", "--csv", tmp_path / "t.csv"]
    assert command("experiment", "table", *where, "--json", table, *texts) == 0
    result = json.loads(table.read_text())
    assert not missing("experiment table", result)
    found = {entry["id"]: entry for entry in result["rows"]}["T4-1"]
    assert found["seeds"] == 2
    assert found["metrics"]["val_loss"]["low"] is not None
    assert "val_loss" in (tmp_path / "t.csv").read_text()
    assert "T4-1 " in capsys.readouterr().out
    assert command(*run, "--resume") == 2
    assert "leave --resume out" in capsys.readouterr().err
    # Two at a time come to the same.
    aside = tmp_path / "aside"
    run[run.index(tmp_path)] = aside
    assert command(*run, "--workers", 2) == 0
    for file, before in zip(files, (first, second), strict=True):
        found = json.loads((aside / file.relative_to(tmp_path)).read_text())
        assert found["val_loss"] == before["val_loss"]
        assert found[EPISODE_ERRORS] == before[EPISODE_ERRORS]
    assert command("experiment", "run", "T4-1", *where, "--on", "ray") == 2
    assert "--seeds N" in capsys.readouterr().err
    assert command("experiment", "run", "T4-1", "case 3", *where) == 2
    assert "several rows run with --seeds N" in capsys.readouterr().err
