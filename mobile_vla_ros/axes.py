"""The names of velocities: the fields of a twist (REP-103: metres, radians; x forward, y left)."""

from __future__ import annotations

AXES = ("linear.x", "linear.y", "linear.z", "angular.x", "angular.y", "angular.z")
"""The six axes of a twist, in its own order."""

PLANAR_AXES = ("linear.x", "linear.y", "angular.z")
"""What moves a base on a floor: forward, sideways, turning."""

UNICYCLE_AXES = ("linear.x", "angular.z")
"""What moves a base that cannot go sideways: forward and turning."""


def unit_of(axis: str) -> str:
    """The unit of a velocity on this axis, as it is written."""
    return "rad/s" if axis.startswith("angular") else "m/s"
