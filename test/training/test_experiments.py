"""The lab's experiments: every row is there, a small one runs, bad input leaves nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mobile_vla_ros.cli.main import main
from mobile_vla_ros.training import small
from mobile_vla_ros.training.experiments import (
    Experiment,
    checkpoints_to_measure,
    experiments_folder,
    find_experiment,
    read_experiments,
    result_file,
    small_overrides,
)
from mobile_vla_ros.training.run import load_run
from mobile_vla_ros.training.run_schema import RunError
from mobile_vla_ros.training.scoreboard import table_rows
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
            assert row.of == ("best",) or {name.removesuffix(" last") for name in row.of} <= IDS


def test_an_unknown_id_lists_the_known_ones(rows: list[Experiment]) -> None:
    with pytest.raises(RunError, match="T4-4"):
        find_experiment(rows, "T9")
    assert find_experiment(rows, "CASE3").id == "case 3"


def test_the_small_version_of_a_robovlms_row_starts_from_a_7_dof_stand_in(
    rows: list[Experiment], episodes: Path, tmp_path: Path
) -> None:
    row = find_experiment(rows, "T1-2")
    run = load_run(row.path, small_overrides(row, tmp_path, episodes))
    said: list[str] = []
    starting_network(run, said.append)
    assert any("7-DoF arm head replaced by a fresh one" in sentence for sentence in said)


def test_an_interrupted_small_network_is_made_anew(
    rows: list[Experiment], episodes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(directory: Path, seed: int) -> Path:
        directory.mkdir()
        (directory / "config.json").write_text("{}")
        raise KeyboardInterrupt

    row = find_experiment(rows, "T4-1")
    with monkeypatch.context() as patch:
        patch.setattr(small, "write_small_kosmos2", half)
        with pytest.raises(KeyboardInterrupt):
            small_overrides(row, tmp_path, episodes)
    assert list(tmp_path.iterdir()) == []
    small_overrides(row, tmp_path, episodes)
    assert (tmp_path / "kosmos" / "tokenizer.json").exists()


def trained(runs: Path, row: Experiment, **result: Any) -> None:
    """A finished training on paper: two checkpoints that hold nothing, and the result."""
    folder = result_file(runs, row, small=False).parent
    folder.mkdir(parents=True)
    for name in ("best", "last"):
        (folder / f"{name}.ckpt").touch()
        result.setdefault(f"{name}_checkpoint", str(folder / f"{name}.ckpt"))
    (folder / "result.json").write_text(json.dumps(result))


def test_best_is_the_row_of_lowest_validation_loss(rows: list[Experiment], tmp_path: Path) -> None:
    for name, loss in (("T1-1", 0.03), ("case 3", 0.02), ("T4-1", None)):
        trained(tmp_path, find_experiment(rows, name), val_loss=loss, last_val_loss=0.04)
    found = checkpoints_to_measure(rows, find_experiment(rows, "T3-1"), tmp_path, small=False)
    assert list(found) == ["case 3"]
    assert Path(found["case 3"]["checkpoint"]).name == "best.ckpt"


def test_a_folder_of_runs_may_be_moved(rows: list[Experiment], tmp_path: Path) -> None:
    trained(tmp_path / "a", find_experiment(rows, "case 3"), val_loss=0.02, last_val_loss=0.04)
    (tmp_path / "a").rename(tmp_path / "b")
    row = find_experiment(rows, "T3-1")
    found = checkpoints_to_measure(rows, row, tmp_path / "b", small=False)
    assert Path(found["case 3"]["checkpoint"]).is_relative_to(tmp_path / "b")


def test_checkpoints_of_different_epochs_are_compared(
    rows: list[Experiment], tmp_path: Path
) -> None:
    row = find_experiment(rows, "T2-1")
    trained(tmp_path, find_experiment(rows, "T1-1"), val_loss=0.03, last_val_loss=0.04)
    trained(tmp_path, find_experiment(rows, "case 3"), val_loss=0.02, last_val_loss=0.02)
    found = checkpoints_to_measure(rows, row, tmp_path, small=False)
    names = {name: Path(result["checkpoint"]).name for name, result in found.items()}
    # The last epoch of case 3 was its best: one checkpoint, measured once.
    assert names == {
        "T1-1": "best.ckpt",
        "T1-1 last": "last.ckpt",
        "case 3": "best.ckpt",
        "case 3 last": "best.ckpt",
    }


def test_a_damaged_result_and_a_lost_checkpoint_are_named(
    rows: list[Experiment], tmp_path: Path
) -> None:
    row = find_experiment(rows, "case 3")
    trained(tmp_path, row, val_loss=0.02, last_val_loss=0.03)
    (tmp_path / "real" / "case_3" / "best.ckpt").unlink()
    with pytest.raises(RunError, match=r"best.ckpt, is gone; run case 3 again"):
        checkpoints_to_measure(rows, find_experiment(rows, "T3-1"), tmp_path, small=False)
    result_file(tmp_path, row, small=False).write_text('{"val_loss": 0.')
    with pytest.raises(RunError, match="damaged"):
        table_rows(rows, tmp_path, small=False)


@pytest.mark.parametrize(
    ("section", "complaint"),
    [
        ({"measure": ["speed"], "of": ["best"]}, "'speed'; choose among"),
        ({"measure": ["rmse"]}, "must say what and of whom"),
    ],
)
def test_a_row_that_says_nothing_usable_is_refused(
    tmp_path: Path, section: dict[str, Any], complaint: str
) -> None:
    row = {"id": "X", "title": "x", "kind": "measure", "data": "-", "targets": {}, **section}
    (tmp_path / "X.json").write_text(json.dumps({"experiment": row}))
    with pytest.raises(RunError, match=complaint):
        read_experiments(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nope"], "no experiment 'nope'; there are T1-1"),
        (["case 3"], "model_path"),
        (["T1-2", "--backbone", "{kosmos}"], "model_load_path /models/kosmos_ph_oxe-pretrain.pt"),
        (["case 3", "--backbone", "{kosmos}"], "/data/episodes is no folder of episodes"),
        (["case 3", "--backbone", "{kosmos}", "--data", "{empty}"], "matches '*.h5'"),
        (["case 3", "--robovlms", "x.pt"], "leave --robovlms out"),
        (["case 3", "--resume"], "nothing to resume"),
        (["case 3", "--device", "quantum"], "use cpu, gpu or auto"),
        (["case 3", "--small", "--data", "{empty}"], "is no folder of episodes"),
        (["case 3", "--small", "--backbone", "{kosmos}"], "--small makes its own network"),
        (["case 3", "--small", "--json", "/dev/null/result.json"], "cannot write"),
        (["T3-1"], "needs a trained row"),
        (["T3-1", "--resume"], "measures what other rows trained"),
        (["T4-1", "--small", "--runs", "{file}"], "is no folder to write in"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    golden: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    complaint: str,
) -> None:
    empty, file = tmp_path / "empty", tmp_path / "file"
    empty.mkdir()
    file.touch()
    kosmos = golden / "mobile_vla_frozen" / "pretrained"
    words = [word.format(empty=empty, file=file, kosmos=kosmos) for word in arguments]
    assert command("experiment", "run", "--runs", tmp_path / "runs", *words) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert len(error.strip().splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == [empty, file]


def test_a_missed_target_ends_with_status_1_at_real_size(
    rows: list[Experiment], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case_3 = find_experiment(rows, "case 3")
    configs, runs = tmp_path / "configs", tmp_path / "runs"
    configs.mkdir()
    (configs / "case_3.json").write_text(case_3.path.read_text())
    trained(runs, case_3, val_loss=0.02, last_val_loss=0.03, train_loss=0.01)
    for name, bound in (("A", 0.021), ("B", 0.019)):
        row = {
            "id": name,
            "title": "loss",
            "kind": "measure",
            "data": "-",
            "of": ["best"],
            "measure": ["val_loss"],
            "targets": {"val_loss": {"below": bound}},
        }
        (configs / f"{name}.json").write_text(json.dumps({"experiment": row}))
    where = ["--runs", runs, "--configs", configs]
    assert command("experiment", "run", "A", *where) == 0
    assert "below 0.021    met" in capsys.readouterr().out
    assert command("experiment", "run", "B", *where) == 1
    printed = capsys.readouterr().out
    assert "below 0.019    missed" in printed
    assert "case 3" in printed


def test_a_small_row_runs_and_appears_in_the_table(
    episodes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--runs", tmp_path, "--small"]
    assert command("experiment", "run", "T4-1", "--data", episodes, *where) == 0
    assert command("experiment", "run", "T2-3", *where) == 2
    assert "run one of them first" in capsys.readouterr().err
    assert command("experiment", "run", "T3-1", *where, "--json", tmp_path / "t3.json") == 0
    printed = capsys.readouterr().out
    for words in ("vision (ms)", "text (ms)", "head (ms)", "below 200"):
        assert words in printed
    # It was trained to its end: to resume it changes nothing.
    before = json.loads((tmp_path / "small" / "T4-1" / "result.json").read_text())
    assert command("experiment", "run", "T4-1", "--data", episodes, *where, "--resume") == 0
    assert json.loads((tmp_path / "small" / "T4-1" / "result.json").read_text()) == before
    assert command("experiment", "table", *where, "--json", tmp_path / "table.json") == 0
    found = {row["id"]: row for row in json.loads((tmp_path / "table.json").read_text())["rows"]}
    assert set(found) == IDS
    assert set(found["T4-1"]["measured"]) == {"val_loss", "last_val_loss", "train_loss"}
    stages = ("vision_ms", "text_ms", "head_ms", "latency_ms")
    for values in (found["T3-1"]["measured"], json.loads((tmp_path / "t3.json").read_text())):
        assert all(values[stage] > 0 for stage in stages)
    assert found["T3-2"]["measured"] == {}
    assert (
        command("experiment", "table", "--runs", tmp_path, "--json", tmp_path / "real.json") == 0
    )
    assert "--small shows the small versions" in capsys.readouterr().out
    real = json.loads((tmp_path / "real.json").read_text())["rows"]
    assert all(row["measured"] == {} for row in real)
    assert command("experiment", "list", "--json", tmp_path / "list.json") == 0
    assert {row["id"] for row in json.loads((tmp_path / "list.json").read_text())} == IDS
