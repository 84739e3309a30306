"""A run file is read by one strict schema: kinds are checked, misspelt keys are not ignored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mobile_vla_ros.policy.errors import CheckpointError
from mobile_vla_ros.policy.run_file import read_run_file
from mobile_vla_ros.policy.run_schema import PolicyRun, read_section, unread_keys
from mobile_vla_ros.policy.spelling import meant_key

FILES = sorted((Path(__file__).parents[2] / "config").rglob("*.json"))


@pytest.mark.parametrize(
    ("run", "sentence"),
    [
        ({"window_size": "8"}, "window_size must be a whole number above 0"),
        ({"window_size": True}, "window_size must be a whole number above 0"),
        ({"norm_max": "1.15"}, "norm_max must be a number"),
        ({"norm_min": [-1.0, None]}, "norm_min must be a number, or a list of one per axis"),
        ({"frame_period": 0}, "frame_period must be above 0 s"),
        ({"action_axes": "linear.x"}, "action_axes must be a list"),
        ({"image_mean": [0.5, 0.5]}, "image_mean must have 3 values"),
        ({"use_hand_rgb": "no"}, "use_hand_rgb must be true or false"),
        ({"act_head": ["LSTM"]}, "act_head must be an object"),
        ({"act_head": {"latent": -1}}, "act_head.latent is -1"),
        ({"windowsize": 8}, "did you mean window_size?"),
        ({"frame_priod": 0.1}, "did you mean frame_period?"),
        ({"chunk_size": 5}, "did you mean fwd_pred_next_n?"),
        ({"act_head": {"hiden_size": 5}}, "did you mean act_head.hidden_size?"),
        ({"action_axis": ["linear.x"]}, "did you mean action_axes?"),
    ],
)
def test_what_is_wrong_is_said_with_its_key(run: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        read_section(PolicyRun, run, "run.json")
    assert sentence in str(caught.value)
    assert str(caught.value).startswith("run.json: ")
    assert "\n" not in str(caught.value)


def test_unknown_keys_are_kept_and_can_be_named() -> None:
    said = read_section(PolicyRun, {"cap_loss_ratio": 0.1, "act_head": {"up_sample": 1}}, "run")
    assert unread_keys(said) == ["cap_loss_ratio", "act_head.up_sample"]


def test_a_whole_number_may_be_written_with_a_point_and_a_null_says_nothing() -> None:
    said = read_section(PolicyRun, {"window_size": 8.0, "image_size": [224, 224]}, "run")
    assert (said.window_size, said.image_size) == (8, 224)
    said = read_section(PolicyRun, {"window_size": None, "act_head": None}, "run")
    assert said.window_size is None
    assert said.act_head.down_sample == "none"


@pytest.mark.parametrize("key", ["warmup_epochs", "val_dataset", "fwd_head", "seq_len", "vlm"])
def test_a_key_of_its_own_is_no_misspelling(key: str) -> None:
    assert meant_key(key, PolicyRun.keys()) is None


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_run_file_of_the_package_is_read(path: Path) -> None:
    read_section(PolicyRun, read_run_file(path), str(path))
