"""A run file is checked once, and complains in a sentence that names file and key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mobile_vla_ros.errors import InputError
from mobile_vla_ros.training.run import RunConfig, load_run
from mobile_vla_ros.training.run_schema import RunError


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
        ({"seed": 2**40}, r"seed must be a whole number from 0 to 2\*\*32 - 1"),
        ({"trainer": {"early_stopping_patience": "soon"}}, "early_stopping_patience is 'soon'"),
        ({"trainer": {"strategy": 3}}, "strategy must be text"),
        ({"train_dataset": {"labels": "expret"}}, "must be one of 'recorded' or 'expert'"),
        ({"learning_rte": 1e-5}, "did you mean learning_rate?"),
        ({"train_setup": {"lora_rank": 8}}, "did you mean train_setup.lora_r?"),
        ({"trainer": {"max_epoch": 3}}, "did you mean trainer.max_epochs?"),
        ({"max_epochs": 3}, "did you mean trainer.max_epochs?"),
        ({"trainer": {"batch_size": 3}}, "did you mean batch_size?"),
        ({"lr": 1e-5}, "did you mean learning_rate?"),
        ({"train_dataset": {"data_dirs": "x"}}, "did you mean train_dataset.data_dir?"),
        ({"augmentation": {"color": 0.2}}, "did you mean augmentation.colour?"),
    ],
)
def test_a_wrong_value_is_one_sentence(
    make_run: Callable[..., RunConfig], overrides: dict[str, Any], words: str
) -> None:
    with pytest.raises(RunError, match=words.replace("?", r"\?")) as caught:
        make_run(**overrides)
    assert isinstance(caught.value, InputError)
    assert "\n" not in str(caught.value)


def test_a_run_file_of_robovlms_is_read_and_what_nothing_reads_is_named(
    make_run: Callable[..., RunConfig],
) -> None:
    sections = {
        "": "parent task_name model_url seq_len min_lr_scale optimizer warmup_epochs warmup_steps "
        "cap_loss_ratio arm_gripper_loss_ratio fwd_loss_ratio fwd_pred_hand model_load_source "
        "fwd_head act_encoder val_dataset vision_resampler log_root output_root cache_root resume "
        "gpus num_nodes raw_config_path regular_action use_mu_law mu_val discrete_action n_bin "
        "min_action max_action use_time_causal_attn model_config exp_name",
        "train_setup": "predict_action predict_forward predict_forward_hand predict_caption bits "
        "freeze_mm_mlp_adapter freeze_resampler tune_mm_mlp_adapter mm_use_im_start_end "
        "mm_use_im_patch_token mm_projector_lr train_full_decoder train_decoder_layers reinit",
        "trainer": "logger use_distributed_sampler val_check_interval min_epochs benchmark",
        "train_dataset": "type shift_first model_name rgb_pad gripper_pad few_shot window_size",
        "act_head": "with_history multi_step_action",
    }
    overrides: dict[str, Any] = {
        name: dict.fromkeys(keys.split(), 1) for name, keys in sections.items()
    }
    run = make_run(**overrides.pop(""), **overrides)
    assert {"optimizer", "warmup_epochs", "trainer.logger", "train_setup.bits"} <= set(run.unread)
    assert "parent" not in run.unread
    assert run.raw["trainer"]["logger"] == 1
