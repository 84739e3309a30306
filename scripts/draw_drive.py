"""Draws the moving picture of the README: the bundled policy told left, and told right.

    .venv/bin/python scripts/draw_drive.py [docs/pictures/drive.webp]

Both drives are in one field (`--seed`), so that only the instruction differs. Above is what the
robot sees, with the path it intends; below is where it went, from above.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

os.environ.setdefault("MUJOCO_GL", "egl")

from mobile_vla_ros.bundled import demo_policy
from mobile_vla_ros.control import integrate
from mobile_vla_ros.policy import load_policy
from mobile_vla_ros.sim.closed_loop import drive
from mobile_vla_ros.sim.field import Field
from mobile_vla_ros.sim.layout import BOTTLE_RADIUS, ROBOT_RADIUS, Layout

WIDTH = 400
VIEW = 225  # pixel rows of the robot's view
MAP = 150  # pixel rows of the map
TEXT = 26
GAP = 8
SPEED_UP = 2
EVERY = 2  # frames of the camera (10 per second) for one of the picture

PAPER, INK, PALE = (250, 250, 248), (40, 40, 40), (175, 175, 175)
BOX, GREEN, BLUE, PLAN = (198, 156, 109), (0, 158, 115), (0, 114, 178), (80, 230, 150)


class Watched:
    """A policy that remembers its newest chunk."""

    def __init__(self, policy) -> None:
        self._policy = policy
        self.chunk = None

    def stream(self, instruction: str) -> Watched:
        self._stream = self._policy.stream(instruction)
        self.action_axes = self._stream.action_axes
        return self

    def step(self, image, stamp, generation=0):
        self.chunk = self._stream.step(image, stamp, generation)
        return self.chunk

    def reset(self) -> None:
        self._stream.reset()


def film(policy, scenario: str, seed: int) -> list[np.ndarray]:
    """The pictures of one drive, uint8 [H,W,3] RGB."""
    pictures, path = [], []
    watched = Watched(policy)
    with Field(scenario, seed) as field:

        def on_frame(image: np.ndarray, command: tuple[float, float]) -> None:
            path.append(field.pose)
            if len(path) % EVERY == 1:
                pictures.append(picture(field, watched.chunk, image, command, path))

        run = drive(field, watched, on_frame=on_frame)
    print(f"{scenario}, seed {seed}: {run.outcome.reason}, {run.outcome.driving_time:.1f} s")
    if not run.outcome.success:
        raise SystemExit("it did not reach the bottle: choose another seed")
    return pictures


def picture(field: Field, chunk, image: np.ndarray, command, path: list) -> np.ndarray:
    """One moment: the instruction, the robot's view, the map."""
    sheet = np.full((TEXT + VIEW + MAP, WIDTH, 3), PAPER, np.uint8)
    side = field.instruction.split()[-1]
    write(sheet, f'told: "... the bottle on the {side}"', (6, 18), INK)
    view = cv2.resize(image, (WIDTH, VIEW), interpolation=cv2.INTER_AREA)
    if chunk is not None:
        ground = integrate(chunk.velocities, chunk.axes, chunk.action_period)[:, :2]
        x, y, yaw = field.pose
        turn = np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])
        places = np.column_stack([ground @ turn.T + (x, y), np.zeros(len(ground))])
        seen = field.camera_settings.project(field.pose, places)
        points = (seen[np.isfinite(seen).all(axis=1)] * (WIDTH, VIEW)).round().astype(np.int32)
        if len(points) > 1:
            cv2.polylines(view, [points[:, None]], False, PLAN, 4, cv2.LINE_AA)
    words = f"{command[0]:.2f} m/s  {command[1]:+.2f} rad/s"
    view[-24:] //= 2
    write(view, words, (8, VIEW - 8), PAPER)
    sheet[TEXT : TEXT + VIEW] = view
    sheet[TEXT + VIEW :] = from_above(field.layout, path)
    return sheet


def from_above(layout: Layout, path: list) -> np.ndarray:
    """The field from above, x ahead to the right, with the path so far."""
    ground = np.full((MAP, WIDTH, 3), PAPER, np.uint8)
    left, right = layout.start[0] - 0.4, layout.bottle[0] + 0.6
    scale = min(WIDTH / (right - left), MAP / 1.9)
    middle = (layout.start[1] + layout.bottle[1]) / 2

    def place(points) -> np.ndarray:
        points = np.atleast_2d(np.asarray(points, float))[:, :2]
        across = WIDTH / 2 + scale * (points[:, 0] - (left + right) / 2)
        down = MAP / 2 - scale * (points[:, 1] - middle)
        return np.column_stack([across, down]).round().astype(np.int32)

    for box in layout.boxes:
        cv2.fillPoly(ground, [place(box.corners())], BOX, cv2.LINE_AA)
    cv2.circle(ground, place(layout.bottle)[0], int(scale * 0.5), PALE, 1, cv2.LINE_AA)
    cv2.circle(ground, place(layout.bottle)[0], int(scale * BOTTLE_RADIUS * 1.6), GREEN, -1, 16)
    cv2.polylines(ground, [place(path)[:, None]], False, BLUE, 2, cv2.LINE_AA)
    x, y, yaw = path[-1]
    nose = (x + ROBOT_RADIUS * np.cos(yaw), y + ROBOT_RADIUS * np.sin(yaw))
    cv2.circle(ground, place((x, y))[0], int(scale * ROBOT_RADIUS), BLUE, 2, cv2.LINE_AA)
    cv2.line(ground, place((x, y))[0], place(nose)[0], BLUE, 2, cv2.LINE_AA)
    return ground


def write(picture: np.ndarray, words: str, place, colour) -> None:
    cv2.putText(picture, words, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, 1, cv2.LINE_AA)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", type=Path, nargs="?", default="docs/pictures/drive.webp")
    parser.add_argument("--field", default="1box", help="1box or 2box, with a distance if wanted")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--quality", type=int, default=55)
    given = parser.parse_args()
    policy = load_policy(demo_policy())
    films = [film(policy, f"{given.field}_{side}", given.seed) for side in ("left", "right")]
    count = max(map(len, films)) + 8  # the end stands still for a moment
    films = [pictures + [pictures[-1]] * (count - len(pictures)) for pictures in films]
    between = np.full((films[0][0].shape[0], GAP, 3), PAPER, np.uint8)
    frames = [Image.fromarray(np.hstack([a, between, b])) for a, b in zip(*films, strict=True)]
    given.target.parent.mkdir(parents=True, exist_ok=True)
    milliseconds = round(1000 * 0.1 * EVERY / SPEED_UP)
    frames[0].save(
        given.target,
        save_all=True,
        append_images=frames[1:],
        duration=milliseconds,
        loop=0,
        quality=given.quality,
        method=6,
    )
    print(f"{given.target}: {len(frames)} pictures, {given.target.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
