"""What the recorder node and its writer process say to each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mobile_vla_ros.episodes.recorded_row import Counts
from mobile_vla_ros.nodes.wiring.images import ImageFormat


@dataclass(frozen=True)
class EpisodeOrder:
    """Everything the writer must know to begin an episode.

    Attributes:
        needed_bytes: room that must be free on the disk at the start.
        writer: keyword arguments of `EpisodeWriter` besides path, scenario and instruction.
    """

    episode: int
    directory: str
    scenario: str
    instruction: str
    needed_bytes: int
    writer: dict[str, Any]


@dataclass(frozen=True)
class RowOrder:
    """One row; its pixels are the first `size` bytes of the slot.

    `form` says how to read them; None means that they are a JPEG, to be stored as it is.
    """

    episode: int
    slot: int
    size: int
    form: ImageFormat | None
    values: dict[str, Any]
    counts: Counts


@dataclass(frozen=True)
class FinishOrder:
    """The end of an episode; the counts are the sender's, `facts` become attributes."""

    episode: int
    complete: bool
    outcome: str
    counts: Counts
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DiscardOrder:
    episode: int


@dataclass(frozen=True)
class RingOrder:
    """The shared memory has a new size."""

    slots: int
    slot_bytes: int


@dataclass(frozen=True)
class RecoverOrder:
    """Finish what an earlier recorder left behind in the directory."""

    directory: str


@dataclass(frozen=True)
class Began:
    episode: int
    path: str


@dataclass(frozen=True)
class Wrote:
    """A slot is free again; `rows` of the episode are in the file."""

    episode: int
    slot: int
    rows: int
    seconds: float


@dataclass(frozen=True)
class Ended:
    """An episode is over.

    `error` is empty when all went well; `path` is empty when there is no file.
    """

    episode: int
    path: str
    rows: int
    size: int
    dropped: int
    seconds: float
    error: str = ""


@dataclass(frozen=True)
class Recovered:
    """One interrupted file was dealt with; `path` is the episode it became, '' if none."""

    path: str
    sentence: str


@dataclass(frozen=True)
class DiskReport:
    """Room left, finished episodes by scenario, and the process's own memory."""

    free_bytes: int
    episodes: dict[str, int] = field(default_factory=dict)
    resident_bytes: int = 0
