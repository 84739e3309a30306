"""`runtime="auto"`: measured once, remembered, and never against what was asked for."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mobile_vla_ros.policy import load_policy, write_random_checkpoint
from mobile_vla_ros.policy.convert import convert
from mobile_vla_ros.policy.errors import PolicyError
from mobile_vla_ros.runtime import choice


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("choice")
    convert(write_random_checkpoint(folder / "source", "tiny"), folder / "out", onnx=True)
    return folder / "out"


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Every policy counts as a large one, and choices are remembered in a file of the test's."""
    monkeypatch.setattr(choice, "SMALL", 0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "mobile_vla_ros" / "runtime.json"


def measured(monkeypatch: pytest.MonkeyPatch, seconds: dict[str, float]) -> list[str]:
    loaded: list[str] = []
    monkeypatch.setattr(choice, "_step_seconds", lambda policy: seconds[policy.name])
    return loaded


def loader(loaded: list[str]) -> Any:
    def load(name: str) -> Any:
        loaded.append(name)
        return SimpleNamespace(name=name)

    return load


@pytest.mark.parametrize("faster", ["torch", "onnx"])
def test_the_faster_one_is_taken_and_remembered(
    directory: Path, large: Path, monkeypatch: pytest.MonkeyPatch, faster: str
) -> None:
    seconds = {"torch": 2.0, "onnx": 2.0, faster: 1.0}
    loaded = measured(monkeypatch, seconds)
    for _ in range(2):
        assert choice.choose_runtime(directory, "cpu", "auto", loader(loaded)) == faster
    assert loaded == ["torch", "onnx"]
    assert next(iter(json.loads(large.read_text()).values()))["seconds"] == seconds
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    choice.choose_runtime(directory, "cpu", "auto", loader(loaded))
    assert loaded == ["torch", "onnx"] * 2, "another number of threads is another measurement"


def test_one_that_fails_is_out_and_a_damaged_memory_is_written_anew(
    directory: Path, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large.parent.mkdir(parents=True)
    large.write_text("[")
    monkeypatch.setattr(choice, "_step_seconds", lambda policy: 1.0)

    def load(name: str) -> Any:
        if name == "torch":
            raise PolicyError("no room")
        return SimpleNamespace(name=name)

    assert choice.choose_runtime(directory, "cpu", "auto", load) == "onnx"
    assert json.loads(large.read_text())


def test_what_was_asked_for_comes_first(directory: Path, large: Path) -> None:
    def never(name: str) -> Any:
        raise AssertionError("measured")

    assert choice.choose_runtime(directory, "openvino", "auto", never) == "onnx"
    assert choice.choose_runtime(directory, "cuda", "auto", never) == "torch"
    assert choice.choose_runtime(directory, "cpu", "int8", never) == "torch"
    assert choice.choose_runtime("/nothing/there", "cpu", "auto", never) == "torch"


def test_a_small_policy_and_one_without_graphs_run_in_torch(directory: Path, golden: Path) -> None:
    assert load_policy(directory, device="cpu").runtime == "torch"
    source = next((golden / "mobile_vla_frozen").glob("*.ckpt"))
    assert load_policy(source, device="cpu").runtime == "torch"


def test_auto_loads_what_it_measured(
    directory: Path, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        choice, "_step_seconds", lambda policy: 1.0 if policy.runtime == "onnx" else 2.0
    )
    assert load_policy(directory, device="cpu").runtime == "onnx"
