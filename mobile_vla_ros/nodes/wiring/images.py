"""Camera images as they come over ROS, turned into the RGB pixels a policy reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mobile_vla_ros.errors import InputError


class ImageError(InputError):
    """An image that cannot be read; the sentence says which field is wrong."""


# bytes per pixel
_EIGHT_BIT = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "mono8": 1}
_SIXTEEN_BIT = {"rgb16": 6, "bgr16": 6, "rgba16": 8, "bgra16": 8, "mono16": 2}
_YUV422 = {
    "yuv422": "UYVY",
    "uyvy": "UYVY",
    "yuv422_yuy2": "YUYV",
    "yuyv": "YUYV",
}
# What numpy and OpenCV read here by themselves; anything else is left to cv_bridge.
ENCODINGS = (*_EIGHT_BIT, *_SIXTEEN_BIT, *_YUV422)
MAX_SIDE = 16384
# Prime, so that no row of pixels is a whole number of rows of the fingerprint.
_WORDS = 1021


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


def image_format(message) -> ImageFormat:
    """Checks a sensor_msgs/Image without touching its pixels.

    Raises:
        ImageError: zero size, a row shorter than its pixels, data of another length than
            height x step, or an encoding that neither this file nor cv_bridge can read.
    """
    height, width, step = message.height, message.width, message.step
    encoding = message.encoding
    if height == 0 or width == 0:
        raise ImageError(f"the image is {width}x{height}: a camera image needs pixels")
    if height > MAX_SIDE or width > MAX_SIDE:
        raise ImageError(f"the image is {width}x{height}: sides above {MAX_SIDE} are not read")
    pixel = _bytes_per_pixel(encoding)
    if pixel is None:
        _require_cv_bridge(encoding)
    elif step < width * pixel:
        raise ImageError(
            f"the image's step is {step} bytes, but {width} pixels of {encoding} need"
            f" {width * pixel}"
        )
    if encoding in _YUV422 and width % 2:
        raise ImageError(f"the image is {width} pixels wide: {encoding} needs an even width")
    size = len(message.data)
    if size != height * step:
        raise ImageError(
            f"the image carries {size} bytes, but height {height} x step {step} is {height * step}"
        )
    return ImageFormat(encoding, height, width, step, bool(message.is_bigendian))


def to_rgb(form: ImageFormat, data) -> np.ndarray:
    """Reads image bytes as RGB.

    Args:
        form: what `image_format` returned.
        data: any buffer of `form.size` bytes.

    Returns:
        uint8 [H,W,3] RGB, contiguous. A view on `data` where nothing has to be converted. Of
        16-bit samples the high byte is kept; YUV is read as limited-range BT.601, as cv_bridge
        does.
    """
    pixel = _bytes_per_pixel(form.encoding)
    if pixel is None:
        return _through_cv_bridge(form, data)
    rows = np.frombuffer(data, np.uint8, form.size).reshape(form.height, form.step)
    rows = rows[:, : form.width * pixel]
    if form.encoding in _YUV422:
        import cv2

        pairs = np.ascontiguousarray(rows.reshape(form.height, form.width, 2))
        return cv2.cvtColor(pairs, getattr(cv2, f"COLOR_YUV2RGB_{_YUV422[form.encoding]}"))
    if form.encoding in _SIXTEEN_BIT:
        rows = rows[:, 0 if form.is_bigendian else 1 :: 2]
    pixels = rows.reshape(form.height, form.width, -1)
    name = form.encoding.rstrip("0123456789")
    if name == "mono":
        return np.repeat(pixels, 3, axis=2)
    if name == "rgb":
        return np.ascontiguousarray(pixels)
    import cv2

    code = {
        "bgr": cv2.COLOR_BGR2RGB,
        "rgba": cv2.COLOR_RGBA2RGB,
        "bgra": cv2.COLOR_BGRA2RGB,
    }[name]
    return cv2.cvtColor(np.ascontiguousarray(pixels), code)


def rgb_image(message) -> np.ndarray:
    """The RGB pixels of a sensor_msgs/Image: uint8 [H,W,3], perhaps a view on the message.

    Raises:
        ImageError: see `image_format`.
    """
    return to_rgb(image_format(message), message.data)


def decode_compressed(data) -> np.ndarray:
    """Decodes a JPEG or PNG, as sensor_msgs/CompressedImage carries it, to uint8 [H,W,3] RGB.

    Raises:
        ImageError: the bytes are no image.
    """
    import cv2

    coded = np.frombuffer(data, np.uint8)
    pixels = cv2.imdecode(coded, cv2.IMREAD_COLOR) if coded.size else None
    if pixels is None:
        raise ImageError(f"the compressed image's {coded.size} bytes are neither JPEG nor PNG")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def fingerprint(data) -> int:
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


def _bytes_per_pixel(encoding: str) -> int | None:
    if encoding in _YUV422:
        return 2
    return _EIGHT_BIT.get(encoding) or _SIXTEEN_BIT.get(encoding)


def _require_cv_bridge(encoding: str):
    try:
        import cv_bridge
    except ImportError:
        raise ImageError(
            f"image encoding '{encoding}' is not read here: publish one of {', '.join(ENCODINGS)},"
            " or install cv_bridge"
        ) from None
    return cv_bridge


def _through_cv_bridge(form: ImageFormat, data) -> np.ndarray:
    cv_bridge = _require_cv_bridge(form.encoding)
    from sensor_msgs.msg import Image

    message = Image(
        height=form.height,
        width=form.width,
        encoding=form.encoding,
        step=form.step,
        is_bigendian=int(form.is_bigendian),
        data=bytes(data),
    )
    try:
        return cv_bridge.CvBridge().imgmsg_to_cv2(message, "rgb8")
    except cv_bridge.CvBridgeError as error:
        raise ImageError(
            f"cv_bridge cannot read image encoding '{form.encoding}': {error}"
        ) from error
