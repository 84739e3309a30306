"""What every field stands in: floor, walls and lamps, as MJCF."""

from __future__ import annotations

import numpy as np

WALL_HEIGHT = 2.4  # m
UNTOUCHED = 'contype="0" conaffinity="0"'
"""Of what is seen only: the robot drives through it."""
GROUND_SHADE = f'rgba="0.05 0.04 0.03 0.35" {UNTOUCHED}'
"""A soft dark patch under a thing: it stands on the floor even without shadow maps."""


def grey(level: float) -> str:
    """A level as red, green and blue."""
    return f"{level} {level} {level}"


def shell(room: tuple[float, float, float, float], skirting: str) -> str:
    """Floor and walls.

    Args:
        room: x_min, x_max, y_min, y_max, m.
        skirting: colour of the skirting board, red, green, blue, alpha.
    """
    x_min, x_max, y_min, y_max = room
    middle_x, middle_y = (x_min + x_max) / 2, (y_min + y_max) / 2
    half_x, half_y = (x_max - x_min) / 2, (y_max - y_min) / 2
    h = WALL_HEIGHT / 2
    walls = {
        "front": (x_max + 0.05, middle_y, 0.05, half_y + 0.1),
        "back": (x_min - 0.05, middle_y, 0.05, half_y + 0.1),
        "left": (middle_x, y_max + 0.05, half_x, 0.05),
        "right": (middle_x, y_min - 0.05, half_x, 0.05),
    }
    parts = [
        f"""
    <geom name="floor" type="plane" size="{half_x} {half_y} 0.1" pos="{middle_x} {middle_y} 0"
      material="floor" condim="1"/>"""
    ]
    for name, (x, y, size_x, size_y) in walls.items():
        parts.append(
            f"""
    <geom name="wall_{name}" type="box" size="{size_x} {size_y} {h}" pos="{x} {y} {h}"
      material="wall"/>
    <geom type="box" size="{size_x + 0.008} {size_y + 0.008} 0.04" pos="{x} {y} 0.04"
      rgba="{skirting}" {UNTOUCHED}/>"""
        )
    return "".join(parts)


def lamps(
    room: tuple[float, float, float, float],
    rng: np.random.Generator,
    coldest: float,
    light: float = 1.0,
) -> str:
    """Two lamps at drawn places.

    Args:
        room: x_min, x_max, y_min, y_max, m.
        rng: draws them.
        coldest: least share of blue in their light; 1 is white.
        light: how bright they are, times the usual.
    """
    x_min, x_max, y_min, y_max = room
    parts = []
    for _ in range(2):
        x, y = rng.uniform(x_min + 0.3, x_max - 0.3), rng.uniform(y_min + 0.4, y_max - 0.4)
        blue, level = rng.uniform(coldest, 1.0), light * rng.uniform(0.28, 0.45)
        parts.append(
            f"""
    <light pos="{x} {y} 2.3" dir="{0.1 * rng.standard_normal()} {0.1 * rng.standard_normal()} -1"
      diffuse="{level} {level * (0.5 + blue / 2)} {level * blue}" specular="0.1 0.1 0.1"
      attenuation="1 0 0" cutoff="90" exponent="0" castshadow="true"/>"""
        )
    return "".join(parts)
