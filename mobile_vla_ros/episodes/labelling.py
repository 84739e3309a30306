"""Under which label the next episode is recorded: as a person says, or as the plan proposes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mobile_vla_ros.episodes.names import check_scenario
from mobile_vla_ros.episodes.plan import CollectionPlan
from mobile_vla_ros.episodes.recorded_row import Label
from mobile_vla_ros.episodes.recording import RecordingError


class Labelling:
    """Chooses labels, and knows how far a collection is.

    Args:
        plan: targets and instructions by scenario; None without a plan.

    Attributes:
        finished: complete episodes by scenario, as last counted on the disk.
    """

    def __init__(self, plan: CollectionPlan | None = None) -> None:
        self._plan = plan
        self.finished: Mapping[str, int] = {}

    def choose(self, scenario: str, instruction: str) -> Label:
        """The label of an episode that is to begin.

        Args:
            scenario: as a person set it; "" leaves it to the plan.
            instruction: likewise.

        Raises:
            InputError: nobody says it, or it is no scenario's name.
        """
        if not scenario and self._plan is not None:
            scenario = self._next()
            if not scenario:
                raise RecordingError(
                    "every target of the plan is reached: set the parameter scenario for more"
                )
        if not scenario:
            raise RecordingError(
                "set the parameter scenario first, e.g. 1box_left, or give a plan"
            )
        check_scenario(scenario)
        instruction = instruction or self._planned(scenario)
        if not instruction:
            raise RecordingError(
                f"set the parameter instruction first: what is the robot told in '{scenario}'?"
            )
        return Label(scenario, instruction)

    def proposed(self, scenario: str, instruction: str) -> Label:
        """What `choose` would choose now, as far as it is known."""
        name = scenario or self._next()
        return Label(name, instruction or self._planned(name))

    @property
    def missing(self) -> int:
        """Episodes that the plan still wants; 0 without a plan."""
        if self._plan is None:
            return 0
        return sum(entry.missing for entry in self._plan.progress(self.finished))

    def status(self) -> dict[str, Any]:
        """Progress by scenario, episodes to either side, and what comes next."""
        progress = (
            [vars(entry) for entry in self._plan.progress(self.finished)]
            if self._plan is not None
            else [{"name": n, "done": d, "target": 0} for n, d in sorted(self.finished.items())]
        )
        sides = {
            side: sum(n for name, n in self.finished.items() if side in name.split("_"))
            for side in ("left", "right")
        }
        return {"progress": progress, **sides, "next": self._next()}

    def _next(self) -> str:
        proposed = self._plan.propose(self.finished) if self._plan is not None else None
        return proposed.name if proposed is not None else ""

    def _planned(self, scenario: str) -> str:
        return self._plan.instruction(scenario) if self._plan is not None else ""
