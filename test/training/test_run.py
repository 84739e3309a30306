"""A run file is checked once, and complains in a sentence that names file and key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mobile_vla_ros.errors import InputError
from mobile_vla_ros.training.run import RunConfig, RunError, load_run


def test_a_run_file_with_comments_is_read(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(
        """{
        // where Kosmos-2 lies
        "model_path": "/models/kosmos", "window_size": 8,
        "learning_rate": 1e-5, "head_learning_rate": 1e-4,
        "norm_min": -1.15, "norm_max": [1.15, 1.0],
        "train_setup": {"precision": "bf16", "freeze_backbone": true, "lora_enable": true}
    }"""
    )
    run = load_run(path)
    assert run.mode == "lora"
    assert run.trainer.precision == "bf16-mixed"
    assert run.norm_min == (-1.15, -1.15)
    assert run.norm_max == (1.15, 1.0)
    assert (run.learning_rate, run.head_learning_rate) == (1e-5, 1e-4)
    assert run.setup.train_action_token


def test_the_reference_run_files_are_understood(golden: Path) -> None:
    for name, mode in (("mobile_vla_frozen", "frozen"), ("mobile_vla_lora", "lora")):
        run = load_run(golden / name / "config.json")
        assert run.mode == mode
        assert run.window_size == 8
        assert run.chunk_size == 10
        assert Path(run.model_path).is_dir()


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"norm_min": 0.1}, "0 must lie between"),
        ({"norm_min": 2.0}, "above norm_min"),
        ({"action_axes": ["linear.x", "gripper"]}, "action_axes"),
        ({"learning_rate": 0}, "learning_rate is 0"),
        ({"batch_size": 2.5}, "batch_size is 2.5"),
        ({"window_size": "eight"}, "window_size is 'eight'"),
        ({"act_head": {"action_dim": 7}}, "act_head.action_dim is 7"),
        ({"model_path": None}, "model_path"),
        ({"train_setup": {"lora_enable": "yes"}}, "train_setup.lora_enable"),
        ({"train_dataset": {"train_split": 3}}, "train_split is 3"),
        ({"feature_cache": True, "train_setup": {"lora_enable": True}}, "feature_cache"),
        ({"augmentation": {"mirror": 1.5}}, "augmentation.mirror"),
    ],
)
def test_a_wrong_value_is_one_sentence(
    make_run: Callable[..., RunConfig], overrides: dict[str, Any], words: str
) -> None:
    with pytest.raises(RunError, match=words) as caught:
        make_run(**overrides)
    assert isinstance(caught.value, InputError)
    assert "\n" not in str(caught.value)
