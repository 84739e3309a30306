"""``mobile_vla inspect`` and ``convert`` as a user meets them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mobile_vla_ros.cli.json_keys import missing
from mobile_vla_ros.cli.main import main


def run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    assert isinstance(caught.value.code, int)
    return caught.value.code


def checkpoint_in(folder: Path) -> Path:
    return next(path for path in folder.iterdir() if path.suffix in (".ckpt", ".pt"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "mobile_vla_frozen",
            {"kind": "lightning", "head": "MobileVLALSTMDecoder", "dof": 2, "lora": None},
        ),
        (
            "mobile_vla_lora",
            {"kind": "lightning", "head": "MobileVLALSTMDecoder", "dof": 2, "window_size": 8},
        ),
        (
            "robovlms_oxe_7dof",
            {"kind": "robovlms", "head": "LSTMDecoder", "dof": 7, "window_size": 16},
        ),
    ],
)
def test_inspect_writes_the_keys_programs_read(
    golden: Path, tmp_path: Path, name: str, expected: dict[str, Any]
) -> None:
    file = tmp_path / "result.json"
    assert run("inspect", checkpoint_in(golden / name), "--json", file) == 0
    result = json.loads(file.read_text())
    assert not missing("inspect", result)
    assert {key: result[key] for key in expected} == expected
    assert result["chunk_size"] == 10
    assert result["coverage"]["missing"] == result["coverage"]["unexpected"] == []
    assert result["coverage"]["loaded"] > 100
    assert result["parameters"] > 0 < result["bytes"]
    assert result["action_axes_confirmed"] is False
    if name == "mobile_vla_lora":
        assert result["lora"]["r"] == 32
        assert result["lora"]["alpha"] == 16
        assert "image_to_text_projection.dense" in result["lora"]["modules"]


def test_inspect_shows_what_does_not_fit_and_exits_2(
    golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    source = checkpoint_in(golden / "mobile_vla_frozen")
    content = torch.load(source, weights_only=True)
    del content["state_dict"]["model.action_token"]
    path = tmp_path / "less=1.ckpt"
    torch.save(content, path)
    file = tmp_path / "result.json"
    backbone = golden / "mobile_vla_frozen" / "pretrained"
    assert run("inspect", path, "--backbone", backbone, "--json", file) == 2
    assert json.loads(file.read_text())["coverage"]["missing"] == ["action_token"]
    complaint = capsys.readouterr().err.strip()
    assert "action_token" in complaint
    assert "\n" not in complaint


def test_convert_and_inspect_what_came_out(
    golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "result.json"
    source = checkpoint_in(golden / "mobile_vla_lora")
    assert run("convert", source, tmp_path / "out", "--json", file) == 0
    assert len(json.loads(file.read_text())["source_sha256"]) == 64
    assert run("inspect", tmp_path / "out") == 0
    assert "LoRA r 32, alpha 16, merged" in capsys.readouterr().out


def test_unusable_input_is_one_line_and_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty.ckpt").touch()
    for arguments in (
        ("inspect", tmp_path / "none.ckpt"),
        ("inspect", tmp_path / "empty.ckpt"),
        ("convert", tmp_path / "empty.ckpt", tmp_path / "out"),
    ):
        assert run(*arguments) == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_nothing_but_the_result_is_printed(golden: Path) -> None:
    source = checkpoint_in(golden / "mobile_vla_lora")
    command = [sys.executable, "-m", "mobile_vla_ros.cli.main", "inspect", str(source)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stderr == ""


def test_convert_leaves_nothing_behind_when_it_is_ended(golden: Path, tmp_path: Path) -> None:
    program = (
        "import os, signal, sys\n"
        "from mobile_vla_ros.policy import convert as room\n"
        "room.write_safetensors = lambda *_: os.kill(os.getpid(), signal.SIGTERM)\n"
        "from mobile_vla_ros.cli.main import main\n"
        "main(['convert', *sys.argv[1:]])\n"
    )
    source = checkpoint_in(golden / "mobile_vla_frozen")
    done = subprocess.run(
        [sys.executable, "-c", program, str(source), str(tmp_path / "out")], timeout=120
    )
    assert done.returncode == 128 + 15
    assert list(tmp_path.iterdir()) == []


def test_convert_refuses_an_unwritable_result_file_before_it_works(
    golden: Path, tmp_path: Path
) -> None:
    source = checkpoint_in(golden / "mobile_vla_frozen")
    assert run("convert", source, tmp_path / "out", "--json", "/dev/null/x.json") == 2
    assert list(tmp_path.iterdir()) == []
