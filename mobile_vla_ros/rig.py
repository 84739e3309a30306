"""Which camera a recording was made with, and where on the robot it stood."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ATTRIBUTE = "rig"
"""Name of the attribute of a recording that holds it, as JSON."""

HEIGHT_TOLERANCE = 0.03
"""Metres by which two mountings of one rig may differ."""

TILT_TOLERANCE = 3.0
"""Degrees by which two mountings of one rig may differ."""

VIEW_TOLERANCE = 5.0
"""Degrees of horizontal view within which two lenses count as alike."""

EXPOSURES = ("auto", "fixed", "locked")


@dataclass(frozen=True)
class Rig:
    """A camera and how it is mounted; what nobody said is empty or None, and never compared.

    Attributes:
        camera: serial number, stable device name or topic.
        width, height: pixels of its frames.
        mount_height: metres from the floor to the lens.
        tilt: degrees that it looks down.
        field_of_view: degrees across.
        exposure: ``auto``, ``fixed`` or ``locked`` (held as it was after a while).
    """

    camera: str = ""
    width: int | None = None
    height: int | None = None
    mount_height: float | None = None
    tilt: float | None = None
    field_of_view: float | None = None
    exposure: str = ""

    def to_json(self) -> str:
        """As it is kept in a recording; what nobody said is left out."""
        values = dataclasses.asdict(self)
        known = {name: value for name, value in values.items() if value not in (None, "")}
        return json.dumps(known, ensure_ascii=False, sort_keys=True)

    def __str__(self) -> str:
        parts = []
        if self.mount_height is not None:
            parts.append(f"{self.mount_height:.2f} m")
        if self.tilt is not None:
            parts.append(f"{self.tilt:g} degrees")
        if self.field_of_view is not None:
            parts.append(f"{self.field_of_view:g} degrees across")
        if self.width and self.height:
            parts.append(f"{self.width} x {self.height}")
        if self.exposure:
            parts.append(f"exposure {self.exposure}")
        return ", ".join(parts) or "an unknown place"

    @property
    def focal_length(self) -> float | None:
        """Of a pinhole with this view, in pixels; None where the view or the width is unknown."""
        if not self.field_of_view or not self.width or not 0 < self.field_of_view < 180:
            return None
        return self.width / 2 / math.tan(math.radians(self.field_of_view) / 2)


def rig_of(attributes: Mapping[str, Any], camera: Mapping[str, Any] | None = None) -> Rig:
    """The rig that a recording's attributes name.

    Args:
        attributes: of an episode or an incident; a damaged or missing entry counts as unknown.
        camera: the recording's ``camera`` record, for what the rig does not say.
    """
    told = attributes.get(ATTRIBUTE)
    if isinstance(told, str):
        try:
            told = json.loads(told)
        except ValueError:
            told = None
    values = dict(told) if isinstance(told, Mapping) else {}
    if camera and not values.get("camera"):
        values["camera"] = camera.get("id") or camera.get("topic") or ""
    return Rig(
        camera=str(values.get("camera") or ""),
        width=_whole(values.get("width")),
        height=_whole(values.get("height")),
        mount_height=_number(values.get("mount_height")),
        tilt=_number(values.get("tilt")),
        field_of_view=_number(values.get("field_of_view")),
        exposure=str(values.get("exposure") or ""),
    )


def with_frame_size(attributes: Mapping[str, Any], shape: Sequence[int]) -> dict[str, Any]:
    """A recording's attributes, whose rig says how large its frames [H, W, ...] really are."""
    sized = dataclasses.replace(rig_of(attributes), height=int(shape[0]), width=int(shape[1]))
    return {**attributes, ATTRIBUTE: sized.to_json()}


def completed(told: Rig, found: Rig) -> Rig:
    """What ``told`` says, and of ``found`` what it does not say."""
    known = {
        name: value for name, value in dataclasses.asdict(told).items() if value not in (None, "")
    }
    return dataclasses.replace(found, **known)


def differences(one: Rig, other: Rig) -> list[str]:
    """In what two rigs differ by more than a mounting is ever exact, a phrase each.

    Only what both say is compared. Another frame size alone is no difference: frames are resized
    before a policy sees them.
    """
    found = []
    for name, value, another, tolerance, unit in (
        ("height", one.mount_height, other.mount_height, HEIGHT_TOLERANCE, "m"),
        ("tilt", one.tilt, other.tilt, TILT_TOLERANCE, "degrees"),
        ("view", one.field_of_view, other.field_of_view, VIEW_TOLERANCE, "degrees"),
    ):
        if value is not None and another is not None and abs(value - another) > tolerance:
            found.append(f"{name} {_say(value, unit)} against {_say(another, unit)}")
    if one.exposure and other.exposure and (one.exposure == "auto") != (other.exposure == "auto"):
        found.append(f"exposure {one.exposure} against {other.exposure}")
    shapes = [r.width / r.height for r in (one, other) if r.width and r.height]
    if len(shapes) == 2 and abs(shapes[0] / shapes[1] - 1) > 0.02:
        found.append(f"frames {one.width} x {one.height} against {other.width} x {other.height}")
    return found


def mixed(rigs: Mapping[str, Rig]) -> str | None:
    """One sentence where recordings of several rigs stand together, else None.

    Args:
        rigs: file name -> its rig.
    """
    names = list(rigs)
    for name in names[1:]:
        found = differences(rigs[names[0]], rigs[name])
        if found:
            return (
                f"recordings of different rigs stand together: {names[0]} and {name} differ in "
                f"{'; '.join(found)}"
            )
    return None


def commonest(rigs: Sequence[Rig]) -> Rig:
    """The rig that most recordings were made with; an unknown one where there are none."""
    counted = Counter(dataclasses.replace(rig, camera="") for rig in rigs)
    return counted.most_common(1)[0][0] if counted else Rig()


def standing_differently(recorded: Rig, here: Rig) -> str | None:
    """One sentence where a recording's rig and the camera that is here do not agree, else None."""
    found = differences(recorded, here)
    if not found:
        return None
    heights = recorded.mount_height, here.mount_height
    if None not in (*heights, recorded.tilt, here.tilt) and found[0].startswith(
        ("height", "tilt")
    ):
        rest = [part for part in found if not part.startswith(("height", "tilt"))]
        more = f" ({'; '.join(rest)})" if rest else ""
        return (
            f"recorded at {recorded.mount_height:.2f} m and {recorded.tilt:g} degrees, this "
            f"camera stands at {here.mount_height:.2f} m and {here.tilt:g} degrees{more}"
        )
    return f"recorded with another rig than this camera's: {'; '.join(found)}"


def _say(value: float, unit: str) -> str:
    return f"{value:.2f} m" if unit == "m" else f"{value:g} {unit}"


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def _whole(value: Any) -> int | None:
    number = _number(value)
    return int(number) if number and number > 0 else None
