"""The commands from end to end: exit statuses, JSON keys, figures, and the report."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from conftest import CHECKPOINT
from episode_factory import write_episode
from matplotlib.image import imread

from mobile_vla_ros.cli.json_keys import missing
from mobile_vla_ros.cli.main import main


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    return int(exit_.value.code or 0)


@pytest.fixture(scope="module")
def checkpoints(golden: Path) -> dict[str, Path]:
    return {name: golden / f"mobile_vla_{name}" / CHECKPOINT for name in ("frozen", "lora")}


@pytest.fixture(scope="module")
def runs(checkpoints, recorded: Path, tmp_path_factory) -> Path:
    """Two runs measured by the commands that the README names."""
    folder = tmp_path_factory.mktemp("runs")
    common = ["--device", "cpu", "--dtype", "float32"]
    for name, checkpoint in checkpoints.items():
        place = folder / name
        place.mkdir()
        which = ["--checkpoint", checkpoint, "--data", recorded, *common]
        run("verify", *which, "--latency", "50,400", "--json", place / "verify.json",
            "--plot", place / "verify.png")  # fmt: skip
        run("context", "extract", *which, "--out", place / "context")
        if name == "lora":
            continue
        run("context", "probe", *which, "--json", place / "probe.json",
            "--plot", place / "probe.png")  # fmt: skip
        run("context", "ablate", *which, "--limit", 2, "--json", place / "ablate.json",
            "--plot", place / "ablate.png")  # fmt: skip
        run("context", "attention", *which, "--limit", 2, "--json", place / "attention.json",
            "--plot", place / "attention.png")  # fmt: skip
    both = [checkpoints["frozen"], checkpoints["lora"], "--data", recorded, *common]
    run("context", "compare", folder / "frozen" / "context", folder / "lora" / "context",
        "--json", folder / "frozen" / "compare.json", "--plot", folder / "c.png")  # fmt: skip
    run("latent", "compare", *both, "--json", folder / "lora" / "latent.json",
        "--plot", folder / "l.png")  # fmt: skip
    return folder


def read(path: Path) -> dict:
    return json.loads(path.read_text())


def test_verify_has_the_keys_that_programs_read(runs: Path) -> None:
    result = read(runs / "frozen" / "verify.json")
    assert not missing("verify", result)
    for key in (
        "episodes",
        "frames",
        "rmse_normalised_step0",
        "rmse",
        "mae",
        "r2",
        "per_step",
        "baselines",
        "by_scenario",
        "direction",
        "instruction_swap",
        "intervals",
    ):
        assert key in result
    assert set(result["baselines"]) == {"repeat_last", "mean"}
    assert {"labels", "matrix"} <= set(result["direction"])


def test_extract_and_compare_have_the_keys_that_programs_read(runs: Path) -> None:
    summary = read(runs / "frozen" / "context" / "context.json")
    keys = {"shape", "mean", "std", "min", "max", "norm", "checkpoint_sha256", "files"}
    assert keys <= set(summary)
    assert not missing("context extract", summary)
    assert not missing("context compare", read(runs / "frozen" / "compare.json"))
    assert not missing("latent compare", read(runs / "lora" / "latent.json"))
    for path in (runs / "frozen" / "compare.json", runs / "lora" / "latent.json"):
        result = read(path)
        for value in result["metrics"].values():
            assert set(value) == {"value", "low", "high"}
        assert {"neighbour", "shuffled"} <= set(result["references"])
        assert result["thresholds"]


def test_every_figure_is_drawn(runs: Path) -> None:
    paths = [runs / "frozen" / f"{kind}.png" for kind in ("verify", "probe", "ablate")]
    paths += [runs / "frozen" / "attention.png", runs / "lora" / "verify.png"]
    paths += [runs / f"c{part}.png" for part in ("", "-pca", "-tsne", "-distribution")]
    for path in [*paths, runs / "l.png"]:
        picture = imread(path)
        assert picture.shape[1] > 400, path
        assert picture[..., :3].std() > 0.05, path


def test_the_report_stands_alone_and_lists_what_is_missing(runs: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    summary = tmp_path / "report.json"
    assert run("report", runs / "frozen", runs / "lora", "--out", page, "--json", summary) == 0
    text = page.read_text()
    assert not re.search(r"""(src|href)=["'](?!data:)""", text)
    assert text.count("data:image/png;base64,") >= 18
    for part in ("Side by side", "Not measured", "Provenance", "not discriminating"):
        assert part in text
    result = read(summary)
    assert result["runs"] == ["frozen", "lora"]
    missing = {(row["run"], row["what"]) for row in result["not_measured"]}
    assert ("frozen", "latency") in missing
    assert ("lora", "success in the field") in missing
    assert not any(what.startswith("comparison of") for _, what in missing)
    figures = [Path(path) for path in result["figures"]]
    assert {path.suffix for path in figures} == {".png", ".pdf"}
    assert all(path.stat().st_size > 1000 for path in figures)


def test_reporting_twice_gives_the_same_page(runs: Path, tmp_path: Path) -> None:
    pages = [tmp_path / "a.html", tmp_path / "b.html"]
    for page in pages:
        run("report", runs / "lora", "--out", page)
    assert pages[0].read_text() == pages[1].read_text()


def test_an_empty_folder_and_a_broken_result_are_one_sentence(tmp_path, capsys) -> None:
    assert run("report", tmp_path, "--out", tmp_path / "x.html") == 2
    assert "holds no result" in capsys.readouterr().err
    (tmp_path / "verify.json").write_text("{")
    assert run("report", tmp_path, "--out", tmp_path / "x.html") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "is not a result" in error
    assert not (tmp_path / "x.html").exists()


def test_the_threshold_decides_the_exit_status(checkpoints, recorded, tmp_path) -> None:
    which = ["verify", "-c", checkpoints["frozen"], "-d", recorded, "--device", "cpu",
             "--limit", 1, "--no-swap"]  # fmt: skip
    assert run(*which, "--threshold", 5) == 0
    assert run(*which, "--threshold", 0.001, "--json", tmp_path / "v.json") == 1
    assert read(tmp_path / "v.json")["passed"] is False


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("verify",), "there are no episodes"),
        (("context", "extract", "--out", "OUT"), "there are no episodes"),
        (("context", "ablate"), "there are no episodes"),
    ],
)
def test_no_episodes_is_one_sentence_and_status_two(
    arguments, sentence, checkpoints, tmp_path, capsys
) -> None:
    (tmp_path / "empty").mkdir()
    out = [tmp_path / "out" if word == "OUT" else word for word in arguments]
    assert run(*out, "-c", checkpoints["frozen"], "-d", tmp_path / "empty") == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_training_files_are_refused_by_name(
    checkpoints, recorded, tmp_path, capsys, monkeypatch
) -> None:
    from mobile_vla_ros.episodes import open_episode
    from mobile_vla_ros.policy import loading

    path = sorted(recorded.glob("*.h5"))[0]
    with open_episode(path) as episode:
        known = {path.name: episode.sha256()}
    load = loading.load_policy

    def with_record(*arguments):
        policy = load(*arguments)
        policy.provenance.training_files = known
        return policy

    monkeypatch.setattr(loading, "load_policy", with_record)
    which = ["verify", "-c", checkpoints["frozen"], "-d", recorded, "--device", "cpu", "--no-swap"]
    assert run(*which) == 2
    assert f"was trained on {path}" in capsys.readouterr().err
    assert run(*which, "--skip-training-files") == 0


def test_seven_axes_and_plain_backbones_are_compared(golden, recorded, tmp_path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for number in range(2):
        write_episode(data, number, frames=18)
    plain = golden / "mobile_vla_frozen" / "pretrained"
    arm = golden / "robovlms_oxe_7dof" / "kosmos_ph_oxe-pretrain.pt"
    out = tmp_path / "compare.json"
    assert run("context", "compare", plain, arm, "-d", data, "--device", "cpu", "--json", out) == 0
    result = read(out)
    assert result["a"]["shape"] == [2, 8, 64, 64]
    assert "action" not in result


def test_a_wrong_latency_is_one_sentence(checkpoints, recorded, capsys) -> None:
    assert run("verify", "-c", checkpoints["frozen"], "-d", recorded, "--latency", "fast") == 2
    assert "--latency wants milliseconds" in capsys.readouterr().err
