"""The collection plan: which scenarios are wanted, how many of each, and what is still missing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mobile_vla_ros.errors import InputError
from mobile_vla_ros.files import text_of

_NAME = re.compile(r"^[A-Za-z0-9]+(_[A-Za-z0-9]+)*$")
_FILE_NAME = re.compile(r"^episode_\d{8}_\d{6}_(?P<scenario>.+?)(-\d+)?$")
_SIDES = ("left", "right")


class PlanError(InputError):
    """A collection plan that cannot be used; the sentence names the file and the entry."""


@dataclass(frozen=True)
class PlannedScenario:
    """One line of the plan.

    Attributes:
        name: scenario name as it stands in file names, e.g. ``1box_left`` or ``1box_close_left``.
        target: number of episodes wanted.
        instruction: what the robot is told in these episodes.
        base: name of the scenario this is a level of; its own name when it has no levels.
        level: ``close``, ``easy``, ...; empty when the scenario has no levels.
    """

    name: str
    target: int
    instruction: str
    base: str
    level: str = ""


@dataclass(frozen=True)
class Progress:
    """How far one scenario is: ``done`` finished episodes of ``target`` wanted."""

    name: str
    done: int
    target: int

    @property
    def missing(self) -> int:
        """Episodes still to record, never negative."""
        return max(0, self.target - self.done)


@dataclass(frozen=True)
class CollectionPlan:
    """The scenarios to record, in the order in which they stand in the file."""

    scenarios: tuple[PlannedScenario, ...]

    def find(self, name: str) -> PlannedScenario | None:
        """The scenario of that exact name, or None."""
        return next((entry for entry in self.scenarios if entry.name == name), None)

    def instruction(self, name: str) -> str:
        """What the robot is told in a scenario of that name; empty when the plan lacks it."""
        entry = self.find(name)
        return entry.instruction if entry else ""

    def progress(self, done: Mapping[str, int]) -> list[Progress]:
        """Done against wanted.

        Args:
            done: number of finished episodes by scenario name; names that the plan lacks follow
                at the end with target 0, so that nothing recorded is hidden.
        """
        planned = [Progress(e.name, done.get(e.name, 0), e.target) for e in self.scenarios]
        known = {entry.name for entry in self.scenarios}
        others = [Progress(name, n, 0) for name, n in sorted(done.items()) if name not in known]
        return planned + others

    def propose(self, done: Mapping[str, int]) -> PlannedScenario | None:
        """The scenario to record next: the one furthest behind its target, None when all done.

        Behind is measured as the share that is done, so that left and right grow side by side; on
        a tie the plan's order decides.
        """
        open_entries = [e for e in self.scenarios if done.get(e.name, 0) < e.target]
        if not open_entries:
            return None
        return min(open_entries, key=lambda entry: done.get(entry.name, 0) / entry.target)


class _PlanLoader(yaml.SafeLoader):
    """YAML in which a key stands once, and 1:30 is no number (YAML 1.1 makes it 90)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """As the base class does it, but a key that stands twice is refused."""
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(getattr(key, "value", ""))
            if isinstance(key, yaml.ScalarNode) and name in seen:
                raise PlanError(f"{name!r} stands twice, on line {key.start_mark.line + 1} again")
            seen.add(name)
        return super().construct_mapping(node, deep)


_PlanLoader.yaml_implicit_resolvers = {
    first: [
        (tag, re.compile(r"[-+]?(0|[1-9][0-9]*)$") if tag.endswith(":int") else pattern)
        for tag, pattern in resolvers
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def level_name(base: str, level: str) -> str:
    """Scenario name of a level, which stands before the side: 1box_left -> 1box_close_left."""
    head, _, side = base.rpartition("_")
    return f"{head}_{level}_{side}" if head and side in _SIDES else f"{base}_{level}"


def scenario_of(file_name: str) -> str:
    """The scenario in ``episode_YYYYMMDD_HHMMSS_<scenario>[-2].h5``; empty for another name."""
    match = _FILE_NAME.match(Path(file_name).stem)
    return match["scenario"] if match else ""


def count_by_name(files: Iterable[Path | str]) -> dict[str, int]:
    """Number of episode files by the scenario in their names; other files are not counted."""
    counts: dict[str, int] = {}
    for file in files:
        scenario = scenario_of(Path(file).name)
        if scenario:
            counts[scenario] = counts.get(scenario, 0) + 1
    return counts


def read_plan(path: str | Path) -> CollectionPlan:
    """Reads a plan.

    The file is YAML: ``scenarios`` maps a name to ``target`` (or ``levels``: level -> target) and
    ``instruction`` (a top-level ``instruction`` serves those that have none).

    Raises:
        PlanError: the file is missing, is no YAML, or an entry is wrong; the sentence says which.
    """
    file = Path(path)
    try:
        content = yaml.load(text_of(file), _PlanLoader)
    except OSError as error:
        raise PlanError(f"cannot read the collection plan {file}: {error.strerror}") from error
    except PlanError as error:
        raise PlanError(f"the collection plan {file}: {error}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        said = " ".join(str(error).split())
        raise PlanError(f"the collection plan {file} is not YAML: {said}") from error
    return plan_from(content, str(file))


def plan_from(content: Any, name: str = "plan") -> CollectionPlan:
    """The same from parsed YAML; ``name`` stands in error sentences."""
    entries = content.get("scenarios") if isinstance(content, dict) else None
    if not isinstance(entries, dict) or not entries:
        raise PlanError(f"{name}: 'scenarios' must map scenario names to targets")
    fallback = _text(content.get("instruction", ""), f"{name}: instruction")
    planned: list[PlannedScenario] = []
    for key, entry in entries.items():
        where = f"{name}: scenario {key!r}"
        base = _scenario_name(key, where)
        if isinstance(entry, int):
            entry = {"target": entry}
        if not isinstance(entry, dict):
            raise PlanError(f"{where} must hold a target, or target, levels and instruction")
        unknown = sorted(set(entry) - {"target", "levels", "instruction"})
        if unknown:
            raise PlanError(f"{where} has an unknown key {unknown[0]!r}")
        instruction = _text(entry.get("instruction", fallback), f"{where}: instruction")
        levels = entry.get("levels")
        if levels is None:
            target = _target(entry.get("target"), where)
            planned.append(PlannedScenario(base, target, instruction, base))
            continue
        if not isinstance(levels, dict) or not levels:
            raise PlanError(f"{where}: levels must map level names to targets")
        sum_of_levels = 0
        for level, target in levels.items():
            level = _scenario_name(level, f"{where}, level {level!r}")
            target = _target(target, f"{where}, level {level!r}")
            sum_of_levels += target
            planned.append(
                PlannedScenario(level_name(base, level), target, instruction, base, level)
            )
        if "target" in entry and _target(entry["target"], where) != sum_of_levels:
            raise PlanError(
                f"{where}: target is {entry['target']} but its levels add up to {sum_of_levels}"
            )
    names = [entry.name for entry in planned]
    twice = sorted({entry for entry in names if names.count(entry) > 1})
    if twice:
        raise PlanError(f"{name}: scenario {twice[0]!r} stands in the plan twice")
    return CollectionPlan(tuple(planned))


def _scenario_name(value: Any, where: str) -> str:
    if not isinstance(value, str) or not _NAME.match(value):
        raise PlanError(f"{where}: a name may hold letters, digits and single underscores only")
    return value


def _target(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise PlanError(f"{where}: target must be a whole number of episodes, not {value!r}")
    return value


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise PlanError(f"{where} must be text, not {value!r}")
    return value.strip()
