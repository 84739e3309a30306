"""Shadow mode: does the policy want what the person does?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from mobile_vla_ros.axes import PLANAR_AXES
from mobile_vla_ros.stats.directions import BACKWARD, LABELS, directions


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
        policy = tuple(wish.get(name, 0.0) for name in PLANAR_AXES)
        person_word, policy_word = directions(
            np.array([self._driven, policy]), PLANAR_AXES
        ).tolist()
        self._pairs[person_word, policy_word] += 1
        for name, person, policy_value in zip(PLANAR_AXES, self._driven, policy, strict=True):
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
        for name in (*LABELS, BACKWARD):
            total = sum(n for (person, _), n in self._pairs.items() if person == name)
            if total:
                result[f"agree {name}"] = round(self._pairs[name, name] / total, 4)
        for axis, squares in self._squares.items():
            result[f"rmse {axis}"] = round(math.sqrt(squares / self._count), 4)
        return result
