"""Scenario names of the open field: ``open_medium``, ``open_hard_grey_basket_left_new``."""

from __future__ import annotations

from dataclasses import dataclass

from mobile_vla_ros.sim.open_field.things import COLOURS, KINDS
from mobile_vla_ros.sim.scenario import SIDES, ScenarioError

PREFIX = "open"
TIERS = ("easy", "medium", "hard")
STOP, NEW, CHANGE = "stop", "new", "change"


@dataclass(frozen=True)
class OpenScenario:
    """One kind of open field; what is None is drawn from the seed.

    Attributes:
        name: as it was given.
        tier: "easy", "medium" or "hard".
        colour, kind: of the thing to be reached.
        side: on which to pass the first box.
        stop: the instruction is to stand still.
        new: also what is kept for testing: wordings, pairs of colour and thing, rooms.
        change: on the way the instruction names another thing.
    """

    name: str
    tier: str
    colour: str | None = None
    kind: str | None = None
    side: str | None = None
    stop: bool = False
    new: bool = False
    change: bool = False

    def with_words(self, *words: str) -> str:
        """The name with further words behind it."""
        return "_".join([self.name, *words])


def is_open(name: str) -> bool:
    """Whether a scenario's name is one of the open field's."""
    return name.split("_")[0] == PREFIX


def parse_open_scenario(name: str) -> OpenScenario:
    """Reads a name such as ``open_easy`` or ``open_hard_red_bin_right``.

    Raises:
        ScenarioError: a word that means nothing, no tier, a colour without a thing, or words
            that do not go together.
    """
    groups: dict[str, tuple[str, ...]] = {
        "tier": TIERS,
        "colour": COLOURS,
        "kind": KINDS,
        "side": SIDES,
        STOP: (STOP,),
        NEW: (NEW,),
        CHANGE: (CHANGE,),
    }
    first, *words = name.split("_")
    found: dict[str, str] = {}
    for word in words:
        word = "grey" if word == "gray" else word
        group = next((key for key, known in groups.items() if word in known), None)
        if group is None or group in found:
            raise ScenarioError(_sentence(name))
        found[group] = word
    if first != PREFIX or "tier" not in found or ("colour" in found) != ("kind" in found):
        raise ScenarioError(_sentence(name))
    if STOP in found and found.keys() & {"colour", "side", CHANGE}:
        raise ScenarioError(f"'{name}': who is told to stop is told nothing else")
    return OpenScenario(
        name=name,
        tier=found["tier"],
        colour=found.get("colour"),
        kind=found.get("kind"),
        side=found.get("side"),
        stop=STOP in found,
        new=NEW in found,
        change=CHANGE in found,
    )


def target_words(text: str) -> tuple[str, str]:
    """A colour and a thing as a person writes them: ``grey basket``, ``gray_basket``.

    Raises:
        ScenarioError: a word that names no colour or no thing of the open field.
    """
    words = text.lower().replace("_", " ").replace("gray", "grey").split()
    if len(words) == 2 and words[0] in COLOURS and words[1] in KINDS:
        return words[0], words[1]
    raise ScenarioError(
        f"'{text}' names no thing of the open field: give a colour ({', '.join(COLOURS)}) and a "
        f"thing ({', '.join(KINDS)}), such as 'grey basket'"
    )


def _sentence(name: str) -> str:
    return (
        f"'{name}' is no scenario of the open field: give {PREFIX}_ and one of "
        f"{', '.join(TIERS)}, if wanted with a colour and a thing (_grey_basket), a side (_left, "
        "_right), _stop, _change or _new"
    )
