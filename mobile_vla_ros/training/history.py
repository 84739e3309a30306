"""What the stages before a run have seen: its checkpoint's episodes, and those before them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mobile_vla_ros.episodes import open_episode
from mobile_vla_ros.episodes.identity import Identity
from mobile_vla_ros.episodes.known_episodes import KnownEpisodes, read_seen
from mobile_vla_ros.policy.checkpoint import open_checkpoint


class Recognised(Protocol):
    """An episode of a run, as far as it is recognised by."""

    @property
    def path(self) -> Path:
        """Its file."""

    @property
    def identity(self) -> Identity | None:
        """What its content is known by; None when it was not read."""


@dataclass(frozen=True)
class History:
    """Episodes that the weights of a run have seen before it begins.

    Attributes:
        stage: how they were seen: ``model_load_path`` or ``resume``, and the file.
        training: what they were trained on, in every stage.
        validation: what chose the checkpoint.
        unknown: stages that keep no list of their episodes.
    """

    stage: str
    training: KnownEpisodes
    validation: KnownEpisodes
    unknown: tuple[str, ...] = ()

    def side(self, episode: Recognised) -> str | None:
        """``training`` or ``validation`` if an earlier stage has seen the recording, else None."""
        if not len(self.training) and not len(self.validation):
            return None
        if episode.identity is not None:
            for side, known in (("training", self.training), ("validation", self.validation)):
                if known.find_exact(episode.identity):
                    return side
        with open_episode(episode.path) as file:
            if self.training.find(file, episode.identity):
                return "training"
            return "validation" if self.validation.find(file, episode.identity) else None

    def missing(self, episodes: Iterable[Recognised]) -> list[str]:
        """Names of episodes of the stage just before that are not among ``episodes``."""
        there = KnownEpisodes(e.identity for e in episodes if e.identity is not None)
        ids = {key for i in there.known for key in (i.sha256, i.id, *i.origins)}
        return [
            known.name
            for known in (*self.training.known, *self.validation.known)
            if not known.stage and not ids & {known.sha256, known.id, *known.origins}
        ]


def history_of(path: str | Path, how: str) -> History:
    """What the checkpoint ``path`` has seen.

    Args:
        path: the checkpoint that a run starts from or goes on from.
        how: ``model_load_path`` or ``resume``.

    Raises:
        CheckpointError: it cannot be opened.
    """
    provenance = open_checkpoint(path).provenance
    training, validation = read_seen(
        provenance.episodes, provenance.training_files, provenance.validation_files
    )
    unknown = list(provenance.episodes.get("unknown_stages") or ())
    if not training and provenance.kind in ("lightning", "converted"):
        unknown.append(f"{how} {Path(path).name}")
    return History(
        stage=f"{how} {Path(path).name}",
        training=KnownEpisodes(training),
        validation=KnownEpisodes(validation),
        unknown=tuple(map(str, unknown)),
    )


def episodes_entry(
    train: Iterable[Recognised],
    validation: Iterable[Recognised],
    history: History | None,
) -> dict[str, Any]:
    """What goes into a checkpoint as ``episodes``: this run's, then those of stages before."""
    own = [e.identity for e in train if e.identity is not None]
    held = [e.identity for e in validation if e.identity is not None]
    before: list[Identity] = []
    if history is not None:
        ids = {identity.id for identity in own}
        before = [i.at(history.stage) for i in history.training.known if i.id not in ids]
    return {
        "training": [identity.to_plain() for identity in (*own, *before)],
        "validation": [identity.to_plain() for identity in held],
        "unknown_stages": list(history.unknown) if history is not None else [],
    }
