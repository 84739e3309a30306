"""What `convert --onnx` writes, and what is said of a directory that was touched since."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mobile_vla_ros
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.policy import load_policy, write_random_checkpoint
from mobile_vla_ros.policy.convert import convert
from mobile_vla_ros.runtime.providers import choose_device
from mobile_vla_ros.runtime.sessions import GraphSession

GRAPHS = ("vision.onnx", "prompt.onnx", "text.onnx", "head.onnx")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_checkpoint(tmp_path_factory.mktemp("random"), "tiny", seed=4)


@pytest.fixture(scope="module")
def directory(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("converted") / "out"
    convert(checkpoint, out, dtype="float32", onnx=True)
    return out


@pytest.fixture
def copy(directory: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(directory, tmp_path / "copy"))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_converting_twice_gives_the_same_bytes(
    checkpoint: Path, tmp_path: Path, dtype: str
) -> None:
    for name in ("a", "b"):
        convert(checkpoint, tmp_path / name, dtype=dtype, onnx=True)
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert set(GRAPHS) < set(names)
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_the_plain_directory_stays_as_it_is(
    checkpoint: Path, directory: Path, tmp_path: Path
) -> None:
    convert(checkpoint, tmp_path / "plain", dtype="float32")
    for path in (tmp_path / "plain").iterdir():
        if path.name != "config.json":
            assert path.read_bytes() == (directory / path.name).read_bytes(), path.name
    assert load_policy(directory, device="cpu", runtime="torch").dtype.itemsize == 4


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"latent": 2, "window_size": 5, "chunk_size": 3, "num_layers": 2},
        {"head": "LSTMDecoder", "window_size": 16},
        {"dof": 3, "norm_min": [-1.0, -0.5, -2.0], "norm_max": [1.0, 0.5, 2.0]},
    ],
)
def test_every_kind_of_head_equals_torch_whatever_the_weights_are_stored_in(
    tmp_path: Path, dtype: str, changes: dict
) -> None:
    source = write_random_checkpoint(tmp_path / "source", "tiny", seed=1, **changes)
    convert(source, tmp_path / "out", dtype=dtype, onnx=True)
    torch_policy = load_policy(tmp_path / "out", device="cpu", dtype="float32", runtime="torch")
    onnx_policy = load_policy(tmp_path / "out", device="cpu", runtime="onnx")
    images = np.random.default_rng(0).integers(0, 256, (3, 48, 64, 3), dtype=np.uint8)
    pixels = torch_policy.preprocess(images)
    np.testing.assert_allclose(onnx_policy.preprocess(images), pixels.numpy(), atol=1e-6, rtol=0)
    for instruction in ("go", "Navigate to the bottle on the left, and around 2 boxes"):
        features = torch_policy.encode_frames(pixels, instruction).numpy()
        found = onnx_policy.encode_frames(pixels.numpy(), instruction)
        np.testing.assert_allclose(found, features, atol=1e-4, rtol=0)
    wanted = [torch_policy.decode(features[None]), *torch_policy.latents(features[None])]
    found = [onnx_policy.decode(features[None]), *onnx_policy.latents(features[None])]
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other.numpy(), atol=1e-5, rtol=0)


def test_a_backbone_without_head_gives_contexts(golden: Path, tmp_path: Path) -> None:
    source = golden / "mobile_vla_frozen" / "pretrained"
    convert(source, tmp_path / "out", dtype="float32", onnx=True)
    policy = load_policy(tmp_path / "out", device="cpu", runtime="onnx")
    assert policy.encode_images(np.zeros((2, 3, 224, 224), np.float32)).shape == (2, 64, 64)
    with pytest.raises(InputError, match="without an action head"):
        policy.stream("go")


def change_config(directory: Path, **changes: object) -> None:
    values = json.loads((directory / "config.json").read_text())
    values["mobile_vla"]["onnx"] |= changes
    (directory / "config.json").write_text(json.dumps(values))


@pytest.mark.parametrize("file", [*GRAPHS, "model.safetensors", "tokenizer.json"])
def test_a_missing_file_is_named(copy: Path, file: str) -> None:
    (copy / file).unlink()
    with pytest.raises(InputError, match=file):
        load_policy(copy, runtime="onnx", device="cpu")


def test_a_directory_of_another_version_is_refused(copy: Path) -> None:
    change_config(copy, version=99)
    with pytest.raises(InputError, match=r"version 99.*convert the checkpoint again"):
        load_policy(copy, runtime="onnx", device="cpu")


def test_a_graph_that_does_not_fit_its_weights_is_refused(copy: Path, tmp_path: Path) -> None:
    other = write_random_checkpoint(tmp_path / "other", "tiny", hidden_size=40)
    convert(other, tmp_path / "others", dtype="float32", onnx=True)
    shutil.copy(tmp_path / "others" / "model.safetensors", copy)
    with pytest.raises(InputError, match="not those that the graphs beside them"):
        load_policy(copy, runtime="onnx", device="cpu")


def test_a_damaged_graph_and_half_a_weights_file_are_refused(copy: Path) -> None:
    graph = copy / "text.onnx"
    content = graph.read_bytes()
    graph.write_bytes(content[:-9])
    with pytest.raises(InputError, match=r"text\.onnx is not the one"):
        load_policy(copy, runtime="onnx", device="cpu")
    graph.write_bytes(content)
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-9])
    with pytest.raises(InputError, match="not whole"):
        load_policy(copy, runtime="onnx", device="cpu")


def test_a_directory_without_graphs_says_how_to_get_them(checkpoint: Path, tmp_path: Path) -> None:
    convert(checkpoint, tmp_path / "plain")
    with pytest.raises(InputError, match="convert CHECKPOINT OUT --onnx"):
        load_policy(tmp_path / "plain", runtime="onnx")
    with pytest.raises(InputError, match="not a directory"):
        load_policy(checkpoint, runtime="onnx")


def test_a_number_format_that_the_graphs_are_not_in_is_refused(directory: Path) -> None:
    with pytest.raises(InputError, match=r"in float32.*--dtype int8"):
        load_policy(directory, runtime="onnx", dtype="int8")
    with pytest.raises(InputError, match="unknown runtime"):
        load_policy(directory, runtime="tensorflow")


@pytest.mark.parametrize(
    ("device", "package"),
    [
        ("cuda", "onnxruntime-gpu"),
        ("tensorrt", "onnxruntime-gpu"),
        ("openvino", "onnxruntime-openvino"),
    ],
)
def test_a_missing_provider_is_named_with_what_to_install(device: str, package: str) -> None:
    with pytest.raises(InputError, match=package):
        choose_device(device, ["CPUExecutionProvider"])


def test_a_device_is_resolved_by_what_there_is() -> None:
    both = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    assert str(choose_device("auto", ["CPUExecutionProvider"])) == "cpu"
    assert choose_device("cuda:1", both).providers()[0][1] == {"device_id": 1}
    with pytest.raises(InputError, match="unknown device"):
        choose_device("tpu", both)


def test_a_provider_that_fails_at_run_time_is_one_sentence(directory: Path) -> None:
    session = GraphSession(directory / "head.onnx", choose_device("cpu"), 1)
    with pytest.raises(InputError, match=r"CPUExecutionProvider failed at the graph head\.onnx"):
        session.run(features=np.zeros((1, 1, 1, 3), np.float32))


def test_neither_torch_nor_transformers_is_imported(directory: Path) -> None:
    program = f"""
import sys
for name in ("torch", "transformers", "safetensors", "lightning", "onnx"):
    sys.modules[name] = None
import numpy as np
from mobile_vla_ros.policy import load_policy
policy = load_policy({str(directory)!r}, device="cpu", runtime="onnx")
policy.warm_up(image_shape=(48, 64))
stream = policy.stream("go left")
image = np.zeros((48, 64, 3), np.uint8)
print(stream.step(image, 1.0).velocities.shape, policy.provenance.sha256[:4])
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_the_bundled_policy_carries_the_graphs_that_convert_writes(tmp_path: Path) -> None:
    bundled = Path(mobile_vla_ros.__file__).parent / "data" / "demo_policy"
    convert(bundled, tmp_path / "out", dtype="float32", onnx=True)
    for name in (*GRAPHS, "model.safetensors"):
        assert (bundled / name).read_bytes() == (tmp_path / "out" / name).read_bytes(), name
    sections = [
        json.loads((folder / "config.json").read_text())["mobile_vla"]["onnx"]
        for folder in (bundled, tmp_path / "out")
    ]
    assert sections[0] == sections[1]
    load_policy(bundled, runtime="onnx", device="cpu").require_driving()


def test_graphs_in_sixteen_bits_compute_what_those_in_float32_do(
    checkpoint: Path, tmp_path: Path
) -> None:
    """onnxruntime runs float16 on a processor too, if slowly; bfloat16 on a GPU alone."""
    convert(checkpoint, tmp_path / "half", dtype="float16", onnx=True)
    policy = load_policy(tmp_path / "half", runtime="onnx", device="cpu")
    pixels = np.random.default_rng(0).normal(size=(2, 3, 224, 224)).astype(np.float32)
    context = policy.encode_images(pixels)
    device = choose_device("cpu")
    vision = GraphSession(tmp_path / "half" / "vision.native.onnx", device, 1)
    np.testing.assert_allclose(vision.run(pixels=pixels)[0], context, atol=2e-3, rtol=0)
    text = GraphSession(tmp_path / "half" / "text.native.onnx", device, 1)
    features = policy.encode_frames(None, "go left", context=context)
    found = text.run(context=context, base=policy.prepare("go left"))[0]
    np.testing.assert_allclose(found, features, atol=2e-2, rtol=0)
