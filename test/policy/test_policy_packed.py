"""Packed weights give the same policy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mobile_vla_ros.policy import random_policy
from mobile_vla_ros.policy.packed import PackedLinear, can_pack

IMAGES = np.random.default_rng(2).integers(0, 256, (11, 60, 80, 3), dtype=np.uint8)

pytestmark = pytest.mark.skipif(
    not can_pack(torch.zeros(2, 2, dtype=torch.bfloat16)),
    reason="this processor does not multiply bfloat16 in hardware",
)


@pytest.mark.parametrize("size", ["tiny", "small"])
def test_a_packed_policy_equals_the_unpacked_one(size: str) -> None:
    policy = random_policy(size, device="cpu", dtype="bfloat16")
    pixels = policy.preprocess(IMAGES)
    before = policy.encode_frames(pixels, "go left")
    assert policy.pack() > 20
    # The same products summed in another order: a few units of bfloat16's last place.
    torch.testing.assert_close(policy.encode_frames(pixels, "go left"), before, atol=0.1, rtol=0)
    relative = (policy.encode_frames(pixels, "go left") - before).norm() / before.norm()
    assert relative < 0.01
    one = policy.encode_frames(pixels[:1], "go left")
    torch.testing.assert_close(one, before[:1], atol=0.1, rtol=0)
    assert policy.pack() == 0


def test_warming_up_packs_and_the_stream_stays_within_its_bound() -> None:
    exact = random_policy("tiny", device="cpu", dtype="float32", seed=6).stream("go")
    policy = random_policy("tiny", device="cpu", dtype="bfloat16", seed=6)
    policy.warm_up("go", (60, 80))
    layer = policy.model.backbone.text_model.model.layers[0].ffn.fc1
    assert isinstance(layer, PackedLinear)
    stream = policy.stream("go")
    for index, image in enumerate(IMAGES):
        packed = stream.step(image, index * 0.4).normalised
        np.testing.assert_allclose(
            packed, exact.step(image, index * 0.4).normalised, atol=0.02, rtol=0
        )


def test_attention_can_still_be_looked_at() -> None:
    policy = random_policy("tiny", device="cpu", dtype="bfloat16")
    pixels = policy.preprocess(IMAGES[:2])
    before = policy.attention(pixels, "go left")
    policy.pack()
    after = policy.attention(pixels, "go left")
    for name in ("vision", "action"):
        for old, new in zip(getattr(before, name), getattr(after, name), strict=True):
            torch.testing.assert_close(new, old, atol=0.01, rtol=0)
    torch.testing.assert_close(after.projection, before.projection, atol=0.01, rtol=0)


def test_the_packed_feed_forwards_are_as_near_to_float32_as_the_unpacked_ones() -> None:
    torch.manual_seed(0)
    exact = random_policy("small", device="cpu", dtype="float32", seed=3)
    policy = random_policy("small", device="cpu", dtype="bfloat16", seed=3)
    pixels = policy.preprocess(IMAGES)
    expected = exact.encode_images(pixels)
    unpacked = (policy.encode_images(pixels) - expected).norm()
    policy.pack()
    packed = (policy.encode_images(pixels) - expected).norm()
    assert packed < 1.1 * unpacked


def test_float32_is_left_as_it_is() -> None:
    assert random_policy("tiny", device="cpu", dtype="float32").pack() == 0
