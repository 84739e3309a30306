"""Procedural textures, drawn from a generator: floors, walls, cardboard, labels."""

from __future__ import annotations

import colorsys
from itertools import pairwise

import cv2
import numpy as np

NOT_GREEN = (0.52, 1.2)  # hues round the circle, leaving green to the bottle


FLOORS = ("planks", "tiles", "carpet", "concrete")


def floor(rng: np.random.Generator, given: str | None = None) -> np.ndarray:
    """uint8 [256, 256, 3]: one of `FLOORS`, drawn if not given; one square metre of it."""
    size = 256
    kind = int(rng.integers(4)) if given is None else FLOORS.index(given)
    if kind == 0:  # planks
        base = _colour(rng, (0.06, 0.10), (0.25, 0.5), (0.40, 0.7))
        image = np.empty((size, size, 3))
        rows = int(rng.integers(5, 9))
        edges = np.linspace(0, size, rows + 1).astype(int)
        for top, bottom in pairwise(edges):
            image[top:bottom] = base * rng.uniform(0.85, 1.1)
            image[top : top + 2] *= 0.7
            cut = int(rng.integers(size))
            image[top:bottom, cut : cut + 2] *= 0.7
        grain = _noise(rng, size, 4)[:, :1].repeat(size, 1) + _noise(rng, size, 32)
        return _bytes(image * (1 + 0.06 * grain[..., None]))
    if kind == 1:  # tiles
        base = _colour(rng, (0.05, 0.65), (0.02, 0.12), (0.6, 0.88))
        image = np.ones((size, size, 3)) * base
        count = int(rng.integers(2, 4))
        step = size // count
        for i in range(count):
            for j in range(count):
                image[i * step : (i + 1) * step, j * step : (j + 1) * step] *= rng.uniform(
                    0.94, 1.04
                )
        joint = rng.uniform(0.6, 0.85)
        for i in range(count):
            image[i * step : i * step + 3] *= joint
            image[:, i * step : i * step + 3] *= joint
        return _bytes(image * (1 + 0.02 * _noise(rng, size, 64)[..., None]))
    if kind == 2:  # carpet
        base = _colour(rng, (0.55, 0.70), (0.05, 0.30), (0.3, 0.6))
        return _bytes(base * (1 + 0.10 * rng.standard_normal((size, size, 1))))
    base = _colour(rng, (0.05, 0.15), (0.02, 0.10), (0.45, 0.75))  # concrete
    rough = 0.10 * _noise(rng, size, 6) + 0.04 * rng.standard_normal((size, size))
    return _bytes(base * (1 + rough[..., None]))


def chequered(rng: np.random.Generator) -> np.ndarray:
    """uint8 [256, 256, 3]: a floor of light and dark squares."""
    light = _colour(rng, (0.05, 0.65), (0.02, 0.08), (0.7, 0.9))
    squares = np.kron(np.indices((4, 4)).sum(0) % 2, np.ones((64, 64)))[..., None]
    image = light * (1 - rng.uniform(0.35, 0.6) * squares)
    return _bytes(image * (1 + 0.02 * _noise(rng, 256, 64)[..., None]))


def wall(
    rng: np.random.Generator,
    hue: tuple[float, float] = NOT_GREEN,
    value: tuple[float, float] = (0.65, 0.95),
) -> np.ndarray:
    """uint8 [128, 128, 3]: paint with a little unevenness."""
    base = _colour(rng, hue, (0.02, 0.16), value)
    return _bytes(base * (1 + 0.03 * _noise(rng, 128, 5)[..., None]))


def poster(rng: np.random.Generator) -> np.ndarray:
    """uint8 [64, 64, 3]: a picture of blocks in muted colours."""
    image = np.ones((64, 64, 3)) * _colour(rng, NOT_GREEN, (0.0, 0.2), (0.7, 0.95))
    for _ in range(int(rng.integers(3, 8))):
        top, left = rng.integers(4, 44, 2)
        high, wide = rng.integers(6, 18, 2)
        muted = _colour(rng, NOT_GREEN, (0.1, 0.3), (0.3, 0.8))
        image[top : top + high, left : left + wide] = muted
    image[:3] = image[-3:] = image[:, :3] = image[:, -3:] = 0.2
    return _bytes(image)


def cardboard(rng: np.random.Generator, lid: bool) -> np.ndarray:
    """uint8 [128, 128, 3]: a face of a carton, with tape; a side has a print, the lid a seam."""
    size = 128
    base = _colour(rng, (0.070, 0.090), (0.42, 0.55), (0.58, 0.76))
    image = np.ones((size, size, 3)) * base
    image *= (
        1 + 0.04 * _noise(rng, size, 8)[..., None] + 0.02 * rng.standard_normal((size, size, 1))
    )
    image[:, ::4] *= 0.985  # the flutes show through
    tape = _colour(rng, (0.09, 0.12), (0.15, 0.35), (0.72, 0.88))
    middle = size // 2
    if lid:
        image[:, middle - 9 : middle + 9] = 0.35 * image[:, middle - 9 : middle + 9] + 0.65 * tape
        image[:, middle - 1 : middle + 1] *= 0.6
    else:
        image[:26, middle - 9 : middle + 9] = (
            0.4 * image[:26, middle - 9 : middle + 9] + 0.6 * tape
        )
        left, top = rng.integers(10, 30), rng.integers(60, 80)
        for line in range(3):
            wide = int(rng.integers(12, 34))
            image[top + 7 * line : top + 7 * line + 3, left : left + wide] *= 0.45
        image[84:106, 92:114] *= 0.82
    image[:2] *= 0.7
    image[-2:] *= 0.7
    image[:, :2] *= 0.7
    image[:, -2:] *= 0.7
    return _bytes(image)


def label(rng: np.random.Generator, base: np.ndarray) -> np.ndarray:
    """uint8 [32, 64, 3]: a bottle's paper label with a band and writing."""
    image = np.ones((32, 64, 3)) * base
    image[3:6] = image[-6:-3] = 0.95
    for left in range(2, 64, 16):
        image[11:20, left : left + 11] = 0.97
        image[13:18:2, left + 2 : left + 9] = base * 0.6
    return _bytes(image)


def colour(
    rng: np.random.Generator,
    hue: tuple[float, float],
    saturation: tuple[float, float],
    value: tuple[float, float],
) -> np.ndarray:
    """float64 [3] RGB in [0, 1], drawn evenly from ranges of hue, saturation and value."""
    drawn = [rng.uniform(*bounds) for bounds in (hue, saturation, value)]
    return np.array(colorsys.hsv_to_rgb(drawn[0] % 1.0, drawn[1], drawn[2]))


_colour = colour


def _noise(rng: np.random.Generator, size: int, cells: int) -> np.ndarray:
    """Smooth noise of about unit spread, [size, size]."""
    coarse = rng.standard_normal((cells, cells)).astype(np.float32)
    return cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC).astype(np.float64)


def _bytes(image: np.ndarray) -> np.ndarray:
    return np.clip(image * 255.0, 0, 255).astype(np.uint8)
