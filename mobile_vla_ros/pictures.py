"""Pictures as bytes: what a camera's message carries, JPEG and PNG, turned into RGB and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mobile_vla_ros.errors import InputError

MAX_SIDE = 16384
LARGEST = 256 << 20
"""Bytes of one picture, raw or compressed, for which everybody here has room."""
# The frame header of a JPEG stands within so many bytes, unless a large preview comes first.
_HEADER = 4096
# Prime, so that no row of pixels is a whole number of rows of the fingerprint.
_WORDS = 1021


class ImageError(InputError):
    """An image that cannot be read; the sentence says which field is wrong."""


def _converted(code: str) -> Callable[[np.ndarray], np.ndarray]:
    """A conversion of OpenCV's, by the name that follows ``cv2.COLOR_``."""

    def convert(samples: np.ndarray) -> np.ndarray:
        import cv2

        return cv2.cvtColor(np.ascontiguousarray(samples), getattr(cv2, f"COLOR_{code}"))

    return convert


@dataclass(frozen=True)
class Encoding:
    """How the pixels of one encoding of sensor_msgs/Image are read.

    Attributes:
        pixel: bytes per pixel.
        convert: uint8 [H, W, samples per pixel] -> uint8 [H, W, 3] RGB, contiguous.
        sample: bytes per sample; of two, only the high one is handed to ``convert``.
        pairs: two neighbouring pixels share their colour, so the width must be even.
    """

    pixel: int
    convert: Callable[[np.ndarray], np.ndarray]
    sample: int = 1
    pairs: bool = False


# YUV is read as limited-range BT.601, as cv_bridge does.
ENCODINGS: dict[str, Encoding] = {
    "rgb8": Encoding(3, np.ascontiguousarray),
    "bgr8": Encoding(3, _converted("BGR2RGB")),
    "rgba8": Encoding(4, _converted("RGBA2RGB")),
    "bgra8": Encoding(4, _converted("BGRA2RGB")),
    "mono8": Encoding(1, _converted("GRAY2RGB")),
    "rgb16": Encoding(6, np.ascontiguousarray, sample=2),
    "bgr16": Encoding(6, _converted("BGR2RGB"), sample=2),
    "rgba16": Encoding(8, _converted("RGBA2RGB"), sample=2),
    "bgra16": Encoding(8, _converted("BGRA2RGB"), sample=2),
    "mono16": Encoding(2, _converted("GRAY2RGB"), sample=2),
    "yuv422": Encoding(2, _converted("YUV2RGB_UYVY"), pairs=True),
    "uyvy": Encoding(2, _converted("YUV2RGB_UYVY"), pairs=True),
    "yuv422_yuy2": Encoding(2, _converted("YUV2RGB_YUYV"), pairs=True),
    "yuyv": Encoding(2, _converted("YUV2RGB_YUYV"), pairs=True),
}
"""Every encoding that is read; a new one is one line here."""


# How the files begin and end, and in how many bytes before their end the latter is looked for.
_JPEG, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_PNG, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND"
_TAIL = 64


@dataclass(frozen=True)
class ImageFormat:
    """How the bytes of a sensor_msgs/Image are to be read."""

    encoding: str
    height: int
    width: int
    step: int
    is_bigendian: bool = False

    @property
    def size(self) -> int:
        """Bytes of image data."""
        return self.height * self.step


def image_format(message: Any, foreign: bool = False) -> ImageFormat:
    """Checks a sensor_msgs/Image without touching its pixels.

    Args:
        message: anything with that message's fields.
        foreign: somebody else can read an encoding that is not in ``ENCODINGS``.

    Raises:
        ImageError: zero size, a row shorter than its pixels, data of another length than
            height x step, an encoding that is not read, or more bytes than ``LARGEST``.
    """
    height, width, step = message.height, message.width, message.step
    name = message.encoding
    if height == 0 or width == 0:
        raise ImageError(f"the image is {width}x{height}: a camera image needs pixels")
    if height > MAX_SIDE or width > MAX_SIDE:
        raise ImageError(f"the image is {width}x{height}: sides above {MAX_SIDE} are not read")
    encoding = ENCODINGS.get(name)
    if encoding is None:
        if not foreign:
            raise ImageError(
                f"image encoding '{name}' is not read here: use one of {', '.join(ENCODINGS)}"
            )
    elif step < width * encoding.pixel:
        raise ImageError(
            f"the image's step is {step} bytes, but {width} pixels of {name} need"
            f" {width * encoding.pixel}"
        )
    elif encoding.pairs and width % 2:
        raise ImageError(f"the image is {width} pixels wide: {name} needs an even width")
    size = len(message.data)
    if size != height * step:
        raise ImageError(
            f"the image carries {size} bytes, but height {height} x step {step} is {height * step}"
        )
    check_size(size)
    return ImageFormat(name, height, width, step, bool(message.is_bigendian))


def check_size(size: int) -> None:
    """Checks that there is room for a picture of ``size`` bytes.

    Raises:
        ImageError: there is not.
    """
    if size > LARGEST:
        raise ImageError(
            f"the image has {size} bytes: more than {LARGEST} are not read; let the camera publish"
            " smaller ones"
        )


def to_rgb(form: ImageFormat, data: Any) -> np.ndarray:
    """Reads image bytes as RGB.

    Args:
        form: what `image_format` returned, of an encoding in ``ENCODINGS``.
        data: any buffer of `form.size` bytes.

    Returns:
        uint8 [H,W,3] RGB, contiguous. A view on `data` where nothing has to be converted. Of
        16-bit samples the high byte is kept.
    """
    encoding = ENCODINGS[form.encoding]
    rows = np.frombuffer(data, np.uint8, form.size).reshape(form.height, form.step)
    rows = rows[:, : form.width * encoding.pixel]
    if encoding.sample == 2:
        rows = rows[:, 0 if form.is_bigendian else 1 :: 2]
    return encoding.convert(rows.reshape(form.height, form.width, -1))


def rgb_image(message: Any) -> np.ndarray:
    """The RGB pixels of a sensor_msgs/Image: uint8 [H,W,3], perhaps a view on the message.

    Raises:
        ImageError: see `image_format`.
    """
    return to_rgb(image_format(message), message.data)


def check_compressed(data: Any, kind: str = "") -> None:
    """Checks that a JPEG or PNG is there from its beginning to its end, without decoding it.

    Args:
        data: any buffer of bytes; zeros behind the end are padding.
        kind: what its sender calls it, for the sentence.

    Raises:
        ImageError: it is empty, cut off, too large, or neither JPEG nor PNG.
    """
    view = memoryview(data).cast("B")
    check_size(len(view))
    if not len(view):
        raise ImageError("the compressed image is empty")
    head, tail = bytes(view[: len(_PNG)]), bytes(view[-_TAIL:])
    if not tail.strip(b"\0"):
        tail = bytes(view).rstrip(b"\0")[-_TAIL:]
    if head.startswith(_JPEG):
        whole = _JPEG_END in tail
    elif head == _PNG:
        whole = _PNG_END in tail
    else:
        raise ImageError(
            f"the compressed image's {len(view)} bytes are neither JPEG nor PNG"
            + (f" (its format is '{kind}')" if kind else "")
        )
    if not whole:
        raise ImageError(f"the compressed image is cut off after {len(view)} bytes")


def decode_compressed(data: Any) -> np.ndarray:
    """Decodes a JPEG or PNG, as sensor_msgs/CompressedImage carries it, to uint8 [H,W,3] RGB.

    Args:
        data: any buffer of bytes.

    Raises:
        ImageError: the bytes are no image.
    """
    import cv2

    coded = np.frombuffer(data, np.uint8)
    try:
        pixels = cv2.imdecode(coded, cv2.IMREAD_COLOR) if coded.size else None
    except cv2.error:  # a header that promises more pixels than OpenCV takes
        pixels = None
    if pixels is None:
        raise ImageError(f"the compressed image's {coded.size} bytes are neither JPEG nor PNG")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def is_grey(data: Any) -> bool:
    """Whether a JPEG or PNG holds one channel; read from its header, in microseconds.

    What is neither is not grey.
    """
    head = bytes(memoryview(data)[:_HEADER])
    if head.startswith(b"\x89PNG"):
        return len(head) > 25 and head[25] in (0, 4)
    if not head.startswith(b"\xff\xd8"):
        return False
    at = 2
    while at + 9 < len(head) and head[at] == 0xFF:
        kind, length = head[at + 1], int.from_bytes(head[at + 2 : at + 4], "big")
        # Frame headers, but for the tables that have their numbers among them.
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            return head[at + 9] == 1
        at += 2 + length
    return False


def encode_jpeg(image: np.ndarray, quality: int = 95, full_colour: bool = False) -> bytes:
    """uint8 [H,W,3] RGB as JPEG bytes.

    Args:
        image: the picture.
        quality: 1 to 100.
        full_colour: keeps the colour of every pixel (4:4:4), as small pictures need; else four
            pixels share theirs.

    Raises:
        ImageError: a picture that JPEG cannot hold, such as one without pixels.
    """
    import cv2

    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    if full_colour:
        options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return _encoded(".jpg", image, options)


def encode_png(image: np.ndarray, compression: int = 1) -> bytes:
    """uint8 [H,W,3] RGB as PNG bytes.

    Args:
        image: the picture.
        compression: 0 (quick) to 9 (small); none loses anything. At 1 a frame of 224 x 224 takes
            a millisecond.

    Raises:
        ImageError: a picture without pixels.
    """
    import cv2

    return _encoded(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, compression])


def _encoded(kind: str, image: np.ndarray, options: list[int]) -> bytes:
    import cv2

    try:
        bgr = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2BGR)
        done, data = cv2.imencode(kind, bgr, options)
    except cv2.error:
        done = False
    if not done:
        raise ImageError(f"a picture of shape {list(image.shape)} cannot be made a {kind} file")
    return data.tobytes()


def fingerprint(data: Any) -> int:
    """A cheap number that changes when the picture does, to notice a camera that has frozen.

    It holds within one process only.

    Args:
        data: any buffer of bytes.
    """
    everything = np.frombuffer(data, np.uint8)
    words = everything[: everything.size & ~7].view(np.uint64)
    rows = words.size // _WORDS
    table = words[: rows * _WORDS].reshape(rows, _WORDS)
    # One sum over everything would not see a picture that moves: the same bytes, elsewhere. A sum
    # for each column of a table tells where they are, in the same time.
    sums = np.add.reduce(table, axis=0)
    return hash((sums.tobytes(), everything[table.nbytes :].tobytes()))
