"""On a GPU the graphed stream equals the eager pass."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mobile_vla_ros.policy import load_policy, random_policy

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def test_a_graphed_frame_equals_the_eager_one_through_changes() -> None:
    policy = random_policy("small", device="cuda", dtype="float32")
    random = np.random.default_rng(0)
    for shape in ((480, 640, 3), (720, 1280, 3), (480, 640, 3)):
        for instruction in ("go left", "go right", "go around the box and stop at the bottle"):
            for _ in range(2):
                image = random.integers(0, 256, shape, dtype=np.uint8)
                graphed = policy.encode_camera_frame(image, instruction)
                eager = policy.encode_frames(policy.preprocess(image), instruction)[0]
                torch.testing.assert_close(graphed, eager, atol=2e-3, rtol=0)
                context = policy.encode_images(policy.preprocess(image)).mean(1)[0]
                mean = policy.look(image, instruction)[1]
                torch.testing.assert_close(mean, context, atol=2e-3, rtol=0)


def test_preprocessing_on_the_device_is_within_one_grey_level_of_pil() -> None:
    policy = random_policy("tiny", device="cuda")
    image = np.random.default_rng(1).integers(0, 256, (720, 1280, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(image).resize((224, 224), Image.Resampling.BICUBIC))
    mean, std = np.array(policy.config.image_mean), np.array(policy.config.image_std)
    pixels = policy.preprocess(image)[0].permute(1, 2, 0).cpu().numpy()
    assert np.abs((pixels * std + mean) * 255 - expected).max() < 1.01


@pytest.mark.parametrize("dtype", ["auto", "bfloat16", "int8"])
def test_the_reference_stream_holds_in_fewer_bits(golden: Path, dtype: str) -> None:
    folder = golden / "mobile_vla_lora"
    policy = load_policy(next(folder.glob("*.ckpt")), device="cuda", dtype=dtype)
    inputs, expected = np.load(folder / "inputs.npz"), np.load(folder / "expected.npz")
    policy.warm_up(str(inputs["instruction"]), inputs["images"].shape[1:3])
    stream = policy.stream(str(inputs["instruction"]))
    for index, image in enumerate(inputs["images"]):
        chunk = stream.step(image, index * 0.4)
        bound = 0.03 if dtype == "int8" else 0.02
        np.testing.assert_allclose(
            chunk.normalised, expected["stream_velocities"][index], atol=bound, rtol=0
        )
