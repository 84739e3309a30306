"""8 bits: exact where processors cut sums off, guarded against outliers, refused when wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mobile_vla_ros.cli.main import main
from mobile_vla_ros.policy import load_policy, write_random_checkpoint
from mobile_vla_ros.policy.convert import convert
from mobile_vla_ros.policy.errors import QuantisationError
from mobile_vla_ros.policy.export.calibration import Clip, drawn_clips
from mobile_vla_ros.policy.export.int8 import Quantiser, quantise_rows, quantise_weight
from mobile_vla_ros.policy.export.walk import walkable
from mobile_vla_ros.policy.plan import plan_loading
from mobile_vla_ros.processor import Processor
from mobile_vla_ros.runtime.int8 import halved
from mobile_vla_ros.runtime.loading import load_onnx_policy

OUTLIER = 80.0


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_checkpoint(tmp_path_factory.mktemp("random"), "tiny", seed=4)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy whose norms give a few channels 80 times the size, as trained ones do.

    What reads them has small weights there, so that the outputs depend on all channels alike.
    """
    path = write_random_checkpoint(tmp_path_factory.mktemp("planted"), "tiny", seed=4)
    content = torch.load(path, weights_only=True)
    state = content["state_dict"]
    readers = {
        "self_attn_layer_norm": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        "layer_norm1": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        "final_layer_norm": ("ffn.fc1",),
        "ffn.ffn_layernorm": ("ffn.fc2",),
        "self_attn.inner_attn_ln": ("self_attn.out_proj",),
        "layer_norm2": ("mlp.fc1",),
    }
    for name in [key for key in state if key.endswith(".weight")]:
        owner = name.removesuffix(".weight")
        for norm, layers in readers.items():
            if owner.endswith(f".{norm}"):
                start = owner.removesuffix(norm)
                for parameter in ("weight", "bias"):
                    state[f"{owner}.{parameter}"][3:6] *= OUTLIER
                for layer in layers:
                    state[f"{start}{layer}.weight"][:, 3:6] /= OUTLIER
    torch.save(content, path)
    return path


def run(*command: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in command])
    return int(ended.value.code or 0)


def layer_errors(checkpoint: Path) -> Quantiser:
    plan = plan_loading(checkpoint)
    quantiser = Quantiser(plan)
    with torch.inference_mode(), walkable(plan, quantiser.visit) as model:
        pixels = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
        model.features(model.context(pixels), model.prompt("go", [0, 9, 8, 7, 2]))
    return quantiser


def test_a_walk_gives_what_the_loaded_policy_gives(checkpoint: Path) -> None:
    policy = load_policy(checkpoint, device="cpu", dtype="float32", runtime="torch")
    pixels = policy.preprocess(np.zeros((2, 48, 64, 3), np.uint8))
    plan, seen = plan_loading(checkpoint), []
    with torch.inference_mode(), walkable(plan, lambda name, _: seen.append(name)) as model:
        ids = policy.token_ids("go")
        found = model.features(model.context(pixels), model.prompt("go", ids))
    torch.testing.assert_close(found, policy.encode_frames(pixels, "go"))
    assert all(parameter.is_meta for parameter in plan.model.parameters())
    assert len(seen) == 2 * 6 + 5 + 2 * 6


def test_planted_outliers_move_into_the_weights(
    planted: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean = layer_errors(checkpoint)
    guarded = layer_errors(planted)
    assert max(clean.errors.values()) < 0.02
    assert max(guarded.errors.values()) < 0.03
    assert len(guarded.kept) == len(clean.kept)
    monkeypatch.setattr("mobile_vla_ros.policy.export.int8.STRENGTHS", (0.0,))
    unguarded = layer_errors(planted)
    assert max(unguarded.errors.values()) > 0.1
    # What no norm can help stays in float32 instead of going wrong.
    assert len(unguarded.kept) > len(guarded.kept)


def test_velocities_of_a_policy_with_planted_outliers_stay_close(
    planted: Path, tmp_path: Path
) -> None:
    result = convert(planted, tmp_path / "out", dtype="int8", onnx=True)
    assert result.int8 is not None
    for bits in ("8_bits", "7_bits"):
        assert result.int8["velocity_error"][bits]["p99"] < 0.03


def test_float_layers_are_those_whose_inputs_no_norm_bounds(checkpoint: Path) -> None:
    kept = set(layer_errors(checkpoint).kept)
    assert {name for name in kept if "mlp.fc2" in name or "image_to_text" in name} == kept
    assert kept


def test_seven_bits_never_leave_sixteen_and_eight_bits_do() -> None:
    random = np.random.default_rng(0)
    weights = torch.from_numpy(random.normal(size=(64, 512)).astype(np.float32))
    levels = quantise_weight(weights)[0].numpy()
    activations = random.integers(0, 256, (32, 512)).astype(np.int64)
    # Full range, as an image's or a text's largest values are.
    levels[:, ::2], levels[:, 1::2] = np.sign(levels[:, ::2]) * 127, 127
    activations[:, :256] = 255
    for values, cut in ((levels, True), (halved(levels), False)):
        pairs = activations[:, None, :] * values[None].astype(np.int64)
        pairs = pairs[..., 0::2] + pairs[..., 1::2]
        saturated = np.clip(pairs, -(2**15), 2**15 - 1).sum(-1)
        assert bool((saturated != pairs.sum(-1)).any()) == cut


def test_halves_are_rounded_to_even() -> None:
    levels = np.arange(-127, 128).astype(np.int8)
    np.testing.assert_array_equal(halved(levels), np.round(levels / 2).astype(np.int8))
    assert np.abs(halved(levels).astype(int)).max() == 64


def test_quantised_rows_are_what_onnxruntime_computes() -> None:
    import onnxruntime
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [
            helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
        ],
        "rows",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", "K"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", "K"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    values = torch.randn(9, 33, generator=torch.Generator().manual_seed(1)) + 0.3
    expected = session.run(None, {"x": values.numpy()})[0]
    np.testing.assert_allclose(quantise_rows(values).numpy(), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("bits", [7, 8])
def test_velocities_in_int8_stay_close_to_the_reference(
    golden: Path, tmp_path: Path, bits: int
) -> None:
    folder = golden / "mobile_vla_lora"
    source = next(path for path in folder.iterdir() if path.suffix == ".ckpt")
    convert(source, tmp_path / "out", dtype="int8", onnx=True)
    policy = load_onnx_policy(tmp_path / "out", device="cpu", weight_bits=bits)
    assert (policy.dtype, policy.precision.quantised) == ("int8", True)
    inputs, expected = np.load(folder / "inputs.npz"), np.load(folder / "expected.npz")
    stream = policy.stream(str(inputs["instruction"]))
    for index, image in enumerate(inputs["images"]):
        chunk = stream.step(image, 0.4 * index)
        wanted = expected["stream_velocities"][index]
        np.testing.assert_allclose(chunk.normalised, wanted, atol=0.03, rtol=0)


def test_converting_to_int8_twice_gives_the_same_bytes(checkpoint: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        convert(checkpoint, tmp_path / name, dtype="int8", onnx=True)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def test_velocities_that_move_too_far_are_refused_unless_told(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mobile_vla_ros.policy.export.quantise.BOUND", 1e-6)
    with pytest.raises(QuantisationError, match="--accept-error"):
        convert(checkpoint, tmp_path / "out", dtype="int8", onnx=True)
    assert not list(tmp_path.iterdir())
    command = ["convert", checkpoint, tmp_path / "out", "--onnx", "--dtype", "int8"]
    assert run(*command) == 1
    assert not list(tmp_path.iterdir())
    assert run(*command, "--accept-error", "--json", tmp_path / "r.json") == 0
    result = json.loads((tmp_path / "r.json").read_text())
    assert result["int8"]["velocity_error"]["8_bits"]["p99"] > 1e-6
    assert result["int8"]["frames_from"] == "drawn"


def test_int8_without_graphs_and_a_folder_without_episodes_are_refused(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    command = ["convert", checkpoint, tmp_path / "out"]
    assert run(*command, "--dtype", "int8") == 2
    assert "--onnx" in capsys.readouterr().err
    assert run(*command, "--dtype", "int8", "--onnx", "--calibrate", tmp_path) == 2
    assert run(*command, "--onnx", "--calibrate", tmp_path) == 2
    assert "belong to --dtype int8" in capsys.readouterr().err


def test_clips_of_several_instructions_are_followed_apart(checkpoint: Path) -> None:
    from mobile_vla_ros.policy.export.quantise import thinned

    images = drawn_clips(224)[0].images
    clips = [Clip(images[:4], "left"), Clip(images, "right"), Clip(images[:2], "left")]
    assert [(clip.instruction, len(clip.images)) for clip in thinned(clips)] == [
        ("right", 16),
        ("left", 6),
    ]


@pytest.mark.parametrize(
    ("architecture", "flags", "exact", "slow"),
    [
        ("x86_64", "avx2 fma", False, {"bfloat16", "float16"}),
        ("x86_64", "avx2 avx512f avx512_vnni", True, {"bfloat16", "float16"}),
        ("x86_64", "avx2 avx512_vnni avx512_bf16 amx_bf16", True, {"float16"}),
        ("x86_64", "sse4_2", False, {"bfloat16", "float16", "int8"}),
        ("aarch64", "asimd asimddp asimdhp", True, {"bfloat16"}),
    ],
)
def test_a_processor_says_what_it_computes_slowly(
    architecture: str, flags: str, exact: bool, slow: set[str]
) -> None:
    processor = Processor(architecture, frozenset(flags.split()))
    assert processor.exact_int8 == exact
    formats: Any = ("float32", "bfloat16", "float16", "int8")
    assert {dtype for dtype in formats if processor.slow(dtype)} == slow
