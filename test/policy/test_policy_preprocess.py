"""Preprocessing equals PIL's antialiased bicubic within one grey level."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from mobile_vla_ros.policy.config import CLIP_MEAN, CLIP_STD
from mobile_vla_ros.policy.errors import PolicyError
from mobile_vla_ros.policy.frames import frames_array
from mobile_vla_ros.policy.preprocess import as_frames, preprocess, resize

SIZES = [(720, 1280), (480, 640), (1080, 1920), (240, 320), (224, 224), (100, 300), (3, 5), (1, 1)]


def camera_image(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth shading, hard edges and sensor noise, as a camera has them."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    shading = np.stack([x * 200 / width, y * 200 / height, (x + y) * 90 / (height + width)], -1)
    blocks = random.integers(0, 2, (height // 40 + 1, width // 40 + 1, 3)) * 55.0
    edges = blocks.repeat(40, 0).repeat(40, 1)[:height, :width]
    noise = random.normal(0, 4, (height, width, 3))
    return np.clip(shading + edges + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_any_size_is_within_one_grey_level_of_pil(height: int, width: int) -> None:
    image = camera_image(height, width)
    resized = resize(torch.from_numpy(image)[None].permute(0, 3, 1, 2), 224)
    expected = np.asarray(Image.fromarray(image).resize((224, 224), Image.Resampling.BICUBIC))
    ours = resized[0].permute(1, 2, 0).numpy().astype(int)
    assert np.abs(ours - expected.astype(int)).max() <= 1


def test_pixels_are_scaled_shifted_and_ordered_by_channel() -> None:
    image = np.zeros((30, 40, 3), np.uint8)
    image[:] = (255, 0, 51)
    pixels = preprocess(image, 224, CLIP_MEAN, CLIP_STD)
    assert pixels.shape == (1, 3, 224, 224)
    assert pixels.dtype == torch.float32
    assert pixels.is_contiguous()
    expected = (np.array([1.0, 0.0, 0.2]) - CLIP_MEAN) / CLIP_STD
    np.testing.assert_allclose(pixels[0, :, 100, 100].numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(pixels[0].std(dim=(1, 2)).numpy(), 0, atol=1e-4)


def test_a_batch_equals_its_frames_one_by_one() -> None:
    images = np.stack([camera_image(720, 1280, seed) for seed in range(3)])
    together = preprocess(images, 224, CLIP_MEAN, CLIP_STD)
    alone = torch.cat([preprocess(image, 224, CLIP_MEAN, CLIP_STD) for image in images])
    torch.testing.assert_close(together, alone, atol=0, rtol=0)


def test_flipped_cropped_and_read_only_arrays_are_read_as_they_look() -> None:
    image = camera_image(600, 800)
    frozen = image.copy()
    frozen.flags.writeable = False
    for view in (image[:, ::-1], image[::-1], image[50:550, 100:700], image[..., ::-1], frozen):
        seen = preprocess(view, 224, CLIP_MEAN, CLIP_STD)
        plain = preprocess(np.ascontiguousarray(view), 224, CLIP_MEAN, CLIP_STD)
        torch.testing.assert_close(seen, plain, atol=0, rtol=0)


def test_the_frame_itself_is_left_as_it_was() -> None:
    image = camera_image(224, 224)
    before = image.copy()
    preprocess(image, 224, CLIP_MEAN, CLIP_STD)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        (np.zeros((4, 4, 3), np.float32), "uint8 RGB, not float32"),
        (torch.zeros(4, 4, 3), "uint8 RGB, not torch.float32"),
        (np.zeros((4, 4), np.uint8), "shape"),
        (np.zeros((1, 4, 4, 1), np.uint8), "shape"),
        (np.zeros((4, 0, 3), np.uint8), "0x4 pixels is empty"),
        ([[1, 2, 3]], "not list"),
    ],
)
def test_what_is_no_image_is_refused(images: object, sentence: str) -> None:
    with pytest.raises(PolicyError, match=sentence):
        preprocess(images, 224, CLIP_MEAN, CLIP_STD)  # type: ignore[arg-type]


def test_a_list_of_pictures_is_the_array_of_them():
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 9, 3), dtype=np.uint8)
    assert np.array_equal(frames_array(list(images)), images)
    assert np.array_equal(as_frames(tuple(images)).numpy(), images)
    with pytest.raises(PolicyError, match="different kinds"):
        frames_array([images[0], images[1, :4]])
