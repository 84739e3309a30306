"""Which fields there are, and how a scenario's name leads to one."""

from __future__ import annotations

from mobile_vla_ros.sim.arena import Arena
from mobile_vla_ros.sim.camera import CameraSettings
from mobile_vla_ros.sim.field import Field
from mobile_vla_ros.sim.layout import Layout, sample_layout
from mobile_vla_ros.sim.open_field.field import OpenField
from mobile_vla_ros.sim.open_field.layout import OpenLayout
from mobile_vla_ros.sim.open_field.placement import sample_open_layout
from mobile_vla_ros.sim.open_field.scenario import (
    CHANGE,
    NEW,
    PREFIX,
    STOP,
    TIERS,
    OpenScenario,
    is_open,
    parse_open_scenario,
    target_words,
)
from mobile_vla_ros.sim.outcome import TIME_LIMIT
from mobile_vla_ros.sim.scenario import SCENARIOS, Scenario, ScenarioError, parse_scenario

LAB, OPEN = "lab", "open"
FIELDS = (LAB, OPEN)


def build_field(
    scenario: str,
    seed: int,
    camera: CameraSettings | None = None,
    time_limit: float = TIME_LIMIT,
) -> Arena:
    """The field that a scenario's name belongs to.

    Raises:
        ScenarioError: the name means nothing.
    """
    kind = OpenField if is_open(scenario) else Field
    return kind(scenario, seed, camera, time_limit)


def parse_field_scenario(name: str) -> Scenario | OpenScenario:
    """Reads a scenario's name of any field.

    Raises:
        ScenarioError: the name means nothing.
    """
    return parse_open_scenario(name) if is_open(name) else parse_scenario(name)


def layout_of(scenario: str, seed: int) -> Layout | OpenLayout:
    """Where things stand in a field.

    Raises:
        ScenarioError: the name means nothing.
    """
    sample = sample_open_layout if is_open(scenario) else sample_layout
    return sample(scenario, seed)


def instruction_of(scenario: str, seed: int) -> str:
    """What is asked for first in a field."""
    if is_open(scenario):
        return sample_open_layout(scenario, seed).order.said.text
    return parse_scenario(scenario).instruction


def refuse_kept(name: str) -> None:
    """Keeps what is for testing out of what is collected.

    Raises:
        ScenarioError: the scenario is one to evaluate with only.
    """
    if not is_open(name):
        return
    scenario = parse_open_scenario(name)
    if scenario.new:
        raise ScenarioError(
            f"'{name}' has words, things and rooms that are kept for testing: collect without "
            f"_{NEW}"
        )
    if scenario.change:
        raise ScenarioError(
            f"'{name}' changes its instruction on the way, and an episode has one: collect "
            f"without _{CHANGE}"
        )


def scenario_names(
    field: str,
    given: tuple[str, ...] = (),
    tiers: tuple[str, ...] = (),
    target: str = "",
    *,
    new: bool = False,
    change: bool = False,
) -> tuple[str, ...]:
    """The scenarios that a field's name and its options stand for.

    Args:
        field: "lab" or "open".
        given: scenario names, "all" for the field's own; none: all.
        tiers: of the open field; none: all.
        target: what to drive to in the open field, such as "grey basket", or "stop".
        new: also what is kept for testing.
        change: the instruction changes on the way.

    Raises:
        ScenarioError: an unknown field, tier, thing or scenario, or an option of another field.
    """
    if field not in FIELDS:
        raise ScenarioError(f"'{field}' is no field: give {' or '.join(FIELDS)}")
    own = tuple(name for name in given if name != "all")
    for name in own:
        if is_open(name) != (field == OPEN):
            if field == OPEN and name.split("_")[0] not in ("1box", "2box"):
                parse_open_scenario(name)  # says what a name of this field looks like
            other = OPEN if field == LAB else LAB
            raise ScenarioError(
                f"the scenario '{name}' is none of the {field} field: say --field {other} "
                "(field:=... in ROS), or give another scenario"
            )
    if field == LAB:
        if tiers or target or new or change:
            raise ScenarioError(
                "tiers, targets, kept words and changes belong to the open field: say --field "
                f"{OPEN} (field:={OPEN} in ROS), or leave them out"
            )
        names = [n for name in given or ("all",) for n in (SCENARIOS if name == "all" else [name])]
        return tuple(dict.fromkeys(names))
    for tier in tiers:
        if tier not in TIERS:
            raise ScenarioError(f"'{tier}' is no tier of the open field: give {', '.join(TIERS)}")
    words: tuple[str, ...] = ()
    if target:
        words = (STOP,) if target.strip().lower() == STOP else target_words(target)
    words += (CHANGE,) * change + (NEW,) * new
    if own and (tiers or words):
        raise ScenarioError(
            f"the scenario '{own[0]}' says all by its name: leave tier, target and the like out, "
            "or the scenario"
        )
    if own:
        return tuple(dict.fromkeys(own))
    names = ["_".join([PREFIX, tier, *words]) for tier in tiers or TIERS]
    for name in names:
        parse_open_scenario(name)
    return tuple(dict.fromkeys(names))
