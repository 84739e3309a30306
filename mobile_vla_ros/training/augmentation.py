"""Changed copies of a window: colour, blur, crop, shift, and the mirror with all it entails.

One transform is drawn per window (or per view of an episode) and used for all its frames, so that
motion between frames stays what it was.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mobile_vla_ros.training.run_schema import AugmentationSettings

# What changes sign when left and right change places (REP-103: x forward, y left, z up).
MIRRORED_AXES = ("linear.y", "angular.z", "angular.x")
MIRRORED_ODOMETRY = (1, 2, 4, 5)  # of x, y, yaw, vx, vy, wz, stamp

_ENGLISH = re.compile(r"(?<![A-Za-z])(left|right)(?![A-Za-z])", re.IGNORECASE)
_KOREAN = re.compile(
    "왼쪽|오른쪽|왼편|오른편|좌측|우측|좌회전|우회전|(?<![가-힣])[좌우](?![가-힣])"
)
_KOREAN_PARTICLE = re.compile("(?<![가-힣])([좌우])(?=로|측|편|쪽|회전)")
_KOREAN_SWAP = {
    "왼쪽": "오른쪽",
    "오른쪽": "왼쪽",
    "왼편": "오른편",
    "오른편": "왼편",
    "좌측": "우측",
    "우측": "좌측",
    "좌회전": "우회전",
    "우회전": "좌회전",
    "좌": "우",
    "우": "좌",
}


@dataclass(frozen=True)
class Transform:
    """One drawn change, the same for every frame of a window.

    Attributes:
        mirror: flip left and right.
        gain: per RGB channel, multiplies.
        contrast: around the middle grey, multiplies.
        brightness: adds, in grey levels (0 to 255).
        saturation: 1 leaves it, 0 is grey.
        blur: standard deviation in pixels, 0 is off.
        scale: share of the picture that is kept (1 keeps all), cut out and enlarged.
        offset: where it is cut out or moved to, as (column, row) shares of the picture.
        other_order: asked for something else that stands in a simulated field: which, as a share
            (0 to 1) of what could be asked for; None: as recorded.
    """

    mirror: bool = False
    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    contrast: float = 1.0
    brightness: float = 0.0
    saturation: float = 1.0
    blur: float = 0.0
    scale: float = 1.0
    offset: tuple[float, float] = (0.0, 0.0)
    other_order: float | None = None


IDENTITY = Transform()


def draw_transform(settings: AugmentationSettings, rng: np.random.Generator) -> Transform:
    """Draws one transform; the number of random values drawn does not depend on the settings."""
    mirror, blur = rng.random(2)
    gain = rng.uniform(-1, 1, 3)
    contrast, brightness, saturation, crop = rng.uniform(-1, 1, 4)
    place = rng.uniform(-1, 1, 2)
    asked, which = rng.random(2)
    c = settings.colour
    scale = 1 - settings.crop * abs(crop)
    room = (1 - scale) / 2 + settings.shift
    red, green, blue = (float(1 + 0.5 * c * value) for value in gain)
    return Transform(
        mirror=bool(mirror < settings.mirror),
        gain=(red, green, blue),
        contrast=float(1 + c * contrast),
        brightness=float(64 * c * brightness),
        saturation=float(max(0.0, 1 + 2 * c * saturation)),
        blur=float(settings.blur * max(0.0, 2 * blur - 1)),
        scale=float(scale),
        offset=(float(room * place[0]), float(room * place[1])),
        other_order=float(which) if asked < settings.other_orders else None,
    )


def transform_images(images: np.ndarray, transform: Transform) -> np.ndarray:
    """Changes frames.

    Args:
        images: uint8 [N, H, W, 3] RGB.
        transform: what to do.

    Returns:
        uint8 [N, H, W, 3]; the same array when the transform changes nothing.
    """
    if transform == IDENTITY:
        return images
    import cv2

    height, width = images.shape[1:3]
    result = images[:, :, ::-1] if transform.mirror else images
    moved = transform.scale != 1 or transform.offset != (0.0, 0.0)
    if moved:
        # The mirror comes first, so an offset means the same on both sides.
        left = width * ((1 - transform.scale) / 2 + transform.offset[0])
        top = height * ((1 - transform.scale) / 2 + transform.offset[1])
        matrix = np.array([[transform.scale, 0, left], [0, transform.scale, top]])
        result = np.stack(
            [
                cv2.warpAffine(
                    np.ascontiguousarray(image),
                    matrix,
                    (width, height),
                    flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                    borderMode=cv2.BORDER_REPLICATE,
                )
                for image in result
            ]
        )
    if transform.blur > 0:
        result = np.stack(
            [cv2.GaussianBlur(np.ascontiguousarray(i), (0, 0), transform.blur) for i in result]
        )
    coloured = (
        transform.gain != (1.0, 1.0, 1.0)
        or transform.contrast != 1
        or transform.brightness != 0
        or transform.saturation != 1
    )
    if coloured:
        s = transform.saturation
        grey = np.array([0.299, 0.587, 0.114])
        # One 3 x 4 matrix: saturation, then gain and contrast, then brightness.
        mix = s * np.eye(3) + (1 - s) * np.tile(grey, (3, 1))
        mix = transform.contrast * np.diag(transform.gain) @ mix
        shift = 128 * (1 - transform.contrast) + transform.brightness
        matrix = np.concatenate([mix, np.full((3, 1), shift)], axis=1).astype(np.float32)
        result = np.stack([cv2.transform(np.ascontiguousarray(i), matrix) for i in result])
    return np.ascontiguousarray(result)


def transform_places(places: np.ndarray, transform: Transform) -> np.ndarray:
    """Where points of a picture are after a transform: [..., 2], column and row as shares."""
    moved = np.array(places, copy=True)
    if transform.mirror:
        moved[..., 0] = 1 - moved[..., 0]
    for axis in (0, 1):
        edge = (1 - transform.scale) / 2 + transform.offset[axis]
        moved[..., axis] = (moved[..., axis] - edge) / transform.scale
    return moved


def mirror_velocities(velocities: np.ndarray, axes: Sequence[str]) -> np.ndarray:
    """Velocities [..., len(axes)] in m/s and rad/s as the mirrored robot would drive them.

    To be done before normalisation: with limits that are not symmetric a normalised value does
    not mirror by its sign.
    """
    signs = np.array([-1.0 if axis in MIRRORED_AXES else 1.0 for axis in axes])
    # + 0.0 turns the negative zeros of a standing robot into plain ones.
    return (velocities * signs + 0.0).astype(np.asarray(velocities).dtype)


def mirror_odometry(odometry: np.ndarray) -> np.ndarray:
    """Odometry [..., 7] (x, y, yaw, vx, vy, wz, stamp) as the mirrored robot would report it."""
    mirrored = np.array(odometry, copy=True)
    mirrored[..., list(MIRRORED_ODOMETRY)] = -mirrored[..., list(MIRRORED_ODOMETRY)] + 0.0
    return mirrored


def mirror_text(text: str) -> str:
    """Swaps left and right in an instruction or a scenario name, English and Korean.

    >>> mirror_text("Go to the bottle on the Left")
    'Go to the bottle on the Right'
    >>> mirror_text("1box_left_close")
    '1box_right_close'
    """

    def swap_english(match: re.Match[str]) -> str:
        word = match.group(0)
        other = "right" if word.lower() == "left" else "left"
        if word.isupper():
            return other.upper()
        return other.capitalize() if word[0].isupper() else other

    text = _ENGLISH.sub(swap_english, text)
    parts = []
    end = 0
    for match in re.finditer(f"{_KOREAN.pattern}|{_KOREAN_PARTICLE.pattern}", text):
        parts += [text[end : match.start()], _KOREAN_SWAP[match.group(0)]]
        end = match.end()
    return "".join([*parts, text[end:]])


def one_sided(sides: Sequence[str | None]) -> bool:
    """Whether all episodes that name a side name the same one.

    Such a run asks how a policy trained on one side does on the other; the mirror would give the
    answer away.
    """
    return len({side for side in sides if side}) == 1
