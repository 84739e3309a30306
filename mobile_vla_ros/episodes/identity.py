"""Whether two files hold the same recording, told by frames, stamps and commands.

A hash of the bytes changes with every word in a file. What is kept here of an episode recognises
it after it was relabelled, trimmed, mirrored, joined to another, or sent through another format:
twelve of its frames at 12 x 8 grey levels, when they were captured, and the commands beside them.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mobile_vla_ros.axes import AXES
from mobile_vla_ros.episodes.reader import Episode
from mobile_vla_ros.episodes.schema import EpisodeError

ORIGINS = "origins"  # attribute: identities of the recordings that a changed file was made of
SOURCE = "augmentation_source"  # attribute by which a changed copy names its recording

_KEPT = 12  # frames kept of an episode
HEIGHT, WIDTH = 8, 12


@dataclass(frozen=True)
class Identity:
    """What an episode is recognised by.

    Attributes:
        name: the file's name when it was looked at; for sentences only.
        sha256: of its bytes then.
        id: hash of stamps, commands and the kept frames: words do not change it.
        origins: identities of the recordings it was made of by trimming, mirroring, joining.
        source: name (without ``.h5``) of the recording that a changed copy was made of, or "".
        start: stamp of its first row, s.
        times: float64 [K], s after ``start``.
        commands: float64 [K, 6], m/s and rad/s on the six axes, NaN where it has no such column.
        looks: uint8 [K, 8, 12], grey levels.
        stage: by which training the policy saw it; empty for its own.
    """

    name: str
    sha256: str
    id: str
    origins: tuple[str, ...]
    source: str
    start: float
    times: np.ndarray
    commands: np.ndarray
    looks: np.ndarray
    stage: str = ""

    def to_plain(self) -> dict[str, Any]:
        """As plain values, for a checkpoint or JSON."""
        return {
            "name": self.name,
            "sha256": self.sha256,
            "id": self.id,
            "origins": list(self.origins),
            "source": self.source,
            "start": self.start,
            "times": _pack(self.times.astype("<f4")),
            "commands": _pack(self.commands.astype("<f4")),
            "looks": _pack(self.looks),
            "stage": self.stage,
        }

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> Identity:
        """The reverse of ``to_plain``.

        Raises:
            ValueError: the values are not what it writes.
        """
        try:
            times = _unpack(values["times"], "<f4").astype(np.float64)
            commands = _unpack(values["commands"], "<f4").astype(np.float64)
            looks = _unpack(values["looks"], "u1")
            return cls(
                name=str(values["name"]),
                sha256=str(values["sha256"]),
                id=str(values["id"]),
                origins=tuple(map(str, values["origins"])),
                source=str(values["source"]),
                start=float(values["start"]),
                times=times,
                commands=commands.reshape(len(times), len(AXES)),
                looks=looks.reshape(len(times), HEIGHT, WIDTH),
                stage=str(values.get("stage", "")),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not an episode's identity: {error}") from error

    @classmethod
    def bare(cls, name: str, sha256: str) -> Identity:
        """What an older list says of an episode: it is recognised by its bytes alone."""
        none = np.zeros(0)
        return cls(
            name, sha256, sha256, (), "", float("nan"), none, np.zeros((0, len(AXES))), none
        )

    @property
    def known_by_content(self) -> bool:
        """Whether more than the file's bytes is known."""
        return len(self.times) > 0

    def at(self, stage: str) -> Identity:
        """The same, seen by a training before; what it says of one before that stays."""
        return replace(self, stage=self.stage or stage)


def _pack(values: np.ndarray) -> str:
    return base64.b64encode(values.tobytes()).decode("ascii")


def _unpack(text: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), kind)


def identify(episode: Episode, sha256: str | None = None) -> Identity:
    """What the episode is recognised by; twelve of its frames are decoded.

    Raises:
        EpisodeError: one of those cannot be read.
    """
    rows = np.unique(np.linspace(0, len(episode) - 1, _KEPT).astype(int))
    looks = np.stack([look(episode.image(int(row))) for row in rows])
    stamps, commands = episode.image_stamps, commands_of(episode)
    digest = hashlib.sha256()
    # Microseconds: what a stamp keeps on its way through other formats.
    digest.update(np.round(np.nan_to_num(stamps) * 1e6).astype("<i8").tobytes())
    digest.update(np.nan_to_num(episode.actions).astype("<f4").tobytes())
    digest.update(looks.tobytes())
    return Identity(
        name=episode.path.name,
        sha256=sha256 or episode.sha256(),
        id=digest.hexdigest(),
        origins=stored_origins(episode),
        source=str(episode.attributes.get(SOURCE, "")),
        start=float(stamps[0]),
        times=stamps[rows] - stamps[0],
        commands=commands[rows],
        looks=looks,
    )


def stored_origins(episode: Episode) -> tuple[str, ...]:
    """The recordings that the file says it was made of."""
    stored = episode.attributes.get(ORIGINS, "")
    words = stored.split() if isinstance(stored, str) else map(str, np.ravel(stored))
    return tuple(word for word in words if len(word) == 64)


def origins_of(episodes: Iterable[Episode]) -> dict[str, str]:
    """The attribute that a file made of these episodes carries."""
    found: dict[str, None] = {}
    for episode in episodes:
        try:
            found.update(dict.fromkeys(stored_origins(episode)))
            found[identify(episode, "-").id] = None
        except EpisodeError:
            continue  # a frame cannot be read: content cannot say who it is
    return {ORIGINS: " ".join(found)}


def look(image: np.ndarray) -> np.ndarray:
    """uint8 [8,12] grey levels of a frame, uint8 [H,W,3] RGB."""
    import cv2

    small = cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)


def commands_of(episode: Episode) -> np.ndarray:
    """float64 [T, 6]: the commands on the six axes, NaN where there is no such column."""
    found = np.full((len(episode), len(AXES)), np.nan)
    for column, axis in enumerate(episode.action_axes):
        if axis in AXES:
            found[:, AXES.index(axis)] = episode.actions[:, column]
    return found
