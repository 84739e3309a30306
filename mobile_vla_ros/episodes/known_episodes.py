"""Episodes that a policy has seen, and the question whether another file holds one of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from mobile_vla_ros.axes import AXES
from mobile_vla_ros.episodes.attributes import READ_ERRORS
from mobile_vla_ros.episodes.identity import (
    HEIGHT,
    WIDTH,
    Identity,
    commands_of,
    identify,
    look,
)
from mobile_vla_ros.episodes.reader import Episode
from mobile_vla_ros.episodes.schema import EpisodeError
from mobile_vla_ros.episodes.shortlist import COMMAND, FEWEST, MIRRORED, SHARE, Shortlist

_ALIKE = 3.0  # grey levels, root mean square: compression, another size
_EQUAL = 0.5  # the same where the clock says that it was another day
_ONE_CLOCK = 1e-3  # s between two stamps of one row
_EPOCH = 1e8  # s: stamps above are a real clock's, and two recordings never share them


class KnownEpisodes:
    """Episodes that somebody has seen, and the question whether another file is one of them."""

    def __init__(self, known: Iterable[Identity]) -> None:
        self.known = tuple(known)
        self._exact: dict[str, Identity] = {}
        self._stems: dict[str, Identity] = {}
        self._shortlist: Shortlist | None = None
        for identity in self.known:
            stem = identity.name.removesuffix(".h5")
            self._stems.setdefault(identity.source or stem, identity)
            for key in (identity.sha256, identity.id, *identity.origins):
                self._exact.setdefault(key, identity)

    def __len__(self) -> int:
        return len(self.known)

    def find(self, episode: Episode, identity: Identity | None = None) -> Identity | None:
        """The known episode that the file holds, in whole or in part, or None.

        Args:
            episode: the file.
            identity: its own identity, where that is known already.

        Raises:
            EpisodeError: a frame that it is recognised by cannot be read.
        """
        if not self.known:
            return None
        own = identity or identify(episode)
        found = self.find_exact(own)
        if found is not None:
            return found
        if own.source and own.source in self._stems:
            return self._stems[own.source]
        frames = _Frames(episode)
        if self._shortlist is None:
            self._shortlist = Shortlist(self.known)
        chosen = (self.known[place] for place in frames.candidates(self._shortlist))
        return next((known for known in chosen if frames.hold(known)), None)

    def find_exact(self, own: Identity) -> Identity | None:
        """The known episode of the same bytes or content, or of which it says it was made."""
        keys = (own.sha256, own.id, *own.origins)
        return next((self._exact[key] for key in keys if key in self._exact), None)


class _Frames:
    """The rows of a file, looked at only where stamps and commands leave a doubt."""

    def __init__(self, episode: Episode) -> None:
        self._episode = episode
        self._stamps = episode.image_stamps
        self._commands = commands_of(episode)
        self._looks: dict[int, np.ndarray] = {}
        steps = np.diff(self._stamps)
        # In a file thinned out, the rows half a step away are others.
        self._slack = 0.3 * float(np.median(steps)) if len(steps) else 0.0
        rising = np.isfinite(self._stamps).all() and not np.any(steps <= 0)
        self._usable = bool(rising)

    def candidates(self, shortlist: Shortlist) -> list[int]:
        """Places of the known recordings that are worth a look."""
        if not self._usable:
            return []
        slack = max(self._slack, _ONE_CLOCK) + 1e-6
        return shortlist.candidates(self._stamps, self._commands, slack)

    def hold(self, known: Identity) -> bool:
        """Whether the known recording, or a part of it, is here."""
        stamps = self._stamps
        if not known.known_by_content or not self._usable:
            return False
        tells = _tells(known.looks)
        here = np.array([known.start])
        _, inside = self._rows_at(known, here, slack=_ONE_CLOCK)
        if inside.sum() >= min(FEWEST, len(known.times)):
            # Both count by one clock, so that what was seen at one time has to be the same.
            return self._agrees(known, here, _ALIKE if tells else _EQUAL, slack=_ONE_CLOCK)
        dated = min(known.start, float(stamps[0])) > _EPOCH
        if not tells:
            return False  # pictures that say nothing prove nothing
        # When it may have begun here: of any three kept frames in a row, one is an anchor.
        anchors = known.times[min(FEWEST, len(known.times)) - 1 :: FEWEST]
        starts = (stamps[None, :] - anchors[:, None]).ravel()
        limit = _EQUAL if dated else _ALIKE
        return self._agrees(known, starts, limit, slack=self._slack + 1e-6)

    def _agrees(self, known: Identity, starts: np.ndarray, limit: float, slack: float) -> bool:
        """Whether it agrees with the rows here, had it begun at one of ``starts``."""
        rows, inside = self._rows_at(known, starts, slack)
        enough = inside.sum(axis=1) >= min(FEWEST, len(known.times))
        for mirrored in (False, True):
            signs = MIRRORED if mirrored else np.ones(len(AXES))
            apart = np.abs(self._commands[rows] - known.commands * signs)
            alike = (np.nan_to_num(apart, nan=0.0) <= COMMAND).all(axis=2)
            looks = known.looks[..., ::-1] if mirrored else known.looks
            for place in np.flatnonzero(enough & _most(alike, inside)):
                kept = inside[place]
                there = np.stack([self._look(int(row)) for row in rows[place, kept]])
                apart = np.sqrt(np.mean((there - looks[kept].astype(float)) ** 2, axis=(1, 2)))
                if np.mean(apart <= limit) >= SHARE:
                    return True
        return False

    def _rows_at(
        self, known: Identity, starts: np.ndarray, slack: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """int64 [N, K], the row nearest to each kept frame; bool [N, K], whether it is near."""
        stamps, end = self._stamps, len(self._stamps) - 1
        wanted = starts[:, None] + known.times
        after = np.clip(np.searchsorted(stamps, wanted), 0, end)
        before = np.clip(after - 1, 0, end)
        nearer = np.abs(stamps[before] - wanted) <= np.abs(stamps[after] - wanted)
        rows = np.where(nearer, before, after)
        return rows, np.abs(stamps[rows] - wanted) <= slack

    def _look(self, row: int) -> np.ndarray:
        """float64 [8,12]; NaN for a frame that cannot be read."""
        if row not in self._looks:
            try:
                self._looks[row] = look(self._episode.image(row)).astype(np.float64)
            except EpisodeError:
                self._looks[row] = np.full((HEIGHT, WIDTH), np.nan)
        return self._looks[row]


def _most(alike: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """bool [N]: of the kept frames that lie inside, enough are alike."""
    counted = np.maximum(inside.sum(axis=1), 1)
    return (alike & inside).sum(axis=1) >= SHARE * counted


def _tells(looks: np.ndarray) -> bool:
    """Whether the pictures have content and change, so that likeness means something."""
    values = looks.astype(np.float64)
    changes = np.sqrt(np.mean((values[0] - values[-1]) ** 2))
    return bool(values.std(axis=(1, 2)).min() > _ALIKE and changes > _ALIKE)


def read_seen(
    stored: Mapping[str, Any],
    training_files: Mapping[str, str] | None,
    validation_files: Mapping[str, str] | None,
) -> tuple[list[Identity], list[Identity]]:
    """The training and the validation episodes that a checkpoint lists.

    Args:
        stored: its lists ``training`` and ``validation``; entries of another making are left
            aside.
        training_files, validation_files: name -> SHA-256, all that older checkpoints list.
    """
    found = []
    for key, files in (("training", training_files), ("validation", validation_files)):
        entries = stored.get(key)
        identities = []
        for entry in entries if isinstance(entries, (list, tuple)) else ():
            try:
                identities.append(Identity.from_plain(entry))
            except READ_ERRORS:
                continue
        known = {identity.sha256 for identity in identities}
        identities += [
            Identity.bare(name, digest)
            for name, digest in (files or {}).items()
            if digest not in known
        ]
        found.append(identities)
    return found[0], found[1]
