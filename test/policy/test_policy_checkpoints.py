"""Every kind of checkpoint gives the same policy, however its names are wrapped."""

from __future__ import annotations

import argparse
import collections
import json
import pathlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mobile_vla_ros.policy import load_policy, random_kosmos2, write_random_checkpoint
from mobile_vla_ros.policy.plan import plan_loading

IMAGE = np.random.default_rng(1).integers(0, 256, (60, 80, 3), dtype=np.uint8)


def features_of(path: Path, **options: Any) -> torch.Tensor:
    policy = load_policy(path, device="cpu", dtype="float32", **options)
    return policy.encode_frames(policy.preprocess(IMAGE), "go left")


def rewrite(
    source: Path, target: Path, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> Path:
    content = torch.load(source, map_location="cpu", weights_only=True)
    torch.save(change(content), target)
    return target


@pytest.fixture
def folder(golden: Path, tmp_path: Path) -> Path:
    """A copy of the LoRA reference policy to change things in."""
    copy = tmp_path / "lora"
    shutil.copytree(golden / "mobile_vla_lora", copy)
    for path in [copy, *copy.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    return copy


def checkpoint_in(folder: Path) -> Path:
    return next(folder.glob("*.ckpt"))


def by_hand(state: dict[str, torch.Tensor], alpha: float) -> dict[str, torch.Tensor]:
    """The adapters merged by the formula: base + alpha / r * B A."""
    merged = {}
    for name, value in state.items():
        if ".lora_" in name:
            continue
        plain = name.replace("backbone.base_model.model.", "backbone.").replace(".base_layer", "")
        down = state.get(name.replace("base_layer.weight", "lora_A.default.weight"))
        if name.endswith("base_layer.weight") and down is not None:
            up = state[name.replace("base_layer.weight", "lora_B.default.weight")]
            value = value + alpha / len(down) * up @ down
        merged[plain] = value
    return merged


def test_a_merged_checkpoint_equals_its_unmerged_adapters(folder: Path) -> None:
    source = checkpoint_in(folder)
    unmerged = features_of(source)
    merged = rewrite(
        source,
        folder / "merged.ckpt",
        lambda content: {**content, "state_dict": by_hand(content["state_dict"], 16)},
    )
    torch.testing.assert_close(features_of(merged), unmerged, atol=2e-6, rtol=0)


@pytest.mark.parametrize(
    ("prefix", "container"),
    [
        ("", "state_dict"),
        ("model.", "model_state_dict"),
        ("module.", "state_dict"),
        ("module.model.", "model_state_dict"),
        ("model.module.", "state_dict"),
        ("_orig_mod.model.", "state_dict"),
    ],
)
@pytest.mark.parametrize("lora", [False, True])
def test_wrapped_names_mean_the_same(
    tmp_path: Path, prefix: str, container: str, lora: bool
) -> None:
    options: dict[str, Any] = {"lora_r": 4, "adapted": lambda name: True} if lora else {}
    plain = write_random_checkpoint(tmp_path / "a", "tiny", seed=7, **options)
    wrapped = write_random_checkpoint(
        tmp_path / "b",
        "tiny",
        seed=7,
        kind="robovlms",
        prefix=prefix,
        container=container,
        **options,
    )
    torch.testing.assert_close(features_of(wrapped), features_of(plain), atol=0, rtol=0)


@pytest.mark.parametrize(
    "adapted",
    [
        lambda name: name.endswith(("q_proj", "v_proj")),
        lambda name: name.startswith("text_model"),
        lambda name: "vision_model" in name and "fc" in name,
        lambda name: name == "image_to_text_projection.dense",
    ],
)
def test_which_modules_carry_adapters_is_read_off_the_keys(
    tmp_path: Path, adapted: Callable[[str], bool]
) -> None:
    path = write_random_checkpoint(
        tmp_path, "tiny", seed=2, lora_r=8, lora_alpha=4, adapted=adapted
    )
    policy = load_policy(path, device="cpu", dtype="float32")
    assert policy.adapters is not None
    names = {name.removeprefix("backbone.") for name in policy.adapters.ranks}
    assert names
    assert all(adapted(name) for name in names)
    assert (policy.adapters.rank, policy.adapters.alpha) == (8, 4)
    state = torch.load(path, weights_only=True)["state_dict"]
    expected = by_hand(state, 4)
    for name, weight in policy.model.state_dict().items():
        torch.testing.assert_close(weight, expected[f"model.{name}"], atol=1e-6, rtol=0)


def test_adapters_may_differ_in_rank_and_name(tmp_path: Path) -> None:
    path = write_random_checkpoint(
        tmp_path, "tiny", lora_r=8, adapted=lambda name: name.endswith("q_proj")
    )
    first = "text_model.model.layers.0.self_attn.q_proj"

    def halve(content: dict[str, Any]) -> dict[str, Any]:
        state = {}
        for name, value in content["state_dict"].items():
            if first in name and "lora_A" in name:
                value = value[:4]
            if first in name and "lora_B" in name:
                value = value[:, :4]
            state[name.replace(".default.", ".left_side.")] = value
        return {**content, "state_dict": state}

    policy = load_policy(rewrite(path, tmp_path / "two.ckpt", halve), device="cpu")
    assert policy.adapters is not None
    assert policy.adapters.ranks[f"backbone.{first}"] == 4
    assert policy.adapters.rank == 8


def test_an_adapter_of_zeros_equals_the_base(tmp_path: Path) -> None:
    base = write_random_checkpoint(tmp_path / "base", "tiny", seed=4)
    adapted = write_random_checkpoint(
        tmp_path / "lora", "tiny", seed=4, lora_r=4, adapted=lambda name: True
    )

    def without_effect(content: dict[str, Any]) -> dict[str, Any]:
        state = {
            name: torch.zeros_like(value) if "lora_B" in name else value
            for name, value in content["state_dict"].items()
        }
        return {**content, "state_dict": state}

    zero = rewrite(adapted, tmp_path / "lora" / "zero.ckpt", without_effect)
    torch.testing.assert_close(features_of(zero), features_of(base), atol=0, rtol=0)
    assert not torch.allclose(features_of(adapted), features_of(base))


def test_modules_saved_whole_by_peft_are_used(tmp_path: Path) -> None:
    path = write_random_checkpoint(tmp_path, "tiny", lora_r=4, adapted=lambda name: "fc1" in name)
    table = "model.backbone.base_model.model.text_model.model.embed_tokens"

    def save_whole(content: dict[str, Any]) -> dict[str, Any]:
        state = dict(content["state_dict"])
        value = state.pop(f"{table}.weight")
        state[f"{table}.original_module.weight"] = torch.zeros_like(value)
        state[f"{table}.modules_to_save.default.weight"] = value
        return {**content, "state_dict": state}

    whole = rewrite(path, tmp_path / "whole.ckpt", save_whole)
    torch.testing.assert_close(features_of(whole), features_of(path), atol=0, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_may_be_stored_in_any_float_format(tmp_path: Path, dtype: torch.dtype) -> None:
    path = write_random_checkpoint(tmp_path, "tiny", dtype=dtype)
    policy = load_policy(path, device="cpu", dtype="float32")
    assert {weight.dtype for weight in policy.model.parameters()} == {torch.float32}
    stream = policy.stream("go")
    assert np.isfinite(stream.step(IMAGE, 0.0).velocities).all()


@pytest.mark.parametrize(
    "changes",
    [
        {"window_size": 3, "chunk_size": 5, "hidden_size": 24, "num_layers": 2},
        {"head": "LSTMDecoder", "window_size": 16, "num_layers": 1, "chunk_size": 4},
        {"dof": 3, "action_axes": ["linear.x", "linear.y", "angular.z"]},
        {"latent": 2},
    ],
)
def test_sizes_are_those_of_the_weights(tmp_path: Path, changes: dict[str, Any]) -> None:
    policy = load_policy(write_random_checkpoint(tmp_path, "tiny", **changes), device="cpu")
    for name, value in changes.items():
        found = getattr(policy.config, name)
        assert found == (tuple(value) if isinstance(value, list) else value)
    features = policy.encode_frames(policy.preprocess(IMAGE), "go")[None]
    actions = policy.decode(features)
    assert actions.shape == (1, 1, policy.config.chunk_size, policy.config.dof)


def test_layers_and_chunk_are_read_off_the_weights_when_the_run_file_is_silent(
    tmp_path: Path,
) -> None:
    path = write_random_checkpoint(tmp_path, "tiny", num_layers=3, chunk_size=6)
    run = json.loads((tmp_path / "config.json").read_text())
    del run["act_head"]["num_layers"], run["fwd_pred_next_n"], run["act_head"]["fwd_pred_next_n"]
    config = load_policy(path, config=run, device="cpu").config
    assert (config.num_layers, config.chunk_size) == (3, 6)


@pytest.mark.parametrize("placeholder", [1, 5])
def test_a_placeholder_inside_act_head_is_not_taken_for_the_window(
    tmp_path: Path, placeholder: int
) -> None:
    path = write_random_checkpoint(tmp_path, "tiny")
    run = json.loads((tmp_path / "config.json").read_text())
    run["act_head"] |= {"window_size": placeholder, "fwd_pred_next_n": placeholder}
    config = load_policy(path, config=run, device="cpu").config
    assert (config.window_size, config.chunk_size) == (8, 10)


def test_harmless_classes_in_hyper_parameters_are_read(folder: Path) -> None:
    source = checkpoint_in(folder)

    def dress_up(content: dict[str, Any]) -> dict[str, Any]:
        configs = dict(content["hyper_parameters"]["configs"])
        configs["raw"] = pathlib.PurePosixPath("/data/left")
        configs["seen"] = collections.defaultdict(int, {"a": 1})
        configs["rate"] = np.float64(1e-4)
        configs["weights"] = np.arange(3)
        configs["ordered"] = collections.OrderedDict(b=2)
        namespace = argparse.Namespace(configs=configs, seed=3)
        return {**content, "hyper_parameters": namespace}

    dressed = rewrite(source, folder / "dressed.ckpt", dress_up)
    torch.testing.assert_close(features_of(dressed), features_of(source), atol=0, rtol=0)
    run = load_policy(dressed, device="cpu").config.run
    assert run["raw"] == "/data/left"
    assert run["rate"] == 1e-4
    assert run["weights"] == [0, 1, 2]


def test_lightnings_own_dictionary_is_read_without_lightning(folder: Path) -> None:
    from lightning.fabric.utilities.data import AttributeDict

    source = checkpoint_in(folder)
    attributes = rewrite(
        source,
        folder / "attributes.ckpt",
        lambda content: {
            **content,
            "hyper_parameters": AttributeDict(content["hyper_parameters"]),
        },
    )
    assert load_policy(attributes, device="cpu").config.window_size == 8


def test_a_run_file_stands_in_for_missing_hyper_parameters(tmp_path: Path) -> None:
    path = write_random_checkpoint(tmp_path, "tiny", hyper_parameters=False, window_size=5)
    assert load_policy(path, device="cpu").config.window_size == 5


def test_the_run_file_inside_comes_before_the_one_beside(tmp_path: Path) -> None:
    path = write_random_checkpoint(tmp_path, "tiny", norm_min=-0.5, norm_max=0.5)
    run = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**run, "norm_max": 2.0}))
    assert load_policy(path, device="cpu").config.norm_max == (0.5, 0.5)
    other = load_policy(path, config=tmp_path / "config.json", device="cpu")
    assert other.config.norm_max == (2.0, 2.0)


def test_the_backbone_is_found_from_the_run_files_own_folder(tmp_path: Path) -> None:
    path = write_random_checkpoint(tmp_path / "run", "tiny")
    expected = features_of(path)
    (tmp_path / "configs").mkdir()
    (tmp_path / "run" / "pretrained").rename(tmp_path / "vlms")
    run = json.loads((tmp_path / "run" / "config.json").read_text())
    run["model_path"] = "../vlms"
    config = tmp_path / "configs" / "left.json"
    config.write_text("// the left run\n" + json.dumps(run))
    torch.testing.assert_close(features_of(path, config=config), expected, atol=0, rtol=0)
    given = features_of(path, backbone=tmp_path / "vlms")
    torch.testing.assert_close(given, expected, atol=0, rtol=0)


def test_a_path_of_the_training_machine_falls_back_to_the_folder_beside(tmp_path: Path) -> None:
    path = write_random_checkpoint(
        tmp_path, "tiny", model_path="/home/lab/.vlms/kosmos-2-patch14-224"
    )
    expected = features_of(path)
    (tmp_path / "pretrained").rename(tmp_path / "kosmos-2-patch14-224")
    torch.testing.assert_close(features_of(path), expected, atol=0, rtol=0)


@pytest.mark.parametrize("layout", ["safetensors", "bin", "sharded", "with head"])
def test_a_kosmos_directory_is_read_in_every_layout(tmp_path: Path, layout: str) -> None:
    directory = random_kosmos2(tmp_path / "kosmos", "tiny", seed=9)
    pixels = torch.zeros(1, 3, 224, 224)
    expected = load_policy(directory, device="cpu").encode_images(pixels)
    state = load_file(directory / "model.safetensors")
    (directory / "model.safetensors").unlink()
    if layout == "bin":
        torch.save(state, directory / "pytorch_model.bin")
    elif layout == "sharded":
        names = sorted(state)
        parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
        for file, held in parts.items():
            save_file({name: state[name] for name in held}, directory / file)
        index = {name: file for file, held in parts.items() for name in held}
        (directory / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    else:
        if layout == "with head":
            state["text_model.lm_head.weight"] = state["text_model.model.embed_tokens.weight"]
            state["vision_model.model.embeddings.position_ids"] = torch.arange(257)[None]
            state = {name: value.clone() for name, value in state.items()}
        save_file(state, directory / "model.safetensors")
    policy = load_policy(directory, device="cpu")
    torch.testing.assert_close(policy.encode_images(pixels), expected, atol=0, rtol=0)


def test_the_plan_names_kind_training_and_notes(golden: Path, tmp_path: Path) -> None:
    from mobile_vla_ros.policy.inspection import describe

    facts = describe(plan_loading(checkpoint_in(golden / "mobile_vla_lora")))
    assert (facts["kind"], facts["trained"], facts["dof"]) == ("lightning", "lora", 2)
    assert (facts["lora"]["r"], facts["lora"]["alpha"]) == (32, 16)
    assert len(facts["lora"]["modules"]) == 29
    assert facts["coverage"] == {"loaded": 118, "missing": [], "unexpected": [], "unused": 1}
    assert not facts["action_axes_confirmed"]
    path = write_random_checkpoint(tmp_path, "tiny", use_hand_rgb=True, head="LSTMDecoder")
    notes = " ".join(describe(plan_loading(path))["notes"])
    assert "gripper camera" in notes
    assert "refused for driving" in notes


def test_what_training_noted_comes_back_as_provenance(tmp_path: Path) -> None:
    extra = {
        "format": 1,
        "action_axes": ["linear.x", "linear.y"],
        "frame_period": 0.2,
        "action_period": 0.1,
        "training_files": {"episode_a.h5": "ab12"},
        "validation_files": {"episode_b.h5": "cd34"},
        "feature_statistics": {"mean": torch.ones(64), "std": torch.full((64,), 2.0), "count": 9},
    }
    path = write_random_checkpoint(tmp_path, "tiny", extra=extra)
    policy = load_policy(path, device="cpu")
    assert policy.config.action_axes == ("linear.x", "linear.y")
    assert policy.config.action_axes_confirmed
    assert (policy.config.frame_period, policy.config.action_period) == (0.2, 0.1)
    assert policy.provenance.training_files == {"episode_a.h5": "ab12"}
    assert policy.provenance.validation_files == {"episode_b.h5": "cd34"}
    assert policy.provenance.feature_std is not None
    np.testing.assert_array_equal(policy.provenance.feature_std, np.full(64, 2.0))
    assert len(policy.provenance.sha256) == 64
