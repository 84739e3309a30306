from __future__ import annotations

import json
from pathlib import Path

import pytest

from mobile_vla_ros.cli.main import main
from mobile_vla_ros.cli.output import check_target, write_json
from mobile_vla_ros.errors import InputError


def test_a_missing_folder_is_made_when_there_is_a_result(tmp_path: Path) -> None:
    target = tmp_path / "runs" / "a" / "verify.json"
    check_target(target)
    assert not target.parent.exists()
    write_json(target, {"rmse": float("nan"), "where": tmp_path})
    assert json.loads(target.read_text()) == {"rmse": None, "where": str(tmp_path)}
    assert [path.name for path in target.parent.iterdir()] == ["verify.json"]


@pytest.mark.parametrize("place", ["file/result.json", "folder"])
def test_what_cannot_be_written_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="cannot write"):
        check_target(tmp_path / place)


@pytest.mark.parametrize("option", ["--json", "--plot"])
@pytest.mark.parametrize("separate", [True, False])
def test_a_result_that_cannot_be_written_is_refused_before_the_work(
    tmp_path: Path, capsys, option: str, separate: bool
) -> None:
    (tmp_path / "file").touch()
    target = str(tmp_path / "file" / "result.png")
    words = [option, target] if separate else [f"{option}={target}"]
    with pytest.raises(SystemExit) as ended:
        main(["sim", "collect", "--out", str(tmp_path / "out"), *words])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(f"mobile_vla: cannot write {target}")
    assert not (tmp_path / "out").exists()


def test_a_picture_of_no_known_kind_is_refused_before_the_work(tmp_path: Path, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["sim", "collect", "--out", str(tmp_path / "out"), "--plot", "picture.xyz"])
    assert ended.value.code == 2
    assert "--plot picture.xyz: give a name that ends in .png or .pdf" in capsys.readouterr().err


@pytest.mark.ros
def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path, capsys) -> None:
    (tmp_path / "file").touch()
    place = tmp_path / "file" / "episodes"
    with pytest.raises(SystemExit) as ended:
        main(["benchmark", "recorder", "--directory", str(place), "--seconds", "1"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"mobile_vla: {place}: Not a directory\n"
