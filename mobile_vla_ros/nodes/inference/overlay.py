"""What the robot sees and intends, drawn into one small picture."""

from __future__ import annotations

import contextlib
import functools
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mobile_vla_ros.control import ActionChunk, integrate
from mobile_vla_ros.states import DRIVING

WIDTH = 640
# A pinhole view that fits most robots' cameras well enough to show left from right.
CAMERA_HEIGHT = 0.3
FIELD_OF_VIEW = 1.2
NEAREST = 0.15
# Rows darkened for the text.
TOP = 58
BOTTOM = 34
_PATH = (80, 230, 150)
_BAD = (255, 140, 40)
_INK = (255, 255, 255)
MOST_LETTERS = 88  # that fit the width
FONT_SIZE = 17
NO_FONT = "(no font for it: apt install fonts-nanum)"


def draw_overlay(
    image: np.ndarray,
    chunk: ActionChunk | None,
    state: str,
    instruction: str,
    command: str,
) -> np.ndarray:
    """Draws the planned path on the ground, the state, the instruction and the command.

    Args:
        image: uint8 [H,W,3] RGB.
        chunk: the newest one, or None.
        state: as on `~/state`.
        instruction: what the policy was told.
        command: the velocities just commanded, as text.

    Returns:
        uint8 [h,640,3] RGB.
    """
    height = max(1, round(image.shape[0] * WIDTH / image.shape[1]))
    picture = cv2.resize(image, (WIDTH, height), interpolation=cv2.INTER_AREA)
    colour = _PATH if state == DRIVING else _BAD
    if chunk is not None and np.isfinite(chunk.velocities).all():
        ground = integrate(chunk.velocities, chunk.axes, chunk.action_period)[:, :2]
        points = _on_picture(ground, WIDTH, height)
        if len(points) > 1:
            cv2.polylines(picture, [points], False, colour, 4, cv2.LINE_AA)
    for strip in (picture[:TOP], picture[-BOTTOM:]):
        np.floor_divide(strip, 3, out=strip)
    _write(picture, state, 24, colour)
    _write(picture, instruction, 48, _INK)
    _write(picture, command, height - 12, _INK)
    return picture


@functools.cache
def wide_font() -> ImageFont.FreeTypeFont | None:
    """A font of this system that has Korean letters; None where there is none."""
    for file in _font_files():
        try:
            return ImageFont.truetype(file, FONT_SIZE)
        except OSError:
            continue
    return None


def _font_files() -> Iterator[str]:
    """Files to try: what fontconfig names first, then what lies where fonts lie."""
    program = shutil.which("fc-match")
    if program is not None:
        asked = [program, "-f", "%{lang}\\n%{file}", ":lang=ko"]
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            answer = subprocess.run(asked, capture_output=True, text=True, timeout=5, check=True)
            languages, _, file = answer.stdout.partition("\n")
            # Without any it names the one that it likes best.
            if "ko" in languages.split("|"):
                yield file
    for folder in (
        "/usr/share/fonts",
        "/usr/local/share/fonts",
        "~/.fonts",
        "~/.local/share/fonts",
    ):
        for pattern in ("*Nanum*Gothic.ttf", "*CJK*Regular*", "*[Mm]algun.ttf", "*UnDotum.ttf"):
            yield from sorted(map(str, Path(folder).expanduser().rglob(pattern)))


def _on_picture(ground: np.ndarray, width: int, height: int) -> np.ndarray:
    """Ground points [n,2] (m, x forward, y left) -> pixels int32 [m,1,2], those in front."""
    focal = width / 2 / np.tan(FIELD_OF_VIEW / 2)
    ahead = ground[ground[:, 0] + NEAREST > NEAREST / 2]
    depth = ahead[:, 0] + NEAREST
    across = width / 2 - focal * ahead[:, 1] / depth
    down = height / 2 + focal * CAMERA_HEIGHT / depth
    pixels = np.stack([across, down], axis=1).clip(-4 * width, 4 * width)
    return pixels.round().astype(np.int32)[:, None]


def _write(picture: np.ndarray, text: str, baseline: int, colour: tuple[int, int, int]) -> None:
    text = text[:MOST_LETTERS]
    font = None if text.isascii() else wide_font()
    if font is not None:
        strip = Image.fromarray(picture[baseline - 20 : baseline + 8])
        ImageDraw.Draw(strip).text((8, 20), text, fill=colour, font=font, anchor="ls")
        picture[baseline - 20 : baseline + 8] = np.asarray(strip)
        return
    if not text.isascii():
        text = f"{text.encode('ascii', 'replace').decode()[:40]} {NO_FONT}"
    place = (8, baseline)
    cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.55, colour, 1, cv2.LINE_AA)
