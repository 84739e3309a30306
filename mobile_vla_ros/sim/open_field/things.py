"""The things that an instruction can name: five kinds in six colours, some pairs kept back."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mobile_vla_ros.sim import textures

# m; the outline is a circle round the axis.
RADIUS = {"bottle": 0.06, "basket": 0.15, "cone": 0.13, "ball": 0.12, "bin": 0.13}
HEIGHT = {"bottle": 0.34, "basket": 0.20, "cone": 0.40, "ball": 0.24, "bin": 0.38}
KINDS = tuple(RADIUS)
# Ranges of hue, saturation and value; no two colours overlap, whatever the light.
_HUES = {
    "green": ((0.33, 0.40), (0.75, 0.95), (0.45, 0.70)),
    "grey": ((0.0, 1.0), (0.0, 0.05), (0.42, 0.58)),
    "orange": ((0.055, 0.075), (0.90, 1.0), (0.90, 1.0)),
    "blue": ((0.58, 0.63), (0.80, 0.95), (0.60, 0.85)),
    "red": ((-0.02, 0.01), (0.85, 0.95), (0.65, 0.85)),
    "yellow": ((0.145, 0.165), (0.85, 0.95), (0.85, 1.0)),
}
COLOURS = tuple(_HUES)


@dataclass(frozen=True)
class Thing:
    """One thing on the floor: its kind, its colour and where its axis stands (m, field frame)."""

    kind: str
    colour: str
    x: float = 0.0
    y: float = 0.0

    @property
    def name(self) -> str:
        """As a table and a scenario's name call it: ``grey basket``."""
        return f"{self.colour} {self.kind}"

    @property
    def radius(self) -> float:
        """m."""
        return RADIUS[self.kind]

    @property
    def height(self) -> float:
        """m."""
        return HEIGHT[self.kind]

    def distance(self, x: float, y: float) -> float:
        """From a point to the thing's outline, m; 0 inside."""
        return max(math.hypot(x - self.x, y - self.y) - self.radius, 0.0)


# (colour, kind): never in an episode that is collected, neither as target nor beside one.
KEPT_PAIRS = (
    ("red", "bottle"),
    ("green", "cone"),
    ("blue", "basket"),
    ("grey", "ball"),
    ("yellow", "bin"),
)
PAIRS = tuple(
    (colour, kind) for colour in COLOURS for kind in KINDS if (colour, kind) not in KEPT_PAIRS
)


def thing_mjcf(thing: Thing, index: int, rng: np.random.Generator) -> str:
    """MJCF of one thing: an unseen cylinder that is touched, and what it looks like."""
    r, tall = thing.radius, thing.height
    paint = _rgba(textures.colour(rng, *_HUES[thing.colour]))
    parts = _LOOKS[thing.kind](r, tall, paint, rng)
    looks = "".join(
        f'\n      <geom type="{kind}" size="{size}" pos="0 0 {height}" rgba="{colour}" '
        f'contype="0" conaffinity="0"/>'
        for kind, size, height, colour in parts
    )
    return f"""
    <geom type="cylinder" size="{r * 1.25} 0.0005" pos="{thing.x} {thing.y} 0.001"
      rgba="0.05 0.04 0.03 0.35" contype="0" conaffinity="0"/>
    <geom name="thing{index}" type="cylinder" size="{r} {tall / 2}"
      pos="{thing.x} {thing.y} {tall / 2}" group="3" rgba="0 0 0 0"/>
    <body pos="{thing.x} {thing.y} 0" euler="0 0 {rng.uniform(0, 360)}">{looks}
    </body>"""


# geom type, size, height of its middle, colour
_Part = tuple[str, str, float, str]
_DARK = "0.08 0.08 0.08 1"
_WHITE = "0.92 0.92 0.9 1"


def _bottle(r: float, tall: float, paint: str, rng: np.random.Generator) -> list[_Part]:
    body = 0.64 * tall
    return [
        ("cylinder", f"{r} {body / 2}", body / 2, paint),
        ("cylinder", f"{r * 1.02} {0.10 * tall}", 0.36 * tall, _WHITE),
        ("ellipsoid", f"{r} {r} {0.19 * tall}", body, paint),
        ("cylinder", f"{r * 0.36} {0.07 * tall}", 0.87 * tall, paint),
        ("cylinder", f"{r * 0.42} {0.035 * tall}", 0.965 * tall, _WHITE),
    ]


def _basket(r: float, tall: float, paint: str, rng: np.random.Generator) -> list[_Part]:
    rim = tall / 10
    bands: list[_Part] = [
        ("cylinder", f"{r * 0.93} 0.004", tall * share, _DARK) for share in (0.3, 0.5, 0.7)
    ]
    return [
        ("cylinder", f"{r * 0.92} {tall / 2 - rim}", tall / 2 - rim, paint),
        ("cylinder", f"{r} {rim}", tall - rim, paint),
        ("cylinder", f"{r * 0.85} 0.002", tall + 0.001, _DARK),
        *bands,
    ]


def _cone(r: float, tall: float, paint: str, rng: np.random.Generator) -> list[_Part]:
    slices = 10
    parts: list[_Part] = [("box", f"{r} {r} 0.012", 0.012, paint)]
    for index in range(slices):
        share = 1 - (index + 0.5) / slices
        colour = _WHITE if index in (4, 5) else paint
        height = 0.024 + (tall - 0.024) * (index + 0.5) / slices
        size = f"{0.82 * r * share + 0.012} {(tall - 0.024) / slices / 2}"
        parts.append(("cylinder", size, height, colour))
    return parts


def _ball(r: float, tall: float, paint: str, rng: np.random.Generator) -> list[_Part]:
    return [("sphere", f"{r}", r, paint)]


def _bin(r: float, tall: float, paint: str, rng: np.random.Generator) -> list[_Part]:
    return [
        ("cylinder", f"{r * 0.95} {0.42 * tall}", 0.42 * tall, paint),
        ("cylinder", f"{r} {0.03 * tall}", 0.86 * tall, _DARK),
        ("ellipsoid", f"{r} {r} {0.11 * tall}", 0.89 * tall, paint),
    ]


_LOOKS = {"bottle": _bottle, "basket": _basket, "cone": _cone, "ball": _ball, "bin": _bin}


def _rgba(colour: np.ndarray) -> str:
    return " ".join(f"{value:.4f}" for value in colour) + " 1"
