"""The reference policies, converted and reproduced by onnxruntime."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mobile_vla_ros.policy import ActionChunk, PolicyError, load_policy
from mobile_vla_ros.policy.convert import convert

FOLDERS = ("mobile_vla_frozen", "mobile_vla_lora", "robovlms_oxe_7dof")
DRIVING = FOLDERS[:2]
EXACT = 1e-4
FROM_IMAGES = 2e-3


@dataclass
class Reference:
    policy: Any
    images: np.ndarray
    instruction: str
    expected: Any
    directory: Path


@pytest.fixture(scope="module")
def converted(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    out = tmp_path_factory.mktemp("converted")
    for name in FOLDERS:
        checkpoint = next(p for p in (golden / name).iterdir() if p.suffix in (".ckpt", ".pt"))
        convert(checkpoint, out / name, dtype="float32", onnx=True)
    return {name: out / name for name in FOLDERS}


def load_reference(golden: Path, directory: Path, name: str) -> Reference:
    inputs = np.load(golden / name / "inputs.npz")
    return Reference(
        load_policy(directory, runtime="onnx", device="cpu"),
        inputs["images"],
        str(inputs["instruction"]),
        np.load(golden / name / "expected.npz"),
        directory,
    )


@pytest.fixture(scope="module", params=FOLDERS)
def reference(request: pytest.FixtureRequest, golden: Path, converted: Any) -> Reference:
    return load_reference(golden, converted[request.param], request.param)


@pytest.fixture(scope="module", params=DRIVING)
def driving(request: pytest.FixtureRequest, golden: Path, converted: Any) -> Reference:
    return load_reference(golden, converted[request.param], request.param)


def test_prompt_ids_and_pixels_equal_the_reference(reference: Reference) -> None:
    policy, expected = reference.policy, reference.expected
    assert policy.token_ids(reference.instruction) == expected["input_ids"][0].tolist()
    pixels = policy.preprocess(reference.images[:4])
    difference = np.abs(pixels - expected["pixel_values_first4"]).max(axis=(0, 2, 3))
    assert (difference <= 1.001 / 255 / np.array(policy.config.image_std)).all()


def test_context_and_hidden_state_equal_the_reference(reference: Reference) -> None:
    policy, expected = reference.policy, reference.expected
    pixels = expected["pixel_values_first4"]
    context = policy.encode_images(pixels)
    features = policy.encode_frames(pixels, reference.instruction)
    np.testing.assert_allclose(context, expected["context"][0, :4], atol=EXACT, rtol=0)
    np.testing.assert_allclose(features, expected["action_hidden"][0, :4], atol=EXACT, rtol=0)
    again = policy.encode_frames(None, reference.instruction, context=context)
    np.testing.assert_allclose(again, features, atol=1e-6, rtol=0)


def test_lstm_and_actions_equal_the_reference(reference: Reference) -> None:
    policy, expected = reference.policy, reference.expected
    actions = policy.decode(expected["action_hidden"])
    if not policy.config.drives:
        wanted = np.concatenate([expected["window_arm"], expected["window_gripper"]], axis=-1)
        np.testing.assert_allclose(actions, wanted, atol=EXACT, rtol=0)
        return
    np.testing.assert_allclose(actions, expected["window_velocities"], atol=EXACT, rtol=0)
    found = policy.latents(expected["action_hidden"])
    for name, values in zip(("lstm_output", "lstm_h_n", "lstm_c_n"), found, strict=True):
        np.testing.assert_allclose(values, expected[name], atol=EXACT, rtol=0)


def test_the_stream_equals_the_reference_at_every_frame_and_after_a_reset(
    driving: Reference,
) -> None:
    stream = driving.policy.stream(driving.instruction)
    for start in (100.0, 200.0):
        for index, image in enumerate(driving.images):
            chunk = stream.step(image, start + 0.4 * index, generation=3)
            expected = driving.expected["stream_velocities"][index]
            assert isinstance(chunk, ActionChunk)
            np.testing.assert_allclose(chunk.normalised, expected, atol=FROM_IMAGES, rtol=0)
            assert chunk.frames == min(index + 1, 8) == len(chunk.window_stamps)
        stream.reset()


def test_the_predicted_window_is_in_metres_and_radians_per_second(driving: Reference) -> None:
    velocities = driving.policy.predict_window(driving.images[:8], driving.instruction)
    assert velocities.dtype == np.float32
    expected = driving.expected["window_velocities"][0, -1] * 1.15
    np.testing.assert_allclose(velocities, expected, atol=FROM_IMAGES, rtol=0)


def test_a_seven_dof_policy_is_refused_for_driving_with_the_reason(
    golden: Path, converted: dict[str, Path]
) -> None:
    policy = load_policy(converted["robovlms_oxe_7dof"], runtime="onnx", device="cpu")
    with pytest.raises(PolicyError, match="cannot drive a mobile base"):
        policy.stream("go")


def test_what_torch_says_of_bad_input_onnx_says_too(driving: Reference) -> None:
    policy = driving.policy
    for ask, sentence in (
        (lambda: policy.preprocess(np.zeros((1, 8, 8, 4), np.uint8)), "shape"),
        (lambda: policy.preprocess(np.zeros((1, 8, 8, 3), np.float32)), "uint8 RGB, not float32"),
        (lambda: policy.encode_images(np.zeros((1, 3, 8, 8), np.float32)), "pixel_values must be"),
        (lambda: policy.decode(np.zeros((1, 1, 1, 3), np.float32)), "features must be"),
        (lambda: policy.predict_window(np.zeros((9, 8, 8, 3), np.uint8), "go"), "1 to 8 frames"),
        (lambda: policy.stream("go " * 400), "too long"),
        (lambda: policy.model, 'runtime="torch"'),
    ):
        with pytest.raises(PolicyError, match=sentence):
            ask()
