"""Which columns of somebody else's data set are a base's velocities, found by name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mobile_vla_ros.axes import AXES
from mobile_vla_ros.episodes.lerobot import layout
from mobile_vla_ros.episodes.schema import EpisodeError

# Names that mean one thing only, lower case, with anything between words written as one `_`.
_KNOWN = {
    "linear.x": (
        "linear_x",
        "linear_velocity_x",
        "linear_vel_x",
        "linear_velocity",
        "linear_vel",
        "lin_vel",
        "lin_vel_x",
        "x_vel",
        "vel_x",
        "v_x",
        "vx",
        "base_vx",
        "base_x_vel",
        "forward_velocity",
        "cmd_vel_linear_x",
        "twist_linear_x",
    ),
    "linear.y": (
        "linear_y",
        "linear_velocity_y",
        "linear_vel_y",
        "lin_vel_y",
        "y_vel",
        "vel_y",
        "v_y",
        "vy",
        "base_vy",
        "base_y_vel",
        "lateral_velocity",
        "cmd_vel_linear_y",
        "twist_linear_y",
    ),
    "angular.z": (
        "angular_z",
        "angular_velocity_z",
        "angular_vel_z",
        "angular_velocity",
        "angular_vel",
        "ang_vel",
        "ang_vel_z",
        "theta_vel",
        "yaw_vel",
        "yaw_rate",
        "turn_rate",
        "wz",
        "w_z",
        "omega",
        "base_wz",
        "base_theta_vel",
        "cmd_vel_angular_z",
        "twist_angular_z",
    ),
}
_PREFIXES = ("action_", "base_", "main_", "left_base_", "cmd_")


@dataclass(frozen=True)
class Column:
    """One column of a feature.

    Attributes:
        feature: the feature's name.
        index: which of its values.
        name: what the data set calls it.
        degrees: it holds degrees/s.
    """

    feature: str
    index: int
    name: str
    degrees: bool = False


def find_velocities(
    features: Mapping[str, Any], wanted: Mapping[str, str], degrees: bool | None
) -> dict[str, Column]:
    """The column of each velocity axis that the data set has.

    Args:
        features: of ``info.json``.
        wanted: axis -> column's name, number in ``action``, or ``FEATURE.NUMBER``; what is not
            named here is found by name, unless anything is.
        degrees: what angular columns hold; None: radians/s, but degrees/s for ``theta.vel``.

    Raises:
        EpisodeError: a column does not exist, two fit, or none is called like a velocity.
    """
    columns = _action_columns(features)
    if not columns:
        raise EpisodeError("the data set has no action")
    unknown = [axis for axis in wanted if axis not in AXES]
    if unknown:
        raise EpisodeError(f"{unknown[0]!r} is no axis; there are {', '.join(AXES)}")
    if wanted:
        found = {axis: _named(columns, axis, name) for axis, name in wanted.items()}
    else:
        found = _by_name(columns)
    if not found:
        there = ", ".join(column.name for column in columns[:12])
        raise EpisodeError(
            f"no column of its action is called like a velocity ({there}); say which are, as in "
            "--columns linear.x=0,angular.z=1"
        )
    return {
        axis: Column(
            column.feature,
            column.index,
            column.name,
            axis.startswith("angular")
            and (layout.in_degrees(column.name) if degrees is None else degrees),
        )
        for axis, column in sorted(found.items(), key=lambda item: AXES.index(item[0]))
    }


def take(columns: Mapping[str, np.ndarray], wanted: Mapping[str, Column]) -> np.ndarray:
    """float32 [N, axes], m/s and rad/s.

    Raises:
        EpisodeError: a column is missing, or a value is not finite.
    """
    taken = []
    for axis, column in wanted.items():
        values = columns.get(column.feature)
        if values is None or values.shape[1] <= column.index:
            raise EpisodeError(f"its table has no column {column.feature}[{column.index}]")
        velocity = values[:, column.index]
        lost = np.flatnonzero(~np.isfinite(velocity))
        if len(lost):
            raise EpisodeError(f"its {axis} is not a number in row {lost[0]}")
        taken.append(np.deg2rad(velocity) if column.degrees else velocity)
    return np.stack(taken, axis=1).astype(np.float32)


def names_of(entry: Mapping[str, Any]) -> list[str]:
    """The names of a feature's values, however they are written; empty where there are none."""
    names = entry.get("names")
    if isinstance(names, Mapping):
        lists = [value for value in names.values() if isinstance(value, Sequence)]
        names = lists[0] if lists and not isinstance(lists[0], str) else list(names)
    if not isinstance(names, Sequence) or isinstance(names, str):
        return []
    width = (entry.get("shape") or [0])[0]
    return [str(name) for name in names] if len(names) == width else []


def _action_columns(features: Mapping[str, Any]) -> list[Column]:
    columns = []
    for feature, entry in features.items():
        if feature != layout.ACTION and not feature.startswith(f"{layout.ACTION}."):
            continue
        width = int((entry.get("shape") or [1])[0])
        names = names_of(entry)
        for index in range(width):
            if names:
                name = names[index]
            else:
                name = feature if width == 1 else f"{feature}.{index}"
            columns.append(Column(feature, index, name))
    return columns


def _named(columns: Sequence[Column], axis: str, name: str) -> Column:
    for column in columns:
        places = {column.name, f"{column.feature}.{column.index}"}
        if column.feature == layout.ACTION:
            places.add(str(column.index))
        if name in places:
            return column
    there = ", ".join(column.name for column in columns[:12])
    raise EpisodeError(f"--columns {axis}={name}: there is no such column; it has {there}")


def _by_name(columns: Sequence[Column]) -> dict[str, Column]:
    found: dict[str, Column] = {}
    for axis, known in _KNOWN.items():
        fitting = [column for column in columns if _plain(column.name) in known]
        if len(fitting) > 1:
            both = " and ".join(column.name for column in fitting[:2])
            raise EpisodeError(
                f"{both} are both called like {axis}; say which it is with --columns {axis}=..."
            )
        if fitting:
            found[axis] = fitting[0]
    return found


def _plain(name: str) -> str:
    words = re.sub(r"[^0-9a-z]+", "_", name.lower()).strip("_")
    known = {word for names in _KNOWN.values() for word in names}
    for prefix in _PREFIXES:
        if words not in known and words.startswith(prefix):
            words = words[len(prefix) :]
    return words
