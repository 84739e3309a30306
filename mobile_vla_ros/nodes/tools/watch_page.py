"""The page of ``mobile_vla watch``: what the robot sees and intends, and its path from above."""

from __future__ import annotations

import cv2
import numpy as np

HEIGHT = 360
SIDE = 360  # pixels of the view from above
NARROWEST = 2.0  # m that the view from above shows at least
MARGIN = 0.5  # m around the path
STALE = 1.0  # s after which a picture is said to be old
_GROUND, _PATH, _ROBOT, _INK, _BAD = (
    (40,) * 3,
    (80, 230, 150),
    (255, 255, 255),
    (235,) * 3,
    (255, 140, 40),
)


def page(
    picture: np.ndarray | None, poses: np.ndarray, state: str, age: float, topic: str
) -> np.ndarray:
    """One picture to look at.

    Args:
        picture: the newest overlay, uint8 [H,W,3] RGB, or None before any.
        poses: x, y (m) and yaw (rad) so far, [N,3].
        state: as on ``~/state``; '' before any.
        age: s since the picture came.
        topic: where pictures are expected.

    Returns:
        uint8 [360,W,3] RGB.
    """
    if picture is None:
        left: np.ndarray = np.full((HEIGHT, 640, 3), _GROUND, np.uint8)
        _write(left, f"no picture yet on {topic}", HEIGHT // 2, _BAD)
        _write(left, state or "no state either: does inference_node run?", HEIGHT // 2 + 26, _INK)
    else:
        width = max(1, round(picture.shape[1] * HEIGHT / picture.shape[0]))
        left = cv2.resize(picture, (width, HEIGHT), interpolation=cv2.INTER_AREA)
        if age > STALE:
            _write(left, f"this picture is {age:.0f} s old", HEIGHT // 2, _BAD)
    return np.ascontiguousarray(np.hstack([left, from_above(poses)]))


def from_above(poses: np.ndarray) -> np.ndarray:
    """The path so far, x upwards and y to the left, uint8 [360,360,3] RGB."""
    view = np.full((HEIGHT, SIDE, 3), _GROUND, np.uint8)
    if not len(poses):
        _write(view, "no odometry", HEIGHT // 2, _INK)
        return view
    low, high = poses[:, :2].min(axis=0) - MARGIN, poses[:, :2].max(axis=0) + MARGIN
    middle, span = (low + high) / 2, max(NARROWEST, *(high - low))
    scale = SIDE / span

    def at(x: float, y: float) -> tuple[int, int]:
        return (
            round(SIDE / 2 - (y - middle[1]) * scale),
            round(HEIGHT / 2 - (x - middle[0]) * scale),
        )

    points = np.array([at(x, y) for x, y, _ in poses], np.int32)[:, None]
    cv2.polylines(view, [points], False, _PATH, 2, cv2.LINE_AA)
    x, y, yaw = poses[-1]
    ahead = at(x + 0.3 * np.cos(yaw), y + 0.3 * np.sin(yaw))
    cv2.arrowedLine(view, at(x, y), ahead, _ROBOT, 2, cv2.LINE_AA, tipLength=0.4)
    _write(view, f"{span:.1f} m across", HEIGHT - 12, _INK)
    return view


def blocks(picture: np.ndarray, columns: int) -> str:
    """A picture as text of a terminal with 24-bit colours: two rows of pixels to a line."""
    columns = max(8, min(columns, picture.shape[1]))
    rows = max(2, round(picture.shape[0] * columns / picture.shape[1] / 2) * 2)
    small = cv2.resize(picture, (columns, rows), interpolation=cv2.INTER_AREA)
    lines = []
    for upper, lower in zip(small[::2], small[1::2], strict=True):
        cells = (
            f"\x1b[38;2;{a[0]};{a[1]};{a[2]};48;2;{b[0]};{b[1]};{b[2]}m\u2580"
            for a, b in zip(upper, lower, strict=True)
        )
        lines.append("".join(cells) + "\x1b[0m")
    return "\n".join(lines)


def _write(picture: np.ndarray, text: str, baseline: int, colour: tuple[int, ...]) -> None:
    cv2.putText(
        picture,
        text.encode("ascii", "replace").decode(),
        (8, baseline),
        cv2.FONT_HERSHEY_SIMPLEX,
        0.5,
        colour,
        1,
        cv2.LINE_AA,
    )
