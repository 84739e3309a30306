"""What still passes a check, and how findings are counted in words."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CheckLimits:
    """What still passes.

    Attributes:
        speed: largest size of a command on a linear axis, m/s (the lab's recordings reach 1.15).
        turn_rate: the same on an angular axis, rad/s.
        gap: a step between stamps counts as a gap beyond this many median steps.
        frozen: this many equal frames in a row, while a command moves the robot, are a frozen
            camera; fewer are duplicates.
        black: a frame is black below this mean brightness, 0 to 255.
        frames: also read and look at the pictures.
        odometry_age: odometry this many seconds older than its frame is out of date.
    """

    speed: float = 1.15
    turn_rate: float = 1.15
    gap: float = 2.5
    frozen: int = 4
    black: float = 6.0
    frames: bool = True
    odometry_age: float = 1.0


def frames_are(count: int) -> str:
    """'1 frame is' or '3 frames are'."""
    return "1 frame is" if count == 1 else f"{count} frames are"


def times(count: int) -> str:
    """'once' or '3 times'."""
    return "once" if count == 1 else f"{count} times"
