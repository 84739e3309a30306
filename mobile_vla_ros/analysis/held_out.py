"""What a checkpoint was trained on, and what that makes of a verification."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from mobile_vla_ros.analysis.recordings import AnalysisError, side_of_name
from mobile_vla_ros.analysis.traces import Trace, error_sums
from mobile_vla_ros.episodes import Episode
from mobile_vla_ros.episodes.identity import Identity, identify
from mobile_vla_ros.episodes.known_episodes import KnownEpisodes, read_seen
from mobile_vla_ros.stats.bootstrap import bootstrap_sums
from mobile_vla_ros.stats.regression import rmse


class TrainedOnError(AnalysisError):
    """A file the checkpoint has seen in training stands among the held-out ones."""


class Provenance:
    """Which recordings a checkpoint has seen, in every stage of its training.

    They are recognised by frames, stamps and commands, so a copy that was relabelled, trimmed,
    mirrored, merged or sent through another format is still the recording.
    """

    def __init__(
        self,
        training: Iterable[Identity],
        validation: Iterable[Identity],
        unknown: Iterable[str] = (),
    ) -> None:
        self.training = KnownEpisodes(training)
        self.validation = KnownEpisodes(validation)
        self.unknown = tuple(unknown)
        self._chosen_by = 0
        self._same_name: list[str] = []

    @classmethod
    def of(cls, policy) -> Provenance:
        """Reads the policy's own record; empty when the checkpoint keeps none."""
        kept = policy.provenance
        stored = getattr(kept, "episodes", None) or {}
        training, validation = read_seen(stored, kept.training_files, kept.validation_files)
        return cls(training, validation, map(str, stored.get("unknown_stages") or ()))

    def seen(self, episode: Episode, sha256: str) -> Identity | None:
        """The training episode that the file holds, in whole or in part, or None.

        Raises:
            EpisodeError: a frame that it is recognised by cannot be read.
        """
        if not len(self.training) and not len(self.validation):
            return None
        own = identify(episode, sha256)
        found = self.training.find(episode, own)
        if found is None:
            self._chosen_by += self.validation.find(episode, own) is not None
            name = episode.path.name
            if any(k.name == name and not k.known_by_content for k in self.training.known):
                self._same_name.append(name)
        return found

    def training_sides(self) -> dict[str, int]:
        """How many training files of each side, by their names."""
        sides = [side_of_name(known.name) for known in self.training.known]
        return {side: sides.count(side) for side in ("left", "right") if side in sides}

    def held_out(self) -> dict[str, Any]:
        """What is known about whether the files that were asked for are new to the checkpoint."""
        seen = self._chosen_by
        if not len(self.training):
            return {
                "known": False,
                "note": "the checkpoint does not say which files it was trained on, so whether "
                "these are held out is not known",
                "validation_files": seen,
            }
        if self.unknown:
            return {
                "known": False,
                "note": "the checkpoint does not say which files it was trained on before "
                f"({', '.join(self.unknown)} keeps no list), so whether these are held out is not "
                "known",
                "validation_files": seen,
            }
        if self._same_name:
            return {
                "known": False,
                "note": f"{self._same_name[0]} has the name of a file it was trained on but other "
                "bytes, and the checkpoint lists no content; relabelled or another recording, "
                "whether these are held out is not known",
                "validation_files": seen,
            }
        note = "none of the files was trained on"
        if seen:
            note += f"; {seen} of them chose the checkpoint (validation files), which flatters it"
        return {"known": True, "note": note, "validation_files": seen}


def generalisation(
    traces: list[Trace], trained: dict[str, int], *, seed: int = 0, resamples: int = 1000
) -> dict[str, Any]:
    """Error on the side that training left out against the side it showed."""
    result: dict[str, Any] = {"trained_on": trained}
    if len(trained) != 1:
        result["measured"] = False
        result["reason"] = (
            "the checkpoint does not say which sides it was trained on"
            if not trained
            else "the checkpoint was trained on both sides; train on one to measure it"
        )
        return result
    seen = next(iter(trained))
    rng = np.random.default_rng([seed, 13])
    sums: dict[str, np.ndarray] = {}
    for side in ("left", "right"):
        rows = [
            error_sums(t.normalised[:, 0], t.truth_normalised[:, 0]).sum(axis=0)
            for t in traces
            if (t.side or side_of_name(t.scenario or "")) == side
        ]
        if not rows:
            result["measured"] = False
            result["reason"] = f"trained on {seen} only, but no {side} episode is among the data"
            return result
        sums[side] = np.stack(rows)
    unseen = "right" if seen == "left" else "left"
    on_seen = bootstrap_sums(sums[seen], rmse, rng, resamples=resamples)
    on_unseen = bootstrap_sums(sums[unseen], rmse, rng, resamples=resamples)
    result.update(
        measured=True,
        seen=seen,
        unseen=unseen,
        rmse_normalised_step0={
            side: {"value": found.value, "low": found.low, "high": found.high}
            for side, found in ((seen, on_seen), (unseen, on_unseen))
        },
    )
    return result
