"""Bytes to RGB and back, whatever their encoding."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from mobile_vla_ros.pictures import (
    ENCODINGS,
    ImageError,
    check_compressed,
    decode_compressed,
    encode_jpeg,
    encode_png,
    fingerprint,
    rgb_image,
)

RGB = np.random.default_rng(0).integers(0, 255, (6, 8, 3), dtype=np.uint8)


def message(
    encoding: str, rows: np.ndarray, width: int, padding: int = 0, bigendian=False
) -> SimpleNamespace:
    """Rows are bytes [H, n]; `padding` bytes of rubbish follow each."""
    padded = np.concatenate([rows, np.full((len(rows), padding), 99, np.uint8)], axis=1)
    return SimpleNamespace(
        height=len(rows),
        width=width,
        encoding=encoding,
        step=padded.shape[1],
        is_bigendian=int(bigendian),
        data=padded.tobytes(),
    )


def with_alpha(image: np.ndarray) -> np.ndarray:
    return np.concatenate([image, np.full_like(image[..., :1], 7)], axis=2)


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("bigendian", [False, True])
@pytest.mark.parametrize(
    ("encoding", "pixels"),
    [
        ("rgb8", RGB),
        ("bgr8", RGB[..., ::-1]),
        ("rgba8", with_alpha(RGB)),
        ("bgra8", with_alpha(RGB[..., ::-1])),
    ],
)
def test_colour_is_read_whatever_the_order_padding_and_endianness(
    encoding, pixels, padding, bigendian
) -> None:
    image = message(encoding, np.ascontiguousarray(pixels).reshape(6, -1), 8, padding, bigendian)
    got = rgb_image(image)
    np.testing.assert_array_equal(got, RGB)
    assert got.flags.c_contiguous


def test_grey_becomes_three_equal_channels() -> None:
    grey = RGB[..., 0]
    np.testing.assert_array_equal(
        rgb_image(message("mono8", grey, 8, 3)), np.repeat(grey[..., None], 3, axis=2)
    )


@pytest.mark.parametrize("bigendian", [False, True])
def test_of_sixteen_bits_the_high_byte_is_kept(bigendian) -> None:
    wide = (RGB.astype(np.uint16) << 8) + 17
    rows = wide.astype(">u2" if bigendian else "<u2").view(np.uint8).reshape(6, -1)
    np.testing.assert_array_equal(rgb_image(message("rgb16", rows, 8, 2, bigendian)), RGB)


@pytest.mark.parametrize(
    ("encoding", "luma"), [("yuv422", 1), ("uyvy", 1), ("yuv422_yuy2", 0), ("yuyv", 0)]
)
def test_yuv_is_read_in_both_orders(encoding, luma) -> None:
    smooth = cv2.resize(RGB, (16, 12), interpolation=cv2.INTER_LINEAR)[:, ::2].repeat(2, axis=1)
    yuv = cv2.cvtColor(smooth, cv2.COLOR_RGB2YUV).astype(np.float64)
    # full range to the limited range that video carries
    y = yuv[..., 0] * 219 / 255 + 16
    u, v = ((yuv[..., i] - 128) * 224 / 255 * c + 128 for i, c in ((1, 1.147), (2, 0.8129)))
    rows = np.zeros((12, 16, 2), np.uint8)
    rows[..., luma] = y.round()
    rows[:, 0::2, 1 - luma] = u[:, ::2].clip(0, 255).round()
    rows[:, 1::2, 1 - luma] = v[:, ::2].clip(0, 255).round()
    got = rgb_image(message(encoding, rows.reshape(12, -1), 16, 4))
    assert np.abs(got.astype(int) - smooth).mean() < 6


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"height": 0}, "8x0: a camera image needs pixels"),
        ({"width": 0}, "0x6: a camera image needs pixels"),
        ({"step": 23}, "step is 23 bytes, but 8 pixels of rgb8 need 24"),
        ({"step": 30}, "carries 144 bytes, but height 6 x step 30 is 180"),
        ({"encoding": "bayer_grbg12"}, "encoding 'bayer_grbg12' is not read here"),
        ({"encoding": "yuyv", "width": 7, "step": 24}, "needs an even width"),
    ],
)
def test_a_bad_image_is_refused_with_the_field_that_is_wrong(fields, words) -> None:
    image = message("rgb8", RGB.reshape(6, -1), 8)
    for name, value in fields.items():
        setattr(image, name, value)
    with pytest.raises(ImageError, match=words):
        rgb_image(image)


def test_compressed_images_are_read_as_rgb() -> None:
    png = cv2.imencode(".png", RGB[..., ::-1])[1].tobytes()
    np.testing.assert_array_equal(decode_compressed(png), RGB)
    for broken in (b"", b"rubbish", png[:40]):
        with pytest.raises(ImageError, match="neither JPEG nor PNG"):
            decode_compressed(broken)


def test_a_png_comes_back_to_the_bit_and_a_jpeg_nearly() -> None:
    np.testing.assert_array_equal(decode_compressed(encode_png(RGB)), RGB)
    smooth = cv2.resize(RGB, (64, 48))
    assert np.abs(decode_compressed(encode_jpeg(smooth)).astype(int) - smooth).mean() < 3
    assert len(encode_jpeg(smooth, 20)) < len(encode_jpeg(smooth, 95))
    exact, thrifty = (
        np.abs(decode_compressed(encode_jpeg(RGB, 95, full_colour=full)).astype(int) - RGB).mean()
        for full in (True, False)
    )
    assert exact < thrifty


def test_what_is_no_picture_is_refused_by_its_shape() -> None:
    for broken in (np.zeros((0, 8, 3), np.uint8), np.zeros((1, 70000, 3), np.uint8)):
        with pytest.raises(ImageError, match="cannot be made"):
            encode_jpeg(broken)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_gives_contiguous_rgb(encoding: str) -> None:
    pixel = ENCODINGS[encoding].pixel
    rows = np.random.default_rng(1).integers(0, 255, (6, 8 * pixel), dtype=np.uint8)
    got = rgb_image(message(encoding, rows, 8, 4))
    assert got.shape == (6, 8, 3)
    assert got.dtype == np.uint8
    assert got.flags.c_contiguous


def test_the_fingerprint_changes_with_any_single_byte() -> None:
    data = bytearray(RGB.tobytes() + b"12345")
    seen = {fingerprint(bytes(data))}
    for index in range(len(data)):
        data[index] ^= 1
        seen.add(fingerprint(bytes(data)))
        data[index] ^= 1
    assert len(seen) > 1
    assert fingerprint(bytes(data)) in seen
    assert sum(fingerprint(_flipped(data, i)) == fingerprint(data) for i in range(len(data))) == 0


@pytest.mark.parametrize("axis", [0, 1])
def test_the_fingerprint_changes_when_the_picture_moves(axis) -> None:
    still = np.zeros((480, 640, 3), np.uint8)
    still[100:140, 200:240] = 255
    moved = [np.roll(still, 8 * step, axis) for step in range(20)]
    assert len({fingerprint(picture.tobytes()) for picture in moved}) == len(moved)


def _flipped(data: bytes, index: int) -> bytes:
    changed = bytearray(data)
    changed[index] ^= 1
    return bytes(changed)


@pytest.mark.parametrize("encode", [encode_jpeg, encode_png])
def test_a_picture_that_is_whole_is_told_from_one_that_is_cut_off(encode) -> None:
    whole = encode(np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8))
    check_compressed(whole)
    check_compressed(whole + bytes(5000))  # as cameras pad their buffers
    for length in (len(whole) // 3, len(whole) - 1 - 4 * (encode is encode_png)):
        with pytest.raises(ImageError, match="cut off after"):
            check_compressed(whole[:length])


@pytest.mark.parametrize(
    ("data", "kind", "sentence"),
    [
        (b"", "jpeg", "is empty"),
        (b"\0\0\0\1\x67" + bytes(range(256)), "h264", "neither JPEG nor PNG .*'h264'"),
        (bytes(12) + encode_png(RGB), "16UC1; compressedDepth png", "compressedDepth"),
    ],
)
def test_what_is_no_picture_is_named_with_its_format(data: bytes, kind: str, sentence) -> None:
    with pytest.raises(ImageError, match=sentence):
        check_compressed(data, kind)
