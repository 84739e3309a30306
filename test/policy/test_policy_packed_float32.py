"""Packed float32 weights give the same policy, on every processor."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mobile_vla_ros.policy import policy as policy_file
from mobile_vla_ros.policy import random_policy
from mobile_vla_ros.policy.packed import PackedLinear, can_pack

IMAGES = np.random.default_rng(2).integers(0, 256, (3, 60, 80, 3), dtype=np.uint8)

pytestmark = pytest.mark.skipif(
    not can_pack(torch.zeros(2, 2), float32=True), reason="this torch has no oneDNN"
)


def test_a_large_policy_is_packed_in_float32_and_stays_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(policy_file, "SMALL", 1_000)
    policy = random_policy("tiny", device="cpu", dtype="float32")
    pixels = policy.preprocess(IMAGES)
    context = policy.encode_images(pixels)
    before = policy.encode_frames(pixels, "go left")
    assert policy.packs
    policy.warm_up("go left", (60, 80))
    assert isinstance(policy.model.backbone.text_model.model.layers[0].ffn.fc1, PackedLinear)
    torch.testing.assert_close(policy.encode_images(pixels), context, atol=1e-5, rtol=0)
    torch.testing.assert_close(policy.encode_frames(pixels, "go left"), before, atol=1e-4, rtol=0)


def test_a_small_policy_is_left_as_it_is() -> None:
    policy = random_policy("tiny", device="cpu", dtype="float32")
    assert not policy.packs
    assert policy.pack() == 0
