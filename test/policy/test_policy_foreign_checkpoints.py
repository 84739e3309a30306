"""Checkpoints as other trainers save them: read where they can be, named where they cannot."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mobile_vla_ros.policy import CheckpointError, load_policy
from mobile_vla_ros.policy.inspection import notes
from mobile_vla_ros.policy.plan import plan_loading

Content = dict[str, Any]


@pytest.fixture
def place(golden: Path, tmp_path: Path) -> Callable[..., tuple[Path, Content]]:
    """Copies a golden policy's folder without its checkpoint; returns path and content of that."""

    def make(kind: str = "mobile_vla_frozen") -> tuple[Path, Content]:
        source = next((golden / kind).glob("*.ckpt"))
        folder = tmp_path / kind
        shutil.copytree(golden / kind, folder, ignore=shutil.ignore_patterns("*.npz", "*.ckpt"))
        return folder / source.name, torch.load(source, weights_only=False)

    return make


def weights(path: Path) -> dict[str, torch.Tensor]:
    return load_policy(path, device="cpu", dtype="float32").model.state_dict()


def equal(path: Path, golden: Path, kind: str = "mobile_vla_frozen") -> bool:
    expected = weights(next((golden / kind).glob("*.ckpt")))
    found = weights(path)
    return all(torch.equal(found[name], value) for name, value in expected.items())


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: name.replace("backbone.", "backbone._orig_mod."),
        lambda name: name.replace("text_model.", "text_model._orig_mod."),
        lambda name: name.replace("backbone.", "backbone.module."),
        lambda name: name.replace("layers.0.", "layers.0._fsdp_wrapped_module."),
        lambda name: name.replace(
            "layers.0.", "_fsdp_wrapped_module.layers.0._checkpoint_wrapped_module."
        ),
        lambda name: "_orig_mod.module." + name,
    ],
)
def test_a_wrapper_anywhere_in_a_name_is_no_part_of_it(place, golden: Path, rename) -> None:
    path, content = place()
    content["state_dict"] = {rename(name): v for name, v in content["state_dict"].items()}
    torch.save(content, path)
    assert equal(path, golden)


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_a_pickle_protocol_that_torch_does_not_read_is_named(place, protocol: int) -> None:
    path, content = place()
    torch.save(content, path, pickle_protocol=protocol)
    with pytest.raises(CheckpointError, match=rf"pickle protocol {protocol}.*pickle_protocol=2"):
        load_policy(path)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.bool, torch.int64])
def test_whole_numbers_are_no_weights(place, dtype: torch.dtype) -> None:
    path, content = place()
    state = content["state_dict"]
    name = next(name for name, value in state.items() if value.dim() == 2)
    state[name] = state[name].to(dtype)
    torch.save(content, path)
    said = str(dtype).removeprefix("torch.")
    with pytest.raises(CheckpointError, match=rf"{name} holds {said} values without a scale"):
        load_policy(path)


@pytest.mark.parametrize("key", ["ema_state_dict", "current_model_state"])
def test_a_second_set_of_weights_is_mentioned(place, golden: Path, key: str) -> None:
    path, content = place()
    content[key] = {name: value + 1 for name, value in content["state_dict"].items()}
    torch.save(content, path)
    assert equal(path, golden)
    assert any(key in note and "not used" in note for note in notes(plan_loading(path)))


def test_a_moving_average_among_the_weights_is_mentioned(place, golden: Path) -> None:
    path, content = place()
    state = content["state_dict"]
    averages = {f"ema_model.{name}": value + 1 for name, value in state.items()}
    content["state_dict"] = {**state, **averages, "n_averaged": torch.tensor(5)}
    torch.save(content, path)
    assert equal(path, golden)
    assert any("ema_model." in note for note in notes(plan_loading(path)))


def test_weights_alone_are_read(place, golden: Path) -> None:
    path, content = place()
    bare = path.with_name("weights.pt")
    torch.save(content["state_dict"], bare)
    assert equal(bare, golden)


def test_deepspeeds_states_are_read_and_its_placeholders_are_named(place, golden: Path) -> None:
    path, content = place()
    states = path.with_name("mp_rank_00_model_states.pt")
    torch.save({"module": content["state_dict"], "ds_version": "0.14"}, states)
    assert equal(states, golden)
    empty = {name: torch.empty(0) for name in content["state_dict"]}
    torch.save({"module": empty, "ds_version": "0.14"}, states)
    with pytest.raises(CheckpointError, match=r"zero_to_fp32\.py"):
        load_policy(states)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["latest", "zero_to_fp32.py"], "DeepSpeed directory.*zero_to_fp32"),
        ([".metadata", "__0_0.distcp"], "sharded directory.*dcp_to_torch"),
    ],
)
def test_directories_of_several_gpus_are_named(
    tmp_path: Path, files: list[str], said: str
) -> None:
    for name in files:
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(CheckpointError, match=said):
        load_policy(tmp_path)


def say(folder: Path, content: Content, **values: Any) -> None:
    """Puts keys into train_setup, in the run file beside the checkpoint and in the one inside."""
    run = json.loads((folder / "config.json").read_text())
    run.setdefault("train_setup", {}).update(values)
    (folder / "config.json").write_text(json.dumps(run))
    inside = content["hyper_parameters"].get("configs")
    if inside is not None:
        inside.setdefault("train_setup", {}).update(values)


def test_an_alpha_of_its_own_scales_a_module(place, golden: Path) -> None:
    path, content = place("mobile_vla_lora")
    say(path.parent, content, alpha_pattern={r"self_attn\.q_proj": 64})
    torch.save(content, path)
    base = weights(next((golden / "mobile_vla_lora").glob("*.ckpt")))
    found = weights(path)
    changed = {name for name in base if not torch.equal(found[name], base[name])}
    assert changed
    assert all(name.endswith("self_attn.q_proj.weight") for name in changed)
    alpha = json.loads((path.parent / "config.json").read_text())["train_setup"]["lora_alpha"]
    name = min(changed)
    state = content["state_dict"]
    own = name.removeprefix("backbone.").removesuffix(".weight")
    adapter = f"model.backbone.base_model.model.{own}"
    down = state[f"{adapter}.lora_A.default.weight"].float()
    up = state[f"{adapter}.lora_B.default.weight"].float()
    added = (64 - alpha) / down.shape[0] * (up @ down)
    torch.testing.assert_close(found[name] - base[name], added, atol=1e-5, rtol=1e-4)


def test_a_pattern_that_is_none_is_named(place) -> None:
    path, content = place("mobile_vla_lora")
    say(path.parent, content, alpha_pattern={"(": 64})
    torch.save(content, path)
    with pytest.raises(CheckpointError, match="alpha_pattern holds"):
        load_policy(path)


def test_dora_is_named(place) -> None:
    path, content = place("mobile_vla_lora")
    said = dict(content["state_dict"])
    for name in said:
        if ".lora_B." in name:
            magnitude = name.replace(".lora_B.", ".lora_magnitude_vector.")
            content["state_dict"][magnitude] = torch.ones(said[name].shape[0])
    torch.save(content, path)
    with pytest.raises(CheckpointError, match="DoRA adapters"):
        load_policy(path)
    content["state_dict"] = said
    say(path.parent, content, use_dora=True)
    torch.save(content, path)
    with pytest.raises(CheckpointError, match="use_dora"):
        load_policy(path)
