"""Writes small episodes whose commands and pictures are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mobile_vla_ros.episodes import EpisodeWriter

INSTRUCTION = "Navigate around obstacles and reach the front of the beverage bottle on the {side}"


def write_episode(
    folder: Path,
    number: int,
    side: str = "left",
    frames: int = 12,
    period: float = 0.4,
    images: np.ndarray | None = None,
    instruction: str | None = None,
) -> Path:
    """An episode whose commands turn to ``side`` and whose frames show a moving square."""
    rng = np.random.default_rng(number)
    path = folder / f"episode_20250101_0000{number:02d}_1box_{side}.h5"
    sign = 1.0 if side == "left" else -1.0
    with EpisodeWriter(
        path,
        scenario=f"1box_{side}",
        instruction=INSTRUCTION.format(side=side) if instruction is None else instruction,
        frame_period=0.4,
        image_format="raw",
        flush=False,
    ) as writer:
        for row in range(frames):
            if images is None:
                image = np.full((48, 64, 3), 60 + 10 * (number % 5), np.uint8)
                left = 8 + 2 * row if side == "left" else 48 - 2 * row
                image[20:36, left : left + 10] = rng.integers(100, 255, 3)
            else:
                image = images[row]
            turn = sign * (0.4 if 3 <= row < 7 else 0.0)
            writer.append(
                image=image,
                action=np.array([0.3, 0.0, turn], np.float32),
                image_stamp=100.0 + row * period,
                received_stamp=100.0 + row * period,
                action_stamp=100.0 + row * period,
            )
        writer.finish(outcome="success")
    return path
