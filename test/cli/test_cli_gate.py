import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from mobile_vla_ros.cli.json_keys import missing
from mobile_vla_ros.cli.main import main
from mobile_vla_ros.episodes import EpisodeWriter

WORDS = "Navigate around obstacles and reach the front of the beverage bottle on the {side}"


def run(*arguments) -> int:
    with pytest.raises(SystemExit) as exit_:
        main(["gate", *map(str, arguments)])
    return int(exit_.value.code or 0)


@pytest.fixture(scope="module")
def checkpoint(golden) -> Path:
    return next((golden / "mobile_vla_frozen").glob("*.ckpt"))


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("held_out")
    for number in range(4):
        side = ("left", "right")[number % 2]
        with EpisodeWriter(
            folder / f"episode_20260101_00000{number}_1box_{side}.h5",
            scenario=f"1box_{side}",
            instruction=WORDS.format(side=side),
            flush=False,
        ) as writer:
            for row in range(6):
                stamp = 100 + 0.4 * row
                writer.append(
                    image=np.full((24, 32, 3), 20 * row, np.uint8),
                    action=[0.3, 0.0, 0.1 * row],
                    image_stamp=stamp,
                    received_stamp=stamp,
                    action_stamp=stamp,
                )
            writer.finish()
    return folder


def test_a_hold_says_each_reason_and_ends_with_1(checkpoint, data, tmp_path, capsys) -> None:
    out = tmp_path / "gate.json"
    options = ["--data", data, "--closed-loop", 0, "--device", "cpu", "--json", out]
    assert run(checkpoint, "--against", checkpoint, *options) == 1
    result = json.loads(out.read_text())
    assert not missing("gate", result)
    assert result["decision"] == "hold"
    # Random weights are no worse than themselves, and know nothing.
    checks = {check["name"]: check for check in result["checks"]}
    assert checks["against_current"]["ok"]
    assert not checks["better_than_constant"]["ok"]
    hashes = result["sha256"]
    assert hashes["candidate"] == hashes["current"]
    assert len(hashes["data"]) == 4
    printed = capsys.readouterr().out
    assert printed.count("\nHOLD: ") == len(result["reasons"])
    assert "not measured: closed loop in the field: left out" in printed


def test_one_that_does_not_load_is_held(checkpoint, data, tmp_path, capsys) -> None:
    spoiled = tmp_path / "run"
    shutil.copytree(checkpoint.parent, spoiled)
    file = spoiled / checkpoint.name
    content = torch.load(file, weights_only=False)
    del content["state_dict"][next(k for k in content["state_dict"] if "act_head" in k)]
    torch.save(content, file)
    assert run(file, "--against", checkpoint, "--data", data, "--closed-loop", 0) == 1
    assert "HOLD: loads: " in capsys.readouterr().out


def test_wrong_input_is_one_sentence_and_status_2(checkpoint, data, tmp_path, capsys) -> None:
    common = ["--against", checkpoint, "--closed-loop", 0, "--device", "cpu"]
    (tmp_path / "empty").mkdir()
    for arguments in (
        [tmp_path / "none.ckpt", "--data", data],
        [checkpoint, "--data", tmp_path / "empty"],
        [checkpoint, "--data", data, "--incident", tmp_path / "empty"],
        [checkpoint, "--data", data, "--threshold", 0],
        [checkpoint, "--data", data, "--latency-budget", -1],
    ):
        assert run(*arguments, *common) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 5
    assert "there is no checkpoint" in errors[0]
    assert "there are no episodes" in errors[1]
    assert "there is no incident capsule" in errors[2]
