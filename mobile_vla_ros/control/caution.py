"""Warnings that come before trouble, and how much slower they ask to drive."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

from mobile_vla_ros.errors import InputError


@dataclass(frozen=True)
class WarningLevels:
    """From where on a reading is worth a warning; 0 switches a warning off.

    Attributes:
        blind_distance: metres driven on one frame.
        window_spacing: distance of the window's frames from the trained spacing, as a share of
            that spacing.
        disagreement: root mean square difference of consecutive chunks where they overlap, m/s
            and rad/s alike.
        feature_distance: distance of the last seconds' frames from training, in spreads of
            training; ordinary drives read 0.9 to 1.3.
    """

    blind_distance: float = 0.5
    window_spacing: float = 0.25
    disagreement: float = 0.3
    feature_distance: float = 1.35

    def __post_init__(self) -> None:
        """Refuses numbers that are no levels.

        Raises:
            InputError: a level that is negative or not finite.
        """
        for entry in fields(self):
            value = getattr(self, entry.name)
            if not (math.isfinite(value) and value >= 0):
                raise InputError(f"warn_{entry.name} is {value:g}; give 0 (off) or more")


def early_warnings(
    worst: Mapping[str, float], frame_period: float, levels: WarningLevels
) -> tuple[str, ...]:
    """One sentence for each reading beyond its level, the most urgent first.

    Args:
        worst: worst since the last look: ``blind_distance`` (m), ``window_spacing`` (s),
            ``disagreement`` (m/s, rad/s), ``feature_distance`` (spreads); what is missing or NaN
            gives no warning.
        frame_period: the spacing the policy was trained with, seconds.
        levels: from where on to warn.
    """

    def beyond(name: str, level: float) -> float | None:
        value = worst.get(name, math.nan)
        return value if level > 0 and value > level else None

    found = []
    blind = beyond("blind_distance", levels.blind_distance)
    if blind is not None:
        found.append(f"drives {blind:.2f} m on one frame: slower, or a faster model")
    spacing = beyond("window_spacing", levels.window_spacing * frame_period)
    if spacing is not None:
        found.append(
            f"the window's frames are {spacing:.2f} s off the trained spacing of"
            f" {frame_period:g} s: is the camera too slow?"
        )
    differ = beyond("disagreement", levels.disagreement)
    if differ is not None:
        found.append(f"consecutive plans differ by {differ:.2f}: the policy is undecided")
    far = beyond("feature_distance", levels.feature_distance)
    if far is not None:
        found.append(
            f"pictures are {far:.1f} spreads from those of training: light or camera changed?"
        )
    return tuple(found)


def blind_factor(max_linear: float, blind_time: float, max_distance: float) -> float:
    """Factor on the speed limits that keeps what is driven on one frame below a limit.

    Args:
        max_linear: speed limit, m/s.
        blind_time: seconds from the frame's capture to the end of its chunk.
        max_distance: metres; 0 means no limit.

    Returns:
        In (0, 1].
    """
    reach = max_linear * blind_time
    return 1.0 if max_distance == 0 or reach <= max_distance else max_distance / reach


def disagreement_factor(disagreement: float, limit: float) -> float:
    """Factor on the speed limits when consecutive plans contradict each other.

    Args:
        disagreement: root mean square difference of the last two plans, m/s and rad/s.
        limit: from here on the speed falls with the inverse of the disagreement; 0 means never.

    Returns:
        In (0, 1].
    """
    return 1.0 if limit == 0 or disagreement <= limit else limit / disagreement
