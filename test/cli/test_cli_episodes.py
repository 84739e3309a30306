import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mobile_vla_ros.cli.json_keys import missing
from mobile_vla_ros.cli.main import main
from mobile_vla_ros.episodes import EpisodeWriter, open_episode

FRAMES = np.random.default_rng(2).integers(40, 220, (20, 24, 32, 3), dtype=np.uint8)
PLAN = """
instruction: go
scenarios:
  1box_left: 3
  1box_right: {target: 2, instruction: 오른쪽}
"""


def episode(folder: Path, name: str, finish: bool = True, **options: Any) -> Path:
    given = {"scenario": "1box_left", "instruction": "왼쪽", "frame_period": 0.4, **options}
    path = folder / f"episode_20250101_12{name}_{given['scenario']}.h5"
    with EpisodeWriter(path, **given, flush=False) as writer:
        for row, image in enumerate(FRAMES):
            stamps = {f"{what}_stamp": row * 0.1 for what in ("image", "received", "action")}
            writer.append(image=image, action=[0.3, 0, 0.1], **stamps)
        return writer.finish(outcome="success") if finish else path


def run(arguments: list[str | Path], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv("COLUMNS", "160")
    with pytest.raises(SystemExit) as ended:
        main(["episodes", *map(str, arguments)])
    return int(ended.value.code or 0)


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    folder = tmp_path / "lab"
    folder.mkdir()
    episode(folder, "0000")
    episode(folder, "0001")
    episode(folder, "0002", scenario="1box_right")
    episode(folder, "0003", finish=False)
    (folder / "broken.h5").write_text("no HDF5")
    return folder


def test_list_shows_done_against_wanted(
    collection: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    plan = collection / "plan.yaml"
    plan.write_text(PLAN)
    out = collection.parent / "list.json"
    assert run(["list", collection, "--plan", plan, "--json", out, "--files"], monkeypatch) == 0
    result = json.loads(out.read_text())
    assert not missing("episodes list", result)
    assert result["scenarios"] == [
        {"name": "1box_left", "done": 2, "target": 3},
        {"name": "1box_right", "done": 1, "target": 2},
    ]
    assert len(result["files"]) == 3
    assert len(result["interrupted"]) == 1
    said = capsys.readouterr()
    assert "together" in said.out
    assert "1 interrupted" in said.out
    assert "broken.h5 is not an HDF5 file" in said.err


def test_list_filters(collection: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = collection.parent / "list.json"
    assert run(["list", collection, "--side", "right", "--json", out], monkeypatch) == 0
    result = json.loads(out.read_text())
    assert result["scenarios"] == [{"name": "1box_right", "done": 1, "target": 0}]
    assert run(["list", collection, "--outcome", "collision", "--json", out], monkeypatch) == 0
    assert json.loads(out.read_text())["files"] == []


def test_check_goes_on_after_a_bad_file_and_exits_1(
    collection: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    out = collection.parent / "check.json"
    assert run(["check", collection, "--json", out], monkeypatch) == 1
    files = json.loads(out.read_text())["files"]
    assert not missing("episodes check", json.loads(out.read_text()))
    assert [(Path(f["path"]).suffix, f["ok"], f["frames"]) for f in files] == [
        (".h5", False, 0),
        (".h5", True, 20),
        (".h5", True, 20),
        (".h5", True, 20),
        (".part", False, 20),
    ]
    assert {"path", "ok", "complete", "frames", "problems"} <= files[0].keys()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[-1] == "3 of 5 files are in order"


def test_check_of_good_files_exits_0(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(["check", episode(tmp_path, "0000")], monkeypatch) == 0


def test_repair_finishes_what_was_interrupted(
    collection: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    assert run(["repair", collection], monkeypatch) == 0
    assert "20 frames recovered" in capsys.readouterr().out
    assert not list(collection.glob("*.part"))
    assert run(["repair", collection], monkeypatch) == 0
    assert "nothing was interrupted" in capsys.readouterr().out
    (collection / "x.h5.part").write_text("damaged")
    assert run(["repair", collection], monkeypatch) == 1


def test_relabel_trim_and_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    path = episode(tmp_path, "0000")
    assert run(["relabel", path, "--instruction", "곧장 가"], monkeypatch) == 0
    assert open_episode(path).instruction == "곧장 가"
    assert run(["trim", path, "--first", "4", "--last", "6"], monkeypatch) == 0
    trimmed = tmp_path / "episode_20250101_120000_1box_left-2.h5"
    assert len(open_episode(trimmed)) == 10
    out = tmp_path / "show.json"
    sheet = tmp_path / "sheet.png"
    assert run(["show", path, "--plot", sheet, "--json", out], monkeypatch) == 0
    assert sheet.exists()
    facts = json.loads(out.read_text())
    assert (facts["frames"], facts["instruction"]) == (20, "곧장 가")
    assert "곧장 가" in capsys.readouterr().out


def test_merge_gathers_and_joins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for day in ("monday", "tuesday"):
        (tmp_path / day).mkdir()
        episode(tmp_path / day, "0000", attributes={"day": day})
    days = [tmp_path / "monday", tmp_path / "tuesday"]
    assert run(["merge", *days, "--out", tmp_path / "week"], monkeypatch) == 0
    assert len(list((tmp_path / "week").iterdir())) == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["list", "none"], "none does not exist"),
        (["check", "none"], "none does not exist"),
        (["repair", "lab/broken.h5"], "no interrupted recording"),
        (["relabel", "lab/broken.h5", "--outcome", "x"], "not an HDF5 file"),
        (["relabel", "empty", "--outcome", "x"], "no finished episode in"),
        (["trim", "lab/broken.h5"], "not an HDF5 file"),
        (["show", "lab/none.h5"], "does not exist"),
        (["merge", "lab/broken.h5", "--out", "week"], "broken.h5 is not an HDF5 file"),
        (["replay", "lab/broken.h5"], "not an HDF5 file"),
        (["import-bag", "lab/broken.h5", "lab", "--scenario", "x"], "not a bag"),
        (["export-lerobot", "lab/broken.h5", "--out", "set"], "broken.h5 is not an HDF5 file"),
    ],
)
def test_unusable_input_is_one_line_and_nothing_is_written(
    collection: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    arguments: list[str],
    sentence: str,
) -> None:
    monkeypatch.chdir(collection.parent)
    Path("empty").mkdir()
    before = sorted(collection.parent.rglob("*"))
    code = run(arguments, monkeypatch)
    said = capsys.readouterr()
    if arguments[0] == "repair":
        assert code == 1
        assert sentence in said.out
    else:
        assert code == 2
        assert sentence in said.err
        assert len(said.err.splitlines()) == 1
    assert sorted(collection.parent.rglob("*")) == before


def test_replay_starts_the_node_with_what_was_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr("subprocess.call", lambda words: called.append(words) or 0)
    path = episode(tmp_path, "0000")
    extra = ["--ros-args", "-r", "image:=camera/image_raw"]
    assert run(["replay", path, "--rate", "2", "--loop", *extra], monkeypatch) == 0
    (words,) = called
    assert words[1:4] == ["-m", "mobile_vla_ros.nodes.replay_node", "--ros-args"]
    given = f'-p episode:="{path}" -p rate:=2.0 -p loop:=true -r image:=camera/image_raw'
    assert words[4:] == given.split()


def test_every_command_teaches_by_an_example(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    names = "list check repair relabel trim show replay merge import-bag export-lerobot"
    for name in names.split():
        assert run([name, "--help"], monkeypatch) == 0
        assert f"mobile_vla episodes {name}" in " ".join(capsys.readouterr().out.split())
