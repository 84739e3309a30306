"""The velocity limiter: slower when it must be, but never along another path."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

from mobile_vla_ros.axes import AXES
from mobile_vla_ros.errors import InputError

# A change smaller than this (m/s, rad/s) is none: its square would vanish in float64.
_NOTHING = 1e-12
# Below this share of a step a reversal counts as reached; rounding must not hold the base still.
_REACHED = 1e-6


@dataclass(frozen=True)
class Limits:
    """The fastest and the hardest a base may be driven; every number is positive.

    Attributes:
        max_linear: m/s, norm over the linear axes.
        max_angular: rad/s, norm over the angular axes.
        max_linear_accel: m/s^2 while speed grows.
        max_linear_decel: m/s^2 while speed shrinks.
        max_angular_accel: rad/s^2 while the turn rate grows.
        max_angular_decel: rad/s^2 while the turn rate shrinks.
    """

    max_linear: float = 0.3
    max_angular: float = 1.0
    max_linear_accel: float = 0.5
    max_linear_decel: float = 1.0
    max_angular_accel: float = 2.0
    max_angular_decel: float = 4.0

    def __post_init__(self) -> None:
        """Refuses limits that would let everything or nothing through.

        Raises:
            InputError: a limit that is not a positive, finite number. A speed of 0 is allowed: it
                keeps the base still.
        """
        for field in fields(self):
            value = getattr(self, field.name)
            speed = field.name in ("max_linear", "max_angular")
            if not math.isfinite(value) or value < 0 or (value == 0 and not speed):
                raise InputError(f"{field.name} is {value:g}; give a positive number")


@dataclass(frozen=True)
class Limited:
    """What the limiter let through.

    Attributes:
        velocities: [dof], m/s and rad/s.
        clamped: a speed limit made the wanted velocity smaller.
        ramped: an acceleration limit delays it.
    """

    velocities: tuple[float, ...]
    clamped: bool
    ramped: bool


class VelocityLimiter:
    """Limits speed, then the change of velocity, each by one factor for all axes.

    One factor keeps the ratio of turning to driving, so that a slower command follows the same
    arc. Between two commands the velocity moves on the straight line from one to the other.
    """

    def __init__(self, axes: Sequence[str], limits: Limits, period: float) -> None:
        """Starts at standstill.

        Args:
            axes: names of the velocity's components, from ``AXES``.
            limits: see ``Limits``; may be replaced at any time.
            period: control period, seconds.

        Raises:
            InputError: an unknown or repeated axis, or no axis at all.
            ValueError: a period that is not positive.
        """
        unknown = [axis for axis in axes if axis not in AXES]
        if unknown or not axes or len(set(axes)) != len(axes):
            raise InputError(
                f"action_axes are {list(axes)}; give different names out of {', '.join(AXES)}"
            )
        if not (period > 0 and math.isfinite(period)):
            raise ValueError(f"a control period of {period} s cannot be")
        self.limits = limits
        self.period = period
        linear = [i for i, axis in enumerate(axes) if axis.startswith("linear")]
        angular = [i for i, axis in enumerate(axes) if axis.startswith("angular")]
        self._linear, self._angular = linear, angular
        self._still = (0.0,) * len(axes)
        self._last = self._still
        self._last_time: float | None = None

    @property
    def velocities(self) -> tuple[float, ...]:
        """The last velocity let through, [dof]."""
        return self._last

    @property
    def standing(self) -> bool:
        """Whether the last velocity let through is exactly zero."""
        return self._last == self._still

    def reset(self) -> tuple[float, ...]:
        """A hard stop: exactly zero at once, and the next ramp starts from there."""
        self._last = self._still
        self._last_time = None
        return self._still

    def step(self, wanted: Sequence[float], now: float, slower: float = 1.0) -> Limited:
        """Moves from the last velocity towards the wanted one as far as the limits allow.

        Args:
            wanted: [dof], m/s and rad/s, finite.
            now: steady clock, seconds. However late this call comes, no more than two control
                periods of acceleration are made up for.
            slower: factor in [0, 1] on both speed limits, for whoever wants caution.

        Returns:
            The velocity to send.
        """
        limits = self.limits
        period = self.period
        elapsed = period if self._last_time is None else now - self._last_time
        elapsed = min(max(elapsed, 0.0), 2 * period)
        self._last_time = now

        share = 1.0
        speed = _norm(wanted, self._linear)
        if speed > limits.max_linear * slower:
            share = limits.max_linear * slower / speed
        rate = _norm(wanted, self._angular)
        if rate > limits.max_angular * slower:
            share = min(share, limits.max_angular * slower / rate)
        target = tuple(value * share for value in wanted) if share < 1 else tuple(wanted)

        last = self._last
        change = [b - a for a, b in zip(last, target, strict=True)]
        part = min(
            _share_of(
                last,
                change,
                self._linear,
                limits.max_linear_accel * elapsed,
                limits.max_linear_decel * elapsed,
            ),
            _share_of(
                last,
                change,
                self._angular,
                limits.max_angular_accel * elapsed,
                limits.max_angular_decel * elapsed,
            ),
        )
        if part < 1:
            self._last = tuple(a + part * d for a, d in zip(last, change, strict=True))
        else:
            # Adding 0.0 turns -0.0 into 0.0: standstill is one value.
            self._last = tuple(float(value) + 0.0 for value in target)
        return Limited(self._last, share < 1, part < 1)


def _norm(values: Sequence[float], indices: list[int]) -> float:
    if len(indices) == 1:
        return abs(values[indices[0]])
    return math.sqrt(sum(values[i] * values[i] for i in indices))


def _share_of(
    last: Sequence[float],
    change: Sequence[float],
    indices: list[int],
    accel: float,
    decel: float,
) -> float:
    """Which part, in [0, 1], of a change may happen in this step on this group of axes."""
    length = _norm(change, indices)
    if length < _NOTHING:
        return 1.0
    along = sum(last[i] * change[i] for i in indices)
    # Speed first shrinks up to this part of the change and grows after it.
    slowest = -along / (length * length)
    if slowest > _REACHED:
        return min(1.0, slowest if slowest < 1 - _REACHED else 1.0, decel / length)
    return min(1.0, accel / length)
