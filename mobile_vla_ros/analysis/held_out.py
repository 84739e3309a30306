"""What a checkpoint was trained on, and what that makes of a verification."""

from __future__ import annotations

from typing import Any

import numpy as np

from mobile_vla_ros.analysis.recordings import AnalysisError, side_of_name
from mobile_vla_ros.analysis.traces import Trace, error_sums
from mobile_vla_ros.stats.bootstrap import bootstrap_sums
from mobile_vla_ros.stats.regression import rmse


class TrainedOnError(AnalysisError):
    """A file the checkpoint has seen in training stands among the held-out ones."""


class Provenance:
    """Which files a checkpoint has seen."""

    def __init__(self, training: dict[str, str], validation: dict[str, str]) -> None:
        self.names = {fingerprint: name for name, fingerprint in training.items()}
        self.training = set(training.values())
        self.validation = set(validation.values())

    @classmethod
    def of(cls, policy) -> Provenance:
        """Reads the policy's own record; empty when the checkpoint keeps none."""
        kept = policy.provenance
        return cls(dict(kept.training_files or {}), dict(kept.validation_files or {}))

    def training_sides(self) -> dict[str, int]:
        """How many training files of each side, by their names."""
        sides = [side_of_name(name) for name in self.names.values()]
        return {side: sides.count(side) for side in ("left", "right") if side in sides}

    def held_out(self, files: dict[str, str]) -> dict[str, Any]:
        """What is known about whether ``files`` (name -> hash) are new to the checkpoint."""
        seen = sum(fingerprint in self.validation for fingerprint in files.values())
        if not self.training:
            return {
                "known": False,
                "note": "the checkpoint does not say which files it was trained on, so whether "
                "these are held out is not known",
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
