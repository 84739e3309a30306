"""File names of episodes and the scenario in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mobile_vla_ros.episodes.plan import scenario_of
from mobile_vla_ros.episodes.schema import EpisodeError, part_path
from mobile_vla_ros.hub import DATASET, resolve

_SCENARIO = re.compile(r"^[A-Za-z0-9]+(_[A-Za-z0-9]+)*$")
_BOXES = re.compile(r"^(\d+)box$")
_SIDES = ("left", "right")
_NUMBERS = {1: "one", 2: "two", 3: "three", 4: "four"}


@dataclass(frozen=True)
class Scenario:
    """A scenario's name taken apart, e.g. ``2box_hori_close_left``.

    Attributes:
        name: the whole name.
        boxes: number of boxes, None when the name does not say.
        side: ``left``, ``right`` or None.
        levels: what stands between them (``hori``, ``vert``, ``core``, ``variant``, ``close``,
            ``medium``, ``far``, ...).
    """

    name: str
    boxes: int | None
    side: str | None
    levels: tuple[str, ...]

    @property
    def base(self) -> str:
        """The name without its levels: ``1box_close_left`` -> ``1box_left``."""
        kept = [word for word in self.name.split("_") if word not in self.levels]
        return "_".join(kept)

    @property
    def instruction(self) -> str:
        """An instruction in words; empty when the name has no boxes or no side."""
        if self.boxes is None or self.side is None:
            return ""
        if self.boxes == 1:
            return f"Navigate around the box on the {self.side} side and reach the cup"
        number = _NUMBERS.get(self.boxes, str(self.boxes))
        return f"Navigate between the {number} boxes, passing {self.side}, and reach the cup"


def parse_scenario(name: str) -> Scenario:
    """Takes a scenario's name apart; any name is accepted, unknown parts count as levels."""
    words = name.split("_") if name else []
    boxes = next((int(m[1]) for m in map(_BOXES.match, words) if m), None)
    side = next((word for word in reversed(words) if word in _SIDES), None)
    levels = tuple(word for word in words if not _BOXES.match(word) and word not in _SIDES)
    return Scenario(name, boxes, side, levels)


def check_scenario(name: str) -> str:
    """Returns ``name`` if it can stand in a file name.

    Raises:
        EpisodeError: it is empty or holds anything but letters, digits and single underscores.
    """
    if not _SCENARIO.match(name):
        raise EpisodeError(
            f"the scenario {name!r} may hold letters, digits and single underscores only, "
            "as in 1box_left"
        )
    return name


def episode_name(when: datetime, scenario: str) -> str:
    """``episode_YYYYMMDD_HHMMSS_<scenario>.h5``."""
    return f"episode_{when:%Y%m%d_%H%M%S}_{check_scenario(scenario)}.h5"


def unique_path(directory: str | Path, when: datetime, scenario: str) -> Path:
    """A path for a new episode that no file has, finished or being recorded.

    Two in one second get a counter: ``..._1box_left-2.h5``.
    """
    return free_path(Path(directory) / episode_name(when, scenario))


def free_path(wanted: Path) -> Path:
    """``wanted``, or with the first counter that makes it free, ``<stem>-2.h5``."""
    path, counter = wanted, 1
    while path.exists() or part_path(path).exists():
        counter += 1
        path = wanted.with_name(f"{wanted.stem}-{counter}{wanted.suffix}")
    return path


def find_episodes(directory: str | Path, pattern: str = "*.h5") -> list[Path]:
    """Finished episode files in ``directory``, sorted; ``**/*.h5`` looks in its folders too.

    A link whose file is gone is among them, so that whoever opens it can say so.

    Raises:
        EpisodeError: the folder does not exist, or is a data set of LeRobot's.
    """
    folder = resolve(directory, DATASET)
    if not folder.is_dir():
        raise EpisodeError(f"{folder} is not a folder")
    found = (p for p in folder.glob(pattern) if not p.is_dir() and not p.name.startswith("."))
    episodes = sorted(found)
    if not episodes and (folder / "meta" / "info.json").is_file():
        raise EpisodeError(
            f"{folder} is a LeRobotDataset; make episodes of it with `mobile_vla episodes "
            "import-lerobot`"
        )
    return episodes


__all__ = [
    "Scenario",
    "check_scenario",
    "episode_name",
    "find_episodes",
    "free_path",
    "parse_scenario",
    "scenario_of",
    "unique_path",
]
