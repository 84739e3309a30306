"""docs/extending.md is followed to the letter: its files are written, its lines are added."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from mobile_vla_ros.control import Pilot, PilotSettings
from mobile_vla_ros.episodes import EpisodeWriter, check_episode

REPOSITORY = Path(__file__).parents[1]
PAGE = (REPOSITORY / "docs" / "extending.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"`mobile_vla_ros/([\w/]+\.py)`:\n\n```python\n(.*?)```", PAGE, re.DOTALL))
LINES = {
    table: (place, line)
    for table, place, line in re.findall(
        r"in `(\w+)` of `([\w/.]+)` the line\n\n```text\n(.*?)\n```", PAGE, re.DOTALL
    )
}


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Writes a file of the page where the package looks for it, and imports it."""

    def add(name: str) -> ModuleType:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(FILES[name], encoding="utf-8")
        module = f"mobile_vla_ros.{name.removesuffix('.py').replace('/', '.')}"
        parent = importlib.import_module(module.rpartition(".")[0])
        monkeypatch.setattr(parent, "__path__", [*parent.__path__, str(path.parent)])
        monkeypatch.delitem(sys.modules, module, raising=False)
        found = importlib.import_module(module)
        monkeypatch.setitem(sys.modules, module, found)
        return found

    return add


def entry(table: str, **names: Any) -> Any:
    """The line that the page adds to a table, as a value."""
    opening, closing = "{}" if ":" in LINES[table][1] else "[]"
    return eval(f"{opening}{LINES[table][1]}{closing}", names)


def test_every_line_of_the_page_goes_into_a_table_that_is_there() -> None:
    assert set(LINES) == {"KINDS", "ENCODINGS", "CHECKS", "COMMANDS", "nodes"}
    for table, (place, _) in LINES.items():
        assert re.search(rf"^{table}\b.*[=:]", (REPOSITORY / place).read_text(), re.MULTILINE)


def write_episode(path: Path, rows: int = 1, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    with EpisodeWriter(path, scenario="1box_left", instruction="go left", flush=False) as writer:
        for row in range(rows):
            writer.append(
                image=rng.integers(0, 255, (8, 8, 3), np.uint8),
                action=[0.1, 0.0, 0.2],
                image_stamp=1 + 0.4 * row,
                received_stamp=1 + 0.4 * row,
                action_stamp=1 + 0.4 * row,
            )
        writer.finish()


def test_a_head_of_ones_own_is_trained_loaded_and_drives(
    added, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, golden: Path
) -> None:
    from mobile_vla_ros.policy import heads, load_policy
    from mobile_vla_ros.policy.run_file import read_run_file
    from mobile_vla_ros.training.run import check_run, merge
    from mobile_vla_ros.training.train import train

    (kind,) = entry("KINDS", two_parts=added("policy/heads/two_parts.py"))
    monkeypatch.setitem(heads.KINDS, kind.name, kind)
    (tmp_path / "episodes").mkdir()
    for number in range(2):
        write_episode(tmp_path / "episodes" / f"{number}.h5", rows=9, seed=number)
    backbone = golden / "mobile_vla_frozen"
    changes = {
        "model_path": str(backbone / "pretrained"),
        "act_head": {"type": kind.name, "hidden_size": 16},
        "trainer": {"max_steps": 1, "precision": "32-true", "accelerator": "cpu"},
        "train_dataset": {"train_split": 0.5},
    }
    run = check_run(merge(read_run_file(backbone / "config.json"), changes))
    trained = train(run, tmp_path / "episodes", tmp_path / "out").last_checkpoint
    assert trained is not None
    policy = load_policy(trained, backbone=backbone / "pretrained", device="cpu")
    assert policy.config.head == "TwoPartDecoder"
    assert policy.config.drives
    keys = set(dict(policy.model.act_head.named_parameters()))
    assert {"linear.mlp.6.weight", "angular.mlp.6.weight"} < keys

    stream = policy.stream("go to the bottle")
    pilot = Pilot(PilotSettings(), policy.config.action_axes)
    pilot.model_loading(0.0)
    pilot.model_ready(0.0)
    pilot.activate(0.0)
    pilot.set_instruction("go to the bottle", 0.0)
    rng = np.random.default_rng(0)
    commands, wanted = [], []
    for step in range(1, 21):
        now = 0.1 * step
        assert pilot.frame(1e9 + now, step, now, 1e9 + now)
        image = rng.integers(0, 255, (48, 64, 3), np.uint8)
        chunk = stream.step(image, 1e9 + now, pilot.generation)
        assert pilot.result(chunk, now, 1e9 + now)
        commands.append(pilot.tick(now, 1e9 + now))
        wanted.append(chunk.velocities[0])
    assert pilot.state == "driving"
    driven = np.array([command.velocities for command in commands])
    assert driven.shape == (20, 2)
    assert np.isfinite(driven).all()
    assert np.abs(driven).max() > 0
    assert (np.sign(driven[-1]) == np.sign(wanted[-1])).all()


def test_an_encoding_of_ones_own_is_read(added) -> None:
    from mobile_vla_ros.pictures import Encoding

    encodings = entry("ENCODINGS", Encoding=Encoding, swapped=added("swapped.py").swapped)
    read = encodings["rbg8"].convert(np.array([[[1, 2, 3]]], np.uint8))
    assert read.tolist() == [[[1, 3, 2]]]


def test_a_check_of_ones_own_speaks(
    added, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mobile_vla_ros.episodes import checks

    (check,) = entry("CHECKS", length=added("episodes/check_length.py").length)
    monkeypatch.setattr(checks, "CHECKS", (*checks.CHECKS, check))
    write_episode(tmp_path / "a.h5")
    assert check_episode(tmp_path / "a.h5").problems[-1].startswith("1 frames are fewer")


def test_a_subcommand_of_ones_own_runs(
    added, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    from mobile_vla_ros.cli import main

    added("cli/sides.py")
    for name, value in entry("COMMANDS").items():
        monkeypatch.setitem(main.COMMANDS, name, value)
    assert "Count the episodes" in main.help_text()
    write_episode(tmp_path / "a.h5")
    with pytest.raises(SystemExit) as ended:
        main.main(["sides", str(tmp_path)])
    assert ended.value.code == 0
    assert capsys.readouterr().out == "left 1\n"


def test_a_node_of_ones_own_tells_what_it_is(tmp_path: Path) -> None:
    program = tmp_path / "mirror_node.py"
    program.write_text(FILES["nodes/mirror_node.py"], encoding="utf-8")
    told = subprocess.run(
        [sys.executable, str(program), "--help"], capture_output=True, text=True, check=True
    )
    assert "ros2 run mobile_vla_ros mirror_node" in told.stdout
    assert "gain" in told.stdout
    assert "mirrored" in told.stdout
    assert entry("nodes") == ["mirror_node"]
