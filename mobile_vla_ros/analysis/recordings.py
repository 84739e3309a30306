"""The episodes an analysis reads: found, opened, and those that cannot be read set aside."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mobile_vla_ros.episodes import find_episodes, open_episode
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.hub import DATASET, resolve

# Wraps a loop to show how far it is: (items, what they are) -> the same items.
Progress = Callable[[Sequence, str], Iterable]


class AnalysisError(InputError):
    """Episodes or checkpoints that cannot be analysed; says which and what to do."""


def silent(items: Sequence, _description: str) -> Iterable:
    """The progress display that shows nothing."""
    return items


@dataclass
class Recordings:
    """Episode files and, once they have been walked, those that were left out and why."""

    paths: list[Path]
    skipped: list[dict[str, str]] = field(default_factory=list)

    def skip(self, path: Path, reason: str) -> None:
        """Leaves a file out; the reason goes into the result."""
        self.skipped.append({"path": str(path), "reason": " ".join(reason.split())})

    def walk(self, progress: Progress = silent, doing: str = "episodes") -> Iterator:
        """Opens one episode after the other; a file that cannot be opened is skipped."""
        for path in progress(self.paths, doing):
            try:
                episode = open_episode(path)
            except (InputError, OSError) as error:
                self.skip(path, str(error))
                continue
            with episode:
                yield episode

    def require(self, used: int) -> None:
        """Raises a sentence naming the first reason when no episode could be used.

        Raises:
            AnalysisError: ``used`` is 0.
        """
        if used:
            return
        first = self.skipped[0]
        raise AnalysisError(
            f"none of the {len(self.paths)} episodes can be used; the first, {first['path']}: "
            f"{first['reason']}"
        )


def find_recordings(data: Iterable[str | Path], limit: int | None = None) -> Recordings:
    """Episode files from files and folders, in sorted order, each once.

    Raises:
        AnalysisError: something named does not exist, or there is no episode.
    """
    found: list[Path] = []
    named = [resolve(item, DATASET) for item in data]
    for item in named:
        if item.is_dir():
            found.extend(find_episodes(item))
        elif item.exists():
            found.append(item)
        else:
            raise AnalysisError(f"{item} does not exist; give episode files or a folder of them")
    paths = sorted(dict.fromkeys(found))
    if not paths:
        places = ", ".join(map(str, named)) or "no folder"
        raise AnalysisError(f"there are no episodes (*.h5) in {places}; record or simulate some")
    return Recordings(paths[:limit] if limit else paths)


# The two words for a side in the languages of the lab's instructions.
_WORDS = {
    "left": "right",
    "왼쪽": "오른쪽",
    "왼편": "오른편",
    "좌측": "우측",
    "좌회전": "우회전",
}
_OTHER = {**_WORDS, **{right: left for left, right in _WORDS.items()}}
_SIDES = re.compile(
    r"(?<![a-z])(left|right)(?![a-z])|" + "|".join(w for w in _OTHER if not w.isascii()),
    re.IGNORECASE,
)


def side_of_name(name: str) -> str | None:
    """'left' or 'right' when a scenario, a file name or an instruction names one, else None."""
    match = _SIDES.search(name)
    if match is None:
        return None
    return "left" if match.group(0).lower() in _WORDS else "right"


def swap_sides(instruction: str) -> str | None:
    """The instruction with left and right exchanged, or None when it names neither."""

    def exchange(match: re.Match) -> str:
        found = match.group(0)
        word = _OTHER[found.lower()]
        if found.isascii() and found.isupper():
            return word.upper()
        return word.capitalize() if found[0].isupper() else word

    swapped, count = _SIDES.subn(exchange, instruction)
    return swapped if count else None


def without_sides(instruction: str) -> str:
    """The instruction with left and right removed, so that it tells nothing about the side.

    'reach the bottle on the left' becomes 'reach the bottle'; where a side stands without
    'on the' only the word goes.
    """
    sides = r"(?:left|right)"
    text = re.sub(
        rf"\s*\b(?:on|to|at|from|in)\s+(?:the\s+|your\s+)?{sides}\b(\s+side)?",
        "",
        instruction,
        flags=re.IGNORECASE,
    )
    text = re.sub(rf",?\s*\b(passing\s+)?{sides}\b", "", text, flags=re.IGNORECASE)
    text = _SIDES.sub("", text)
    return " ".join(text.replace(" ,", ",").split())
