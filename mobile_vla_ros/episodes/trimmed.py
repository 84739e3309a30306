"""Trimmed copies beside their recordings: one drive, which counts once."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mobile_vla_ros.episodes.reader import open_episode
from mobile_vla_ros.episodes.schema import EpisodeError

TRIMMED_FROM = "trimmed_from"
"""Attribute by which a trimmed copy names the file that it was made of."""


def superseded(paths: Iterable[Path]) -> dict[Path, Path]:
    """Recordings of which a trimmed copy is among the same files -> that copy.

    Whoever trims means the copy; the recording beside it is no second episode. A file that cannot
    be opened is nobody's copy: its own reader says what is wrong with it.
    """
    files = list(paths)
    copies: dict[str, Path] = {}
    for path in files:
        try:
            with open_episode(path) as episode:
                source = episode.attributes.get(TRIMMED_FROM)
        except EpisodeError:
            continue
        if isinstance(source, str) and source and source != path.name:
            copies[source] = path
    return {path: copies[path.name] for path in files if path.name in copies}
