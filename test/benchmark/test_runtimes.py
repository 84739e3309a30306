"""The table of runtimes: both sides of each ratio, in turns, with the floor beside them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mobile_vla_ros.benchmark.floor import count_work
from mobile_vla_ros.benchmark.runtimes import INSTRUCTION, work_of
from mobile_vla_ros.cli.main import main
from mobile_vla_ros.policy import random_policy


def run(*command: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in command])
    return int(ended.value.code or 0)


def test_operations_from_sizes_are_those_that_torch_counts() -> None:
    policy = random_policy("medium", device="cpu", dtype="float32")
    counted = count_work(policy, INSTRUCTION)[1]
    assert work_of(policy) == pytest.approx(counted, rel=0.05)


def test_the_command_prints_and_writes_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "table.json"
    command = ["benchmark", "--random", "tiny", "--runtime", "torch,onnx", "--runs", "2"]
    assert run(*command, "--dtype", "float32,int8", "--json", out) == 0
    result = json.loads(out.read_text())
    rows = [(row["runtime"], row["dtype"]) for row in result["rows"]]
    both = ("float32", "int8")
    assert rows == [(name, dtype) for dtype in both for name in ("torch", "onnx")]
    for row in result["rows"]:
        assert row["seconds"] > 0
        assert row["base_seconds"] > 0
        assert row["floor"]["seconds"] > 0
    assert result["rows"][1]["difference"] < 1e-4
    assert result["machine"]["onnxruntime"]
    assert "torch" in capsys.readouterr().out


def test_unknown_words_are_refused(capsys: pytest.CaptureFixture) -> None:
    assert run("benchmark", "--random", "tiny", "--runtime", "tvm") == 2
    assert "torch, onnx" in capsys.readouterr().err
    assert run("benchmark", "--random", "tiny", "--runtime", "onnx", "--dtype", "int4") == 2
    assert "--dtype" in capsys.readouterr().err
