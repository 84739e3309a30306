"""Shadow mode: does the policy want what the person does?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

DIRECTIONS = ("forward", "backward", "left", "right", "stop")


def direction(linear: float, lateral: float, angular: float, still: float = 0.05) -> str:
    """The direction of a velocity in words.

    Args:
        linear: m/s forward.
        lateral: m/s to the left.
        angular: rad/s counter-clockwise.
        still: magnitudes below this count as zero, m/s and rad/s.

    Returns:
        ``stop``, ``left`` or ``right`` (turning or strafing wins over driving on when it is the
        larger), ``forward`` or ``backward``.
    """
    sideways = lateral if abs(lateral) > abs(angular) else angular
    if max(abs(linear), abs(sideways)) < still:
        return "stop"
    if abs(sideways) >= max(still, abs(linear)):
        return "left" if sideways > 0 else "right"
    return "forward" if linear > 0 else "backward"


class Agreement:
    """Compares what the policy predicts with what a person drives at the same moment."""

    def __init__(self) -> None:
        self._driven: tuple[float, float, float] | None = None
        self._pairs: Counter[tuple[str, str]] = Counter()
        self._squares: Counter[str] = Counter()
        self._count = 0

    def driven(self, vx: float, vy: float, wz: float) -> None:
        """The person's command now in force, m/s and rad/s."""
        self._driven = (vx, vy, wz) if all(map(math.isfinite, (vx, vy, wz))) else None

    def predicted(self, axes: Sequence[str], velocities: Sequence[float]) -> None:
        """The policy's first chunk step now; ignored before the person has sent anything."""
        if self._driven is None or not all(math.isfinite(value) for value in velocities):
            return
        wish = dict(zip(axes, map(float, velocities), strict=True))
        names = ("linear.x", "linear.y", "angular.z")
        policy = tuple(wish.get(name, 0.0) for name in names)
        self._pairs[direction(*self._driven), direction(*policy)] += 1
        for name, person, policy_value in zip(names, self._driven, policy, strict=True):
            if name in wish:
                self._squares[name] += (person - policy_value) ** 2  # type: ignore[assignment]
        self._count += 1

    def summary(self) -> dict[str, object]:
        """Frames compared, share that agree, share by the person's direction, RMSE per axis."""
        if not self._count:
            return {"frames": 0}
        result: dict[str, object] = {
            "frames": self._count,
            "agree": round(sum(n for (a, b), n in self._pairs.items() if a == b) / self._count, 4),
        }
        for name in DIRECTIONS:
            total = sum(n for (person, _), n in self._pairs.items() if person == name)
            if total:
                result[f"agree {name}"] = round(self._pairs[name, name] / total, 4)
        for axis, squares in self._squares.items():
            result[f"rmse {axis}"] = round(math.sqrt(squares / self._count), 4)
        return result
