"""What the gate says of the weights themselves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mobile_vla_ros.analysis.weights import check_finite, check_merged
from mobile_vla_ros.policy import write_random_checkpoint
from mobile_vla_ros.policy.convert import convert
from mobile_vla_ros.policy.plan import plan_loading


def changed(source: Path, target: Path, change) -> Path:
    """The checkpoint with `change` applied to its weights, beside its own files."""
    content = torch.load(source, weights_only=False)
    change(content["state_dict"])
    torch.save(content, target)
    return target


@pytest.fixture
def lora(tmp_path: Path) -> Path:
    return write_random_checkpoint(
        tmp_path / "lora", adapted=lambda name: name.endswith(("q_proj", "v_proj"))
    )


def test_adapters_that_are_not_merged_are_found_and_merged_ones_pass(lora, tmp_path) -> None:
    found = check_merged(plan_loading(lora))
    assert not found.ok
    assert "mobile_vla convert" in found.reason
    convert(lora, tmp_path / "merged")
    assert check_merged(plan_loading(tmp_path / "merged")).ok


def test_adapters_that_were_lost_on_saving_are_found(lora) -> None:
    def lose(state) -> None:
        for name in [name for name in state if ".lora_" in name]:
            del state[name]

    found = check_merged(plan_loading(changed(lora, lora.with_name("lost.ckpt"), lose)))
    assert not found.ok
    assert ".base_layer." in found.reason
    assert "they were lost" in found.reason


def test_a_run_with_lora_whose_weights_are_the_base_models_has_lost_them(tmp_path) -> None:
    plain = write_random_checkpoint(
        tmp_path / "run", train_setup={"freeze_backbone": False, "lora_enable": True}
    )
    # Without the base model's weights nothing can be told.
    assert check_merged(plan_loading(plain)).ok
    state = torch.load(plain, weights_only=False)["state_dict"]
    begins = "model.backbone."
    base = {
        name.removeprefix(begins): value.clone()
        for name, value in state.items()
        if name.startswith(begins) and "lm_head" not in name
    }
    save_file(base, plain.parent / "pretrained" / "model.safetensors")
    assert "those of the base model" in check_merged(plan_loading(plain)).reason
    merged = changed(
        plain, plain.with_name("merged.ckpt"), lambda s: [v.add_(0.01) for v in s.values()]
    )
    assert check_merged(plan_loading(merged)).value == "merged"


def test_one_value_in_a_layer_that_few_frames_reach_is_found(tmp_path) -> None:
    good = write_random_checkpoint(tmp_path / "good")
    assert check_finite(plan_loading(good)).ok

    def spoil(state) -> None:
        next(v for k, v in state.items() if k.endswith("embed_tokens.weight"))[-1, -1] = torch.nan

    found = check_finite(plan_loading(changed(good, good.with_name("bad.ckpt"), spoil)))
    assert not found.ok
    assert "embed_tokens.weight" in found.reason
    assert found.value >= 1


def test_the_graphs_of_a_directory_are_looked_through(tmp_path) -> None:
    import numpy as np
    import onnx
    from onnx import helper, numpy_helper

    good = write_random_checkpoint(tmp_path / "good")
    convert(good, tmp_path / "out")
    weight = numpy_helper.from_array(np.array([1, np.inf], np.float32), "a_weight")
    graph = helper.make_graph([], "empty", [], [], [weight])
    onnx.save(helper.make_model(graph), str(tmp_path / "out" / "head.onnx"))
    found = check_finite(plan_loading(tmp_path / "out"))
    assert found.reason == "NaN or infinity in 1 weights (head.onnx: a_weight)"
    assert json.dumps(found.to_plain())
    (tmp_path / "out" / "head.onnx").write_bytes(b"no graph at all")
    assert "head.onnx cannot be read" in check_finite(plan_loading(tmp_path / "out")).reason
