"""Scenario names: how many boxes, on which side to pass them, how far away they stand."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mobile_vla_ros.errors import InputError

SCENARIOS = ("1box_left", "1box_right", "2box_left", "2box_right")
DISTANCES = ("close", "medium", "far")
ARRANGEMENTS = ("hori", "vert")
VARIANTS = ("core", "variant")
SIDES = ("left", "right")


class ScenarioError(InputError):
    """A scenario name that does not say which field to build."""


@dataclass(frozen=True)
class Scenario:
    """One kind of field, as the lab names it; what is None is drawn from the seed.

    Attributes:
        name: the name as it was given.
        boxes: number of cardboard boxes, 1 or 2.
        side: side of the obstacle on which the robot has to pass, "left" or "right" as seen from
            the start.
        distance: "close", "medium" or "far": from the start to the first box.
        arrangement: "hori" (across the way) or "vert" (along it).
        variant: "core" (obstacle straight ahead) or "variant" (shifted and turned more).
    """

    name: str
    boxes: int
    side: str
    distance: str | None = None
    arrangement: str | None = None
    variant: str | None = None

    @property
    def kind(self) -> str:
        """The name without its options, one of ``SCENARIOS``."""
        return f"{self.boxes}box_{self.side}"

    @property
    def instruction(self) -> str:
        """The sentence that asks for this side."""
        return instruction_for(self.side)

    def mirrored(self) -> Scenario:
        """The same field with the other side asked for."""
        other = "right" if self.side == "left" else "left"
        words = [other if word == self.side else word for word in self.name.split("_")]
        return replace(self, name="_".join(words), side=other)


def instruction_for(side: str) -> str:
    """The lab's sentence for one side, "left" or "right"."""
    return f"Navigate around obstacles and reach the front of the beverage bottle on the {side}"


def parse_scenario(name: str) -> Scenario:
    """Reads a name such as ``1box_left``, ``2box_right_far`` or ``1box_hori_left_core_medium``.

    Raises:
        ScenarioError: a word that means nothing, or no side, or no number of boxes.
    """
    groups: dict[str, tuple[str, ...]] = {
        "boxes": ("1box", "2box"),
        "side": SIDES,
        "distance": DISTANCES,
        "arrangement": ARRANGEMENTS,
        "variant": VARIANTS,
    }
    found: dict[str, str] = {}
    for word in name.split("_"):
        group = next((key for key, words in groups.items() if word in words), None)
        if group is None or group in found:
            raise ScenarioError(_sentence(name))
        found[group] = word
    if "boxes" not in found or "side" not in found:
        raise ScenarioError(_sentence(name))
    return Scenario(
        name=name,
        boxes=int(found["boxes"][0]),
        side=found["side"],
        distance=found.get("distance"),
        arrangement=found.get("arrangement"),
        variant=found.get("variant"),
    )


def _sentence(name: str) -> str:
    return (
        f"'{name}' is no scenario: give one of {', '.join(SCENARIOS)}, "
        f"if wanted with _{', _'.join(DISTANCES)}"
    )
