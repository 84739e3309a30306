"""Every unusable checkpoint, run file or wish gives one clear sentence."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mobile_vla_ros.errors import InputError
from mobile_vla_ros.policy import (
    CheckpointError,
    PolicyError,
    load_policy,
    random_kosmos2,
    write_random_checkpoint,
)
from mobile_vla_ros.policy.pickles import refuse_old_torch
from mobile_vla_ros.policy.precision import check_room


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return write_random_checkpoint(tmp_path / "run", "tiny")


def complaint(path: Path, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        load_policy(path, **{"device": "cpu", **options})
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert len(sentence) < 700
    return sentence


def change(path: Path, edit: Callable[[dict[str, Any]], Any]) -> Path:
    content = torch.load(path, weights_only=True)
    edit(content)
    torch.save(content, path)
    return path


def test_a_missing_checkpoint(tmp_path: Path) -> None:
    assert "there is no checkpoint" in complaint(tmp_path / "a=b.ckpt")


def test_an_empty_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "empty.ckpt").touch()
    assert "is empty" in complaint(tmp_path / "empty.ckpt")


@pytest.mark.parametrize("share", [0.001, 0.3, 0.9, 0.9999])
def test_a_truncated_checkpoint(checkpoint: Path, share: float) -> None:
    content = checkpoint.read_bytes()
    checkpoint.write_bytes(content[: int(len(content) * share)])
    assert "cut off" in complaint(checkpoint)


def test_a_checkpoint_with_a_damaged_directory(checkpoint: Path) -> None:
    content = bytearray(checkpoint.read_bytes())
    content[-3000:-1000] = bytes(2000)
    checkpoint.write_bytes(content)
    assert str(checkpoint) in complaint(checkpoint)


def test_a_text_file_a_zip_and_a_git_lfs_pointer(tmp_path: Path) -> None:
    text = tmp_path / "notes.pt"
    text.write_text("these are not weights\n")
    assert "not a zip archive" in complaint(text)
    archive = tmp_path / "archive.pt"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.txt", "hello")
    assert "not a torch checkpoint" in complaint(archive)
    pointer = tmp_path / "pointer.ckpt"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    assert "git lfs pull" in complaint(pointer)


def test_a_foreign_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "resnet.pt"
    torch.save({"conv1.weight": torch.zeros(3)}, path)
    assert "neither state_dict nor model_state_dict, but conv1.weight" in complaint(path)
    torch.save({"state_dict": {"conv1.weight": torch.zeros(3)}}, path)
    assert "no weight of a Kosmos-2 backbone" in complaint(path)
    torch.save([torch.zeros(3)], path)
    assert "holds a list" in complaint(path)
    torch.save({"state_dict": {"model.backbone.a": "text"}}, path)
    assert "is a str, not a tensor" in complaint(path)


class Armed:
    """Pickles to a call that creates a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("place", ["hyper_parameters", "state_dict", "top", "old format", "raw"])
def test_a_checkpoint_that_carries_code_does_not_run_it(
    checkpoint: Path, tmp_path: Path, place: str
) -> None:
    trap = tmp_path / "it_ran"
    content = torch.load(checkpoint, weights_only=True)
    armed = Armed(trap)
    if place == "hyper_parameters":
        content["hyper_parameters"]["hook"] = armed
    elif place == "state_dict":
        content["state_dict"]["model.hook"] = armed
    elif place == "top":
        content = armed
    if place == "raw":
        checkpoint.write_bytes(pickle.dumps(armed))
    else:
        torch.save(content, checkpoint, _use_new_zipfile_serialization=place != "old format")
        if place == "old format":
            checkpoint.write_bytes(pickle.dumps(armed) + checkpoint.read_bytes())
    sentence = complaint(checkpoint)
    assert not trap.exists()
    if place in ("hyper_parameters", "state_dict", "top"):
        assert "posix.system" in sentence


class Unknown:
    """A class of somebody's training code."""


def test_an_unknown_class_is_named(checkpoint: Path) -> None:
    content = torch.load(checkpoint, weights_only=True)
    content["hyper_parameters"]["trainer"] = Unknown()
    torch.save(content, checkpoint)
    assert "test_policy_bad_input.Unknown" in complaint(checkpoint)


def test_a_hidden_import_of_an_allowed_module_is_refused(checkpoint: Path) -> None:
    content = torch.load(checkpoint, weights_only=True)
    content["hyper_parameters"]["run"] = shutil.rmtree
    torch.save(content, checkpoint)
    assert "shutil.rmtree" in complaint(checkpoint)


def test_missing_weights_are_named(checkpoint: Path) -> None:
    def drop(content: dict[str, Any]) -> None:
        for layer in range(2):
            del content["state_dict"][
                f"model.backbone.text_model.model.layers.{layer}.ffn.fc1.weight"
            ]
        del content["state_dict"]["model.action_token"]

    sentence = complaint(change(checkpoint, drop))
    assert "3 weights are missing" in sentence
    assert "action_token" in sentence
    assert "backbone.text_model.model.layers.0.ffn.fc1.weight" in sentence


def test_unknown_weights_are_named(checkpoint: Path) -> None:
    def add(content: dict[str, Any]) -> None:
        for index in range(9):
            content["state_dict"][f"model.fwd_head.layer{index}.weight"] = torch.zeros(2)
        content["state_dict"]["model.act_head.extra.bias"] = torch.zeros(2)

    sentence = complaint(change(checkpoint, add))
    assert "10 are unknown" in sentence
    assert "model.act_head.extra.bias" in sentence
    assert "and 6 more" in sentence


def test_weights_of_another_shape_are_named(checkpoint: Path) -> None:
    def widen(content: dict[str, Any]) -> None:
        content["state_dict"]["model.backbone.text_model.model.layer_norm.bias"] = torch.zeros(65)

    sentence = complaint(change(checkpoint, widen))
    assert "backbone.text_model.model.layer_norm.bias is [65], not [64]" in sentence


def test_a_backbone_of_another_size(checkpoint: Path, tmp_path: Path) -> None:
    other = random_kosmos2(tmp_path / "small", "small")
    sentence = complaint(checkpoint, backbone=other)
    assert "latent" in sentence or "belong together" in sentence


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    "name", ["model.backbone.text_model.model.layer_norm.weight", "model.act_head.rnn.bias_hh_l0"]
)
def test_weights_that_are_no_numbers_are_named(checkpoint: Path, value: float, name: str) -> None:
    def poison(content: dict[str, Any]) -> None:
        content["state_dict"][name][3] = value

    sentence = complaint(change(checkpoint, poison))
    assert f"{name.removeprefix('model.')} holds NaN or infinity" in sentence


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        ({"fwd_pred_next_n": 5}, "fwd_pred_next_n"),
        ({"fwd_pred_next_n": 7}, "fwd_pred_next_n 7"),
        ({"window_size": 16}, "window_size"),
        ({"window_size": 0}, "window_size must be a whole number above 0"),
        ({"act_head.hidden_size": 64}, "act_head.hidden_size 64, the weights have 48"),
        ({"act_head.num_layers": 2}, "act_head.num_layers 2, the weights have 4"),
        ({"act_head.action_dim": 3}, "act_head.action_dim 3"),
        ({"act_head.type": "LSTMDecoder"}, "act_head.type LSTMDecoder"),
        ({"act_head.latent": 2}, "act_head.latent 2"),
        ({"act_head.down_sample": "pooling"}, "down_sample 'pooling' is not supported"),
        ({"act_head.history_type": "pre"}, "history_type 'pre' is not supported"),
        ({"act_head.action_space": "discrete"}, "action_space 'discrete' is not supported"),
        ({"norm_min": 0.5}, "must have 0 between them"),
        ({"norm_min": [-1, -1, -1]}, "norm_min has 3 values but the head puts out 2"),
        ({"norm_max": "high"}, "norm_max must be a number"),
        ({"image_size": 448}, "image_size 448 but the vision model takes 224"),
        ({"image_std": [0, 1, 1]}, "image_std must be positive"),
        ({"image_mean": [0.5]}, "image_mean must have 3 values"),
        ({"frame_period": -0.4}, "frame_period must be above 0 s"),
        ({"action_axes": ["linear.x", "sideways"]}, "unknown action axis 'sideways'"),
        ({"action_axes": ["linear.x"]}, "names 1 axes but the head puts out 2"),
    ],
)
def test_a_run_file_that_disagrees_with_the_weights(
    checkpoint: Path, edit: dict[str, Any], sentence: str
) -> None:
    path = checkpoint.parent / "config.json"
    run = json.loads(path.read_text())
    for name, value in edit.items():
        section, _, key = name.rpartition(".")
        (run[section] if section else run)[key] = value
    path.write_text(json.dumps(run))
    assert sentence in complaint(checkpoint, config=path)


def test_adapters_without_their_scale_or_with_another_rank(tmp_path: Path) -> None:
    path = write_random_checkpoint(tmp_path, "tiny", lora_r=4, adapted=lambda name: "fc1" in name)
    run = json.loads((tmp_path / "config.json").read_text())
    run["train_setup"]["lora_r"] = 32
    assert "lora_r 32, the adapters have rank 4" in complaint(path, config=run)
    del run["train_setup"]["lora_alpha"], run["train_setup"]["lora_r"]
    assert "does not say train_setup.lora_alpha" in complaint(path, config=run)


def test_half_an_adapter_and_an_adapter_of_nothing(tmp_path: Path) -> None:
    path = write_random_checkpoint(tmp_path, "tiny", lora_r=4, adapted=lambda name: "fc1" in name)
    start = "model.backbone.base_model.model.text_model.model.layers.0.ffn"
    content = torch.load(path, weights_only=True)
    half = dict(content["state_dict"])
    del half[f"{start}.fc1.lora_B.default.weight"]
    torch.save({**content, "state_dict": half}, path)
    assert "an adapter without lora_B" in complaint(path)
    astray = dict(content["state_dict"])
    for part in "AB":
        name = f"lora_{part}.default.weight"
        astray[f"{start}.fc9.{name}"] = astray[f"{start}.fc1.{name}"]
    torch.save({**content, "state_dict": astray}, path)
    assert "fc9.lora_A.default.weight" in complaint(path)


def test_a_run_file_that_is_missing_or_is_no_json(checkpoint: Path, tmp_path: Path) -> None:
    assert "cannot read the run file" in complaint(checkpoint, config=tmp_path / "none.json")
    broken = tmp_path / "broken.json"
    broken.write_text('{"window_size": 8,, }')
    assert "is not valid JSON" in complaint(checkpoint, config=broken)
    broken.write_text("[1, 2]")
    assert "must hold a JSON object" in complaint(checkpoint, config=broken)
    broken.write_text('{"window_size": 8, "act_head": {"latent": 1, "latent": 2}}')
    assert "the key 'latent' stands twice" in complaint(checkpoint, config=broken)
    os.mkfifo(tmp_path / "pipe")
    assert "a pipe into which nobody writes" in complaint(checkpoint, config=tmp_path / "pipe")


def test_no_run_file_anywhere(tmp_path: Path) -> None:
    path = write_random_checkpoint(tmp_path, "tiny", kind="robovlms", run_file=False)
    assert "has no run file inside" in complaint(path)


def test_no_backbone_anywhere(checkpoint: Path, tmp_path: Path) -> None:
    shutil.move(checkpoint.parent / "pretrained", tmp_path / "away")
    sentence = complaint(checkpoint)
    assert "no Kosmos-2 directory found" in sentence
    assert "give it with backbone" in sentence
    assert "there is no backbone directory" in complaint(checkpoint, backbone=tmp_path / "none")
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "config.json").write_text('{"model_type": "bert"}')
    assert "'bert', not 'kosmos-2'" in complaint(checkpoint, backbone=tmp_path / "bert")
    (tmp_path / "bare").mkdir()
    assert "config.json is missing" in complaint(checkpoint, backbone=tmp_path / "bare")


def test_no_tokenizer_or_a_foreign_one(checkpoint: Path) -> None:
    file = checkpoint.parent / "pretrained" / "tokenizer.json"
    file.write_text("{}")
    assert "cannot be read" in complaint(checkpoint)
    from tokenizers import Tokenizer, models

    Tokenizer(models.BPE()).save(str(file))
    assert "does not know <grounding>" in complaint(checkpoint)
    file.unlink()
    assert "there is no tokenizer" in complaint(checkpoint)


def test_directories_that_are_no_checkpoint(checkpoint: Path, tmp_path: Path) -> None:
    assert f"give the checkpoint {checkpoint}" in complaint(checkpoint.parent)
    (tmp_path / "bare").mkdir()
    assert "it has no config.json" in complaint(tmp_path / "bare")
    directory = random_kosmos2(tmp_path / "kosmos")
    assert "give its directory" in complaint(directory / "model.safetensors")
    weights = directory / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert "not a whole safetensors file" in complaint(directory)
    weights.unlink()
    assert "has no weights" in complaint(directory)


def test_a_device_that_is_not_there(checkpoint: Path) -> None:
    if not torch.cuda.is_available():
        assert "no GPU that torch can use" in complaint(checkpoint, device="cuda")
    assert "unknown device 'gpu'" in complaint(checkpoint, device="gpu")
    assert "not supported" in complaint(checkpoint, device="meta")


def test_a_dtype_that_is_unknown(checkpoint: Path) -> None:
    assert "unknown dtype 'float8'" in complaint(checkpoint, dtype="float8")


def test_too_little_memory_is_noticed_before_loading() -> None:
    with pytest.raises(PolicyError, match=r"take 1000000\.0 GB .* try dtype bfloat16 or int8"):
        check_room(10**15, torch.device("cpu"))


@pytest.mark.parametrize("version", ["2.9.1", "1.13", "2.6.0+cu124"])
def test_a_torch_that_cannot_open_pickles_safely_is_refused(version: str) -> None:
    with pytest.raises(CheckpointError, match=r"install torch 2\.10 or newer"):
        refuse_old_torch(version)


@pytest.mark.parametrize("version", ["2.10.0", "2.13.0+cpu", "3.0"])
def test_a_newer_torch_is_trusted(version: str) -> None:
    refuse_old_torch(version)
