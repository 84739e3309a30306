"""What a folder of episodes holds: one line per file, and done against wanted per scenario."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mobile_vla_ros.episodes.checks import why_unusable
from mobile_vla_ros.episodes.plan import CollectionPlan, Progress
from mobile_vla_ros.episodes.reader import open_episode
from mobile_vla_ros.episodes.schema import EpisodeError

_LOOKS = 32  # frames of an episode


@dataclass(frozen=True)
class Entry:
    """One readable episode of a collection.

    Attributes:
        path: the file.
        scenario, side, instruction, outcome, complete: as in the episode.
        frames: its rows.
        duration: seconds from the first frame to the last.
        image_format: ``raw`` or ``jpeg``.
        bytes: size of the file.
    """

    path: Path
    scenario: str
    side: str | None
    instruction: str
    outcome: str
    complete: bool
    frames: int
    duration: float
    image_format: str
    bytes: int


@dataclass(frozen=True)
class Filter:
    """Which episodes are meant; an empty field lets all through."""

    scenario: str = ""
    side: str = ""
    outcome: str = ""
    complete: bool | None = None

    def admits(self, entry: Entry) -> bool:
        """Whether the episode is one of them; ``scenario`` may be a part of the name."""
        return (
            self.scenario in entry.scenario
            and self.side in ("", entry.side)
            and self.outcome in ("", entry.outcome)
            and self.complete in (None, entry.complete)
        )


def survey(files: Iterable[Path]) -> tuple[list[Entry], list[tuple[Path, str]]]:
    """Opens every file; returns the usable ones and, for the others, the reason.

    A few frames of each are looked at; ``check`` looks at all.
    """
    entries: list[Entry] = []
    unreadable: list[tuple[Path, str]] = []
    for path in files:
        try:
            reason = why_unusable(path, most=_LOOKS)
            if reason is not None:
                raise EpisodeError(reason)
            with open_episode(path) as episode:
                entries.append(
                    Entry(
                        path=path,
                        scenario=episode.scenario,
                        side=episode.side,
                        instruction=episode.instruction,
                        outcome=episode.outcome,
                        complete=episode.complete,
                        frames=len(episode),
                        duration=float(episode.image_stamps[-1] - episode.image_stamps[0]),
                        image_format=episode.image_format,
                        bytes=path.stat().st_size,
                    )
                )
        except EpisodeError as error:
            unreadable.append((path, str(error)))
    return entries, unreadable


def count_scenarios(entries: Iterable[Entry], plan: CollectionPlan | None) -> list[Progress]:
    """Complete episodes per scenario against the plan; without a plan the targets are 0."""
    done: dict[str, int] = {}
    for entry in entries:
        done[entry.scenario] = done.get(entry.scenario, 0) + bool(entry.complete)
    return (plan or CollectionPlan(())).progress(done)
