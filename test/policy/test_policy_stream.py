"""Streaming equals the full window, whatever the camera does."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mobile_vla_ros.policy import PolicyError, load_policy, random_policy
from mobile_vla_ros.policy.familiarity import feature_statistics
from mobile_vla_ros.policy.stream import PolicyStream

INSTRUCTIONS = ("Navigate to the bottle on the left", "Navigate to the bottle on the right")
PERIOD = 0.4
WINDOW = 8
FRAMES = 1_000
POOL = 40


def expected_window(history: list[tuple[float, int]]) -> list[int]:
    """The frames a window holds, by the rule itself: newest first, then slot by slot."""
    newest = history[-1][0]
    chosen = [len(history) - 1]
    for slot in range(1, WINDOW):
        wanted = newest - slot * PERIOD
        near = [
            index
            for index in range(chosen[-1])
            if abs(history[index][0] - wanted) <= PERIOD / 2 + 1e-6
        ]
        if not near:
            break
        nearest = min(abs(history[index][0] - wanted) for index in near)
        # Of two equally near (within 2 microseconds) the newer one counts.
        chosen.append(max(i for i in near if abs(history[i][0] - wanted) <= nearest + 2e-6))
    return [history[index][1] for index in reversed(chosen)]


def test_streaming_equals_the_full_window_over_a_thousand_eventful_frames() -> None:
    policy = random_policy("tiny", seed=3, device="cpu", dtype="float32")
    random = np.random.default_rng(5)
    images = random.integers(0, 256, (POOL, 48, 64, 3), dtype=np.uint8)
    pixels = policy.preprocess(images)
    features = {
        instruction: policy.encode_frames_plainly(pixels, instruction)
        for instruction in INSTRUCTIONS
    }
    instruction = INSTRUCTIONS[0]
    stream = policy.stream(instruction)
    history: list[tuple[float, int]] = []
    stamp = 50.0
    lengths, checked = set(), 0
    for index in range(FRAMES):
        event = random.random()
        if event < 0.01:
            stream.reset()
            history = []
        elif event < 0.02:
            instruction = INSTRUCTIONS[int(instruction == INSTRUCTIONS[0])]
            stream = policy.stream(instruction)
            history = []
        elif event < 0.025:
            stamp -= 5.0
        elif event < 0.035:
            stamp += 3 * PERIOD
        elif event < 0.06:
            stamp += PERIOD
        if event < 0.06 or event > 0.08 or not history:
            stamp += PERIOD * random.choice([0.25, 0.5, 1.0]) + random.normal(0, 0.01)
        # Between 0.06 and 0.08 the stamp stays as it was: a repeated frame.
        image = int(random.integers(POOL))
        if history and stamp == history[-1][0]:
            history.pop()
        elif history and (stamp < history[-1][0] or stamp - history[-1][0] > 2 * PERIOD):
            history = []
        history.append((stamp, image))

        chunk = stream.step(images[image], stamp, generation=index)

        window = expected_window(history)
        actions = policy.decode(features[instruction][window][None])[0, -1].numpy()
        assert chunk.normalised is not None
        np.testing.assert_allclose(chunk.normalised, actions, atol=1e-5, rtol=0)
        assert chunk.frames == len(window)
        assert chunk.window_stamps[-1] == chunk.stamp == stamp
        lengths.add(len(window))
        if index % 50 == 0:
            whole = policy.predict_window(images[window], instruction)
            np.testing.assert_allclose(chunk.velocities, whole, atol=1e-5, rtol=0)
            checked += 1
    assert lengths == set(range(1, WINDOW + 1))
    assert checked == FRAMES // 50


def test_a_frame_is_encoded_once_and_an_instruction_tokenised_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    policy = random_policy("tiny", device="cpu")
    calls: dict[str, int] = {"encode": 0, "tokenise": 0}
    encode, tokenise = policy.model.context, policy.token_ids

    def counted_encode(*args: Any) -> torch.Tensor:
        calls["encode"] += len(args[0])
        return encode(*args)

    def counted_tokenise(instruction: str) -> list[int]:
        calls["tokenise"] += 1
        return tokenise(instruction)

    monkeypatch.setattr(policy.model, "context", counted_encode)
    monkeypatch.setattr(policy, "token_ids", counted_tokenise)
    stream = policy.stream("go left")
    image = np.zeros((32, 32, 3), np.uint8)
    for index in range(12):
        stream.step(image, index * PERIOD)
    assert calls == {"encode": 12, "tokenise": 1}


def test_axes_and_periods_can_be_given_for_a_stream() -> None:
    policy = random_policy("tiny", device="cpu")
    stream = policy.stream(
        "go", frame_period=0.2, action_period=0.1, action_axes=["linear.x", "linear.y"]
    )
    for index in range(3):
        chunk = stream.step(np.zeros((16, 16, 3), np.uint8), index * 0.2)
    assert chunk.frames == 3
    assert chunk.axes == ("linear.x", "linear.y")
    assert chunk.action_period == 0.1


def test_each_axis_is_scaled_by_its_own_range() -> None:
    policy = random_policy(
        "tiny", device="cpu", norm_min=[-0.5, -2.0], norm_max=[1.0, 2.0], window_size=3
    )
    chunk = policy.stream("go").step(np.zeros((16, 16, 3), np.uint8), 1.0)
    normalised = chunk.normalised
    assert normalised is not None
    expected = (normalised + 1) / 2 * np.array([1.5, 4.0]) + np.array([-0.5, -2.0])
    np.testing.assert_allclose(chunk.velocities, expected, atol=1e-6)
    np.testing.assert_allclose(policy.config.normalise(chunk.velocities), normalised, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"frame_period": 0.0}, "frame_period must be above 0 s"),
        ({"action_period": math.nan}, "action_period must be above 0 s"),
        ({"max_gap": -1.0}, "max_gap must be above 0 s"),
        ({"action_axes": ["linear.x"]}, "names 1 axes but the head puts out 2"),
        ({"action_axes": ["linear.x", "yaw"]}, "unknown action axis 'yaw'"),
        ({"action_axes": ["linear.x", "linear.x"]}, "names an axis twice"),
    ],
)
def test_a_stream_refuses_arguments_out_of_range(arguments: dict[str, Any], sentence: str) -> None:
    policy = random_policy("tiny", device="cpu")
    with pytest.raises(ValueError, match=sentence):
        policy.stream("go", **arguments)


@pytest.mark.parametrize(
    ("image", "stamp", "sentence"),
    [
        (np.zeros((0, 16, 3), np.uint8), 0.0, "empty"),
        (np.zeros((16, 16), np.uint8), 0.0, "shape"),
        (np.zeros((16, 16, 4), np.uint8), 0.0, "shape"),
        (np.zeros((16, 16, 3), np.float32), 0.0, "uint8"),
        (np.zeros((2, 16, 16, 3), np.uint8), 0.0, "one image"),
        (np.zeros((16, 16, 3), np.uint8), math.nan, "stamp"),
    ],
)
def test_a_step_refuses_what_is_no_frame(image: np.ndarray, stamp: float, sentence: str) -> None:
    stream = random_policy("tiny", device="cpu").stream("go")
    with pytest.raises(PolicyError, match=sentence):
        stream.step(image, stamp)


def test_the_size_of_the_image_may_change_in_mid_stream() -> None:
    stream = random_policy("tiny", device="cpu").stream("go")
    for index, shape in enumerate([(48, 64, 3), (1080, 1920, 3), (7, 5, 3)]):
        chunk = stream.step(np.zeros(shape, np.uint8), index * PERIOD)
        assert chunk.frames == index + 1


def test_too_many_frames_for_a_window_are_refused() -> None:
    policy = random_policy("tiny", device="cpu", window_size=4)
    with pytest.raises(PolicyError, match="1 to 4 frames, not 5"):
        policy.predict_window(np.zeros((5, 16, 16, 3), np.uint8), "go")


def test_an_instruction_beyond_the_models_reach_is_refused() -> None:
    policy = random_policy("tiny", device="cpu")
    with pytest.raises(PolicyError, match="too long"):
        policy.stream("left " * 300)


@pytest.mark.parametrize("latent", [1, 2, 3])
def test_several_action_tokens_equal_the_plain_pass(latent: int) -> None:
    policy = random_policy("tiny", device="cpu", latent=latent)
    pixels = policy.preprocess(
        np.random.default_rng(0).integers(0, 256, (3, 40, 40, 3), dtype=np.uint8)
    )
    lean = policy.encode_frames(pixels, "go left")
    assert lean.shape == (3, latent, 64)
    plain = policy.encode_frames_plainly(pixels, "go left")
    torch.testing.assert_close(lean, plain, atol=1e-5, rtol=0)
    assert policy.decode(lean[None]).shape == (1, 3, 10, 2)


def test_padding_after_the_action_token_changes_nothing() -> None:
    policy = random_policy("tiny", device="cpu", latent=2)
    pixels = policy.preprocess(np.full((1, 40, 40, 3), 80, np.uint8))
    ids = policy.token_ids("go left")
    context = policy.model.context(pixels)
    exact = policy.model.features(context, policy.model.prompt("go left", ids))
    padded = policy.model.features(context, policy.model.prompt("go left", ids, length=128))
    torch.testing.assert_close(padded, exact, atol=1e-5, rtol=0)


def test_a_stream_of_a_loaded_policy_forgets_on_reset(golden: Path) -> None:
    folder = golden / "mobile_vla_frozen"
    policy = load_policy(next(folder.glob("*.ckpt")), device="cpu")
    images = np.load(folder / "inputs.npz")["images"]
    stream = policy.stream("go")
    first = stream.step(images[0], 0.0).normalised
    stream.step(images[1], PERIOD)
    stream.reset()
    np.testing.assert_array_equal(stream.step(images[0], 2 * PERIOD).normalised, first)


def test_the_distance_from_training_is_a_mean_that_reset_empties_and_changes_no_chunk() -> None:
    policy = random_policy("tiny", seed=1, device="cpu", dtype="float32")
    images = np.random.default_rng(0).integers(0, 256, (12, 48, 64, 3), dtype=np.uint8)
    plain = [chunk.normalised for chunk in stream_over(policy.stream("go"), images, [])]
    seen = [policy.look(image, "go") for image in images]
    features, contexts = (torch.stack(part).numpy() for part in zip(*seen, strict=True))
    np.testing.assert_array_equal(features[3], policy.encode_camera_frame(images[3], "go"))
    np.testing.assert_array_equal(
        contexts[3], policy.encode_images(policy.preprocess(images[3])).mean(1)[0]
    )
    assert math.isnan(policy.stream("go").feature_distance)
    policy.provenance.statistics = statistics = feature_statistics(features, contexts)
    stream = policy.stream("go")
    distances: list[float] = []
    for chunk, before in zip(stream_over(stream, images, distances), plain, strict=True):
        np.testing.assert_array_equal(chunk.normalised, before)
    each = [statistics.distance(f, c) for f, c in zip(features, contexts, strict=True)]
    assert math.isnan(distances[6])
    assert distances[7] == pytest.approx(np.mean(each[:8]))
    assert stream.feature_distance == distances[-1] == pytest.approx(np.mean(each))
    stream.reset()
    assert math.isnan(stream.feature_distance)


def stream_over(stream: PolicyStream, images: np.ndarray, distances: list[float]) -> list:
    chunks = []
    for index, image in enumerate(images):
        chunks.append(stream.step(image, 10 + index * PERIOD))
        distances.append(stream.feature_distance)
    return chunks
