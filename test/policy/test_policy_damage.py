"""Damaged and unusual files, and odd requests: an answer or one sentence, never a crash."""

from __future__ import annotations

import contextlib
import json
import os
import random
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mobile_vla_ros.errors import InputError
from mobile_vla_ros.policy import (
    CheckpointError,
    Policy,
    PolicyError,
    load_policy,
    random_kosmos2,
    random_policy,
    read_run_file,
    write_random_checkpoint,
)
from mobile_vla_ros.policy.config import policy_config
from mobile_vla_ros.policy.heads import HeadShape
from mobile_vla_ros.policy.pickles import open_pickle

SMALL = {"hidden_size": 8, "num_layers": 1}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return write_random_checkpoint(tmp_path / "run", "tiny", **SMALL)


@pytest.fixture(scope="module")
def policy() -> Policy:
    return random_policy("tiny", device="cpu", dtype="float32", **SMALL)


def complaint(path: Path | str, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        load_policy(path, **{"device": "cpu", **options})
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


def replaced(path: Path, name: str, value: Any) -> Path:
    content = torch.load(path, weights_only=True)
    content["state_dict"][name] = value
    torch.save(content, path)
    return path


def test_any_change_of_the_pickles_bytes_is_survived(tmp_path: Path) -> None:
    whole = tmp_path / "whole.pt"
    torch.save({"state_dict": {"a": torch.ones(2)}, "n": np.float64(3.0), "t": (1, "b")}, whole)
    with zipfile.ZipFile(whole) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    main = next(name for name in parts if name.endswith("data.pkl"))
    rng = random.Random(0)
    for _ in range(40):
        changed = bytearray(parts[main])
        for _ in range(rng.choice([1, 3])):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        damaged = tmp_path / "damaged.pt"
        with zipfile.ZipFile(damaged, "w") as archive:
            for name, content in parts.items():
                archive.writestr(name, bytes(changed) if name == main else content)
        with contextlib.suppress(CheckpointError):
            open_pickle(damaged)


def test_any_change_of_the_archives_directory_is_survived(checkpoint: Path) -> None:
    content = checkpoint.read_bytes()
    rng = random.Random(0)
    for _ in range(30):
        changed = bytearray(content)
        for _ in range(20):
            changed[rng.randrange(len(changed) - 3000, len(changed))] = rng.randrange(256)
        checkpoint.write_bytes(changed)
        with contextlib.suppress(CheckpointError):
            open_pickle(checkpoint)


def test_a_pipe_is_no_checkpoint(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.ckpt")
    assert "is not a file" in complaint(tmp_path / "pipe.ckpt")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("to_sparse", "plain tensor"), ("meta", "plain tensor"), ("cfloat", "complex")],
)
def test_weights_that_hold_no_plain_values(checkpoint: Path, kind: str, expected: str) -> None:
    value = torch.ones(64)
    value = value.to("meta") if kind == "meta" else getattr(value, kind)()
    assert expected in complaint(replaced(checkpoint, "model.action_token", value))


def test_a_head_whose_last_layer_is_no_matrix(checkpoint: Path) -> None:
    name = "model.act_head.velocities.mlp.6.weight"
    assert "not a matrix" in complaint(replaced(checkpoint, name, torch.tensor(1.0)))


def test_a_checkpoint_that_lost_its_head(checkpoint: Path) -> None:
    content = torch.load(checkpoint, weights_only=True)
    state = content["state_dict"]
    content["state_dict"] = {name: state[name] for name in state if "backbone" in name}
    torch.save(content, checkpoint)
    assert "no weight of an action head" in complaint(checkpoint)


@pytest.mark.parametrize("shape", [(), (4, 3), (4, 64, 2)])
@pytest.mark.parametrize("part", ["A", "B"])
def test_adapters_of_another_shape(tmp_path: Path, part: str, shape: tuple[int, ...]) -> None:
    path = write_random_checkpoint(
        tmp_path, "tiny", adapted=lambda name: name.endswith("fc1"), lora_r=4, **SMALL
    )
    layer = "model.backbone.base_model.model.text_model.model.layers.0.ffn.fc1"
    name = f"{layer}.lora_{part}.default.weight"
    assert "the adapter of" in complaint(replaced(path, name, torch.ones(shape)))


def test_a_bias_of_an_adapter_is_merged(tmp_path: Path) -> None:
    path = write_random_checkpoint(
        tmp_path, "tiny", adapted=lambda name: True, lora_r=4, lora_alpha=2, **SMALL
    )
    plain = load_policy(path, device="cpu").model
    layer = "text_model.model.layers.0.ffn.fc1"
    name = f"model.backbone.base_model.model.{layer}.lora_B.default.bias"
    merged = load_policy(replaced(path, name, torch.full((128,), 3.0)), device="cpu").model
    before, after = (m.get_parameter(f"backbone.{layer}.bias") for m in (plain, merged))
    torch.testing.assert_close(after, before + 3.0 * 2 / 4)


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("text_config", "embed_dim", "64"),
        ("text_config", "attention_heads", 3),
        ("text_config", "attention_heads", 0),
        ("text_config", "ffn_dim", -4),
        ("text_config", "activation_function", "none_such"),
        ("text_config", "max_position_embeddings", 10),
        ("text_config", "bos_token_id", None),
        ("vision_config", "patch_size", 0),
        ("vision_config", "image_size", None),
    ],
)
def test_an_impossible_backbone_configuration(
    tmp_path: Path, section: str, key: str, value: Any
) -> None:
    directory = random_kosmos2(tmp_path / "kosmos", "tiny")
    values = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    values[section][key] = value
    (directory / "config.json").write_text(json.dumps(values), encoding="utf-8")
    assert "not a usable Kosmos-2 configuration" in complaint(directory)


@pytest.mark.parametrize(
    "index", [b"[]", b'{"weight_map": {"a": {}}}', b'{"weight_map": {"a": 5}}', b"\xff\xfe"]
)
def test_an_index_of_weights_that_is_none(tmp_path: Path, index: bytes) -> None:
    directory = random_kosmos2(tmp_path / "kosmos", "tiny")
    (directory / "model.safetensors.index.json").write_bytes(index)
    assert "model.safetensors.index.json" in complaint(directory)


def test_a_run_file_may_start_with_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.write_bytes(b'\xef\xbb\xbf{"window_size": 8}')
    assert read_run_file(file) == {"window_size": 8}


@pytest.mark.parametrize("text", ["[" * 100_000, '{"window_size": ' + "9" * 5000 + "}"])
def test_a_run_file_beyond_what_can_be_read(tmp_path: Path, text: str) -> None:
    file = tmp_path / "run.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"run\.json"):
        read_run_file(file)


def test_a_null_in_a_run_file_leaves_the_default() -> None:
    head = HeadShape("MobileVLALSTMDecoder", 8, 1, 64, outputs=20)
    run = {
        "window_size": 8,
        "image_size": None,
        "image_mean": None,
        "norm_action": None,
        "norm_max": 2,
        "act_head": {"latent": None, "action_dim": None},
    }
    config = policy_config(run, head=head, width=64, name="the run file")
    assert (config.image_size, config.latent, config.dof) == (224, 1, 2)
    assert config.norm_max == (2.0, 2.0)


def test_named_axes_say_how_many_values_a_step_has() -> None:
    head = HeadShape("MobileVLALSTMDecoder", 8, 1, 64, outputs=30)
    run = {"window_size": 8, "action_axes": ["linear.x", "linear.y", "angular.z"]}
    config = policy_config(run, head=head, width=64, name="the run file")
    assert (config.chunk_size, config.dof) == (10, 3)


@pytest.mark.parametrize("dim", [40, 3])
def test_a_step_that_does_not_divide_the_outputs(dim: int) -> None:
    head = HeadShape("MobileVLALSTMDecoder", 8, 1, 64, outputs=20)
    run = {"window_size": 8, "act_head": {"action_dim": dim}}
    with pytest.raises(CheckpointError, match="20 outputs"):
        policy_config(run, head=head, width=64, name="the run file")


def test_a_number_too_large_for_a_float() -> None:
    head = HeadShape("MobileVLALSTMDecoder", 8, 1, 64, outputs=20)
    run = {"window_size": 8, "norm_max": 10**400}
    with pytest.raises(CheckpointError, match="norm_max must be a number"):
        policy_config(run, head=head, width=64, name="the run file")


@pytest.mark.parametrize("model_path", ["a" * 5000, "a\0b", "~none_such/x", "\udcff"])
def test_a_path_of_the_training_machine_may_be_impossible_here(
    tmp_path: Path, model_path: str
) -> None:
    path = write_random_checkpoint(tmp_path, "tiny", model_path=model_path, **SMALL)
    load_policy(path, device="cpu")


def test_a_folder_may_be_called_like_a_home(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = checkpoint.parent.rename(checkpoint.parent.parent / "~none_such")
    monkeypatch.chdir(folder.parent)
    load_policy(f"~none_such/{checkpoint.name}", device="cpu")


def test_a_link_leads_to_the_files_beside_the_checkpoint(tmp_path: Path) -> None:
    path = write_random_checkpoint(tmp_path / "run", "tiny", hyper_parameters=False, **SMALL)
    link = tmp_path / "best.ckpt"
    link.symlink_to(path)
    load_policy(link, device="cpu")


@pytest.mark.parametrize("shape", [(0, 5, 5, 3), (0, 720, 1280, 3)])
def test_a_batch_of_no_images(policy: Policy, shape: tuple[int, ...]) -> None:
    with pytest.raises(PolicyError, match="no images"):
        policy.preprocess(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("instruction", [None, 5, b"go"])
def test_an_instruction_that_is_no_text(policy: Policy, instruction: Any) -> None:
    with pytest.raises(PolicyError, match="is text, not"):
        policy.token_ids(instruction)


def test_an_instruction_with_half_a_character(policy: Policy) -> None:
    with pytest.raises(PolicyError, match="character 4"):
        policy.token_ids("go \ud800")


def test_arrays_do_as_well_as_tensors(policy: Policy) -> None:
    pixels = policy.preprocess(np.zeros((1, 5, 5, 3), np.uint8))
    features = policy.encode_frames(pixels.numpy(), "go")[None]
    assert torch.equal(features, policy.encode_frames(pixels, "go")[None])
    assert torch.equal(policy.decode(features.numpy()), policy.decode(features))


def test_pixels_that_were_not_preprocessed(policy: Policy) -> None:
    with pytest.raises(PolicyError, match="preprocessed"):
        policy.encode_images(torch.zeros(1, 3, 224, 224, dtype=torch.uint8))
