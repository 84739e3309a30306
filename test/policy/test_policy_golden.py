"""The reference policies, reproduced through the public API."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mobile_vla_ros.policy import ActionChunk, PolicyError, load_policy

FOLDERS = ("mobile_vla_frozen", "mobile_vla_lora", "robovlms_oxe_7dof")
DRIVING = FOLDERS[:2]
GREY_LEVEL = 1 / 255 / np.array([0.26862954, 0.26130258, 0.27577711])
EXACT = 1e-4
FROM_IMAGES = 2e-3


@dataclass
class Reference:
    policy: Any
    images: np.ndarray
    instruction: str
    expected: Any

    @property
    def pixels(self) -> torch.Tensor:
        return torch.from_numpy(self.expected["pixel_values_first4"])


def checkpoint_in(folder: Path) -> Path:
    return next(path for path in folder.iterdir() if path.suffix in (".ckpt", ".pt"))


def load_reference(golden: Path, name: str, **options: Any) -> Reference:
    folder = golden / name
    inputs = np.load(folder / "inputs.npz")
    return Reference(
        load_policy(checkpoint_in(folder), device="cpu", **options),
        inputs["images"],
        str(inputs["instruction"]),
        np.load(folder / "expected.npz"),
    )


@pytest.fixture(scope="module", params=FOLDERS)
def reference(request: pytest.FixtureRequest, golden: Path) -> Reference:
    return load_reference(golden, request.param, dtype="float32")


@pytest.fixture(scope="module", params=DRIVING)
def driving(request: pytest.FixtureRequest, golden: Path) -> Reference:
    return load_reference(golden, request.param, dtype="float32")


def test_prompt_ids_equal_the_reference(reference: Reference) -> None:
    ids = reference.policy.token_ids(reference.instruction)
    assert ids == reference.expected["input_ids"][0].tolist()


def test_pixels_are_within_one_grey_level_of_the_reference(reference: Reference) -> None:
    pixels = reference.policy.preprocess(reference.images[:4]).numpy()
    difference = np.abs(pixels - reference.expected["pixel_values_first4"])
    assert (difference.max(axis=(0, 2, 3)) <= GREY_LEVEL * 1.001).all()


def test_the_image_context_equals_the_reference(reference: Reference) -> None:
    context = reference.policy.encode_images(reference.pixels)
    expected = reference.expected["context"][0, :4]
    np.testing.assert_allclose(context.numpy(), expected, atol=EXACT, rtol=0)


def test_the_hidden_state_at_the_action_token_equals_the_reference(reference: Reference) -> None:
    features = reference.policy.encode_frames(reference.pixels, reference.instruction)
    expected = reference.expected["action_hidden"][0, :4]
    np.testing.assert_allclose(features.numpy(), expected, atol=EXACT, rtol=0)


def test_the_plain_pass_equals_the_lean_one(reference: Reference) -> None:
    policy = reference.policy
    lean = policy.encode_frames(reference.pixels, reference.instruction)
    plain = policy.encode_frames_plainly(reference.pixels, reference.instruction)
    torch.testing.assert_close(lean, plain, atol=1e-5, rtol=0)


def test_context_and_hidden_state_from_images_equal_the_reference(reference: Reference) -> None:
    policy, window = reference.policy, reference.policy.config.window_size
    pixels = policy.preprocess(reference.images[:window])
    context = policy.encode_images(pixels).numpy()
    features = policy.encode_frames(pixels, reference.instruction).numpy()
    expected = reference.expected
    np.testing.assert_allclose(context, expected["context"][0], atol=FROM_IMAGES, rtol=0)
    np.testing.assert_allclose(features, expected["action_hidden"][0], atol=FROM_IMAGES, rtol=0)


def test_the_lstm_equals_the_reference(driving: Reference) -> None:
    features = torch.from_numpy(driving.expected["action_hidden"])
    output, hidden, cell = driving.policy.latents(features)
    for name, value in (("lstm_output", output), ("lstm_h_n", hidden), ("lstm_c_n", cell)):
        np.testing.assert_allclose(value.numpy(), driving.expected[name], atol=EXACT, rtol=0)


def test_states_after_every_step_end_in_the_last_states(driving: Reference) -> None:
    features = torch.from_numpy(driving.expected["action_hidden"])
    hidden, cell = driving.policy.cells(features)
    _, last_hidden, last_cell = driving.policy.latents(features)
    torch.testing.assert_close(hidden[:, -1].transpose(0, 1), last_hidden, atol=1e-6, rtol=0)
    torch.testing.assert_close(cell[:, -1].transpose(0, 1), last_cell, atol=1e-6, rtol=0)


def test_decoded_actions_equal_the_reference(reference: Reference) -> None:
    expected = reference.expected
    actions = reference.policy.decode(torch.from_numpy(expected["action_hidden"])).numpy()
    if reference.policy.config.drives:
        np.testing.assert_allclose(actions, expected["window_velocities"], atol=EXACT, rtol=0)
    else:
        np.testing.assert_allclose(actions[..., :6], expected["window_arm"], atol=EXACT, rtol=0)
        np.testing.assert_allclose(
            actions[..., 6:], expected["window_gripper"], atol=EXACT, rtol=0
        )


def test_the_predicted_window_is_in_metres_and_radians_per_second(driving: Reference) -> None:
    policy = driving.policy
    velocities = policy.predict_window(driving.images[:8], driving.instruction)
    assert velocities.dtype == np.float32
    expected = driving.expected["window_velocities"][0, -1] * 1.15
    np.testing.assert_allclose(velocities, expected, atol=FROM_IMAGES, rtol=0)


def test_the_stream_equals_the_reference_at_every_frame(driving: Reference) -> None:
    stream = driving.policy.stream(driving.instruction)
    for index, image in enumerate(driving.images):
        chunk = stream.step(image, 100 + 0.4 * index, generation=3)
        expected = driving.expected["stream_velocities"][index]
        assert isinstance(chunk, ActionChunk)
        np.testing.assert_allclose(chunk.normalised, expected, atol=FROM_IMAGES, rtol=0)
        np.testing.assert_allclose(chunk.velocities, expected * 1.15, atol=FROM_IMAGES, rtol=0)
        assert chunk.frames == min(index + 1, 8) == len(chunk.window_stamps)
        assert (chunk.stamp, chunk.generation) == (100 + 0.4 * index, 3)
        assert chunk.axes == ("linear.x", "angular.z")
        assert chunk.action_period == 0.4


@pytest.mark.parametrize("ready", [False, True], ids=["as loaded", "as it drives"])
@pytest.mark.parametrize(("dtype", "bound"), [("bfloat16", 0.02), ("int8", 0.03)])
def test_velocities_in_fewer_bits_stay_close_to_float32(
    golden: Path, dtype: str, bound: float, ready: bool
) -> None:
    if dtype == "int8":
        pytest.importorskip("torchao")
    for name in DRIVING:
        reference = load_reference(golden, name, dtype=dtype)
        if ready:
            reference.policy.warm_up(reference.instruction, reference.images.shape[1:3])
        stream = reference.policy.stream(reference.instruction)
        for index, image in enumerate(reference.images):
            chunk = stream.step(image, 0.4 * index)
            expected = reference.expected["stream_velocities"][index]
            np.testing.assert_allclose(chunk.normalised, expected, atol=bound, rtol=0)


def test_a_seven_dof_policy_is_refused_for_driving_with_the_reason(golden: Path) -> None:
    policy = load_policy(checkpoint_in(golden / "robovlms_oxe_7dof"), device="cpu")
    for ask in (
        lambda: policy.stream("go"),
        lambda: policy.predict_window(np.zeros((1, 8, 8, 3), np.uint8), "go"),
    ):
        with pytest.raises(PolicyError, match="cannot drive"):
            ask()


def test_a_plain_backbone_gives_contexts_and_says_what_it_lacks(golden: Path) -> None:
    reference = load_reference(golden, "mobile_vla_frozen", dtype="float32")
    policy = load_policy(golden / "mobile_vla_frozen" / "pretrained", device="cpu")
    assert policy.config.head is None
    assert policy.encode_images(reference.pixels).shape == (4, 64, 64)
    for ask in (
        lambda: policy.stream("go"),
        lambda: policy.encode_frames(reference.pixels, "go"),
        lambda: policy.decode(torch.zeros(1, 1, 1, 64)),
    ):
        with pytest.raises(PolicyError, match="action head"):
            ask()


def test_automatic_dtype_is_exact_for_a_small_policy_on_a_cpu(golden: Path) -> None:
    policy = load_policy(checkpoint_in(golden / "mobile_vla_frozen"), device="cpu")
    assert policy.dtype == torch.float32


def test_an_edited_context_is_used_instead_of_the_frames_own(reference: Reference) -> None:
    policy, instruction = reference.policy, reference.instruction
    context = policy.encode_images(reference.pixels)
    own = policy.encode_frames(reference.pixels, instruction)
    same = policy.encode_frames(None, instruction, context=context)
    torch.testing.assert_close(same, own, atol=1e-6, rtol=0)
    masked = context.clone()
    masked[:, 10:20] = 0
    assert not torch.allclose(policy.encode_frames(None, instruction, context=masked), own)


def test_attention_maps_are_distributions_over_the_right_places(reference: Reference) -> None:
    policy = reference.policy
    maps = policy.attention(reference.pixels[:2], reference.instruction)
    places = 64 + len(policy.token_ids(reference.instruction))
    assert [tuple(layer.shape) for layer in maps.vision] == [(2, 2, 257, 257)] * 2
    assert maps.projection is not None
    assert tuple(maps.projection.shape) == (2, 4, 64, 257 + 64)
    assert [tuple(layer.shape) for layer in maps.action] == [(2, 4, 1, places)] * 2
    for weights in (*maps.vision, maps.projection, *maps.action):
        torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights.sum(-1)))
