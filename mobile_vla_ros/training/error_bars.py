"""Means and intervals over seeds, and whether two rows differ on the same held-out episodes."""

from __future__ import annotations

import fnmatch
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mobile_vla_ros.stats.bootstrap import Interval
from mobile_vla_ros.stats.crossed import crossed_interval, mean_interval
from mobile_vla_ros.training.experiments import Experiment, read_result
from mobile_vla_ros.training.scoreboard import METRICS
from mobile_vla_ros.training.seeds import EPISODE_ERRORS, results_by_seed

NOT_ENOUGH = "not enough to tell"
# All held-out episodes, as a pattern of file names.
ALL = "*"


@dataclass(frozen=True)
class Cell:
    """One number of the table.

    Attributes:
        metric: a key of `METRICS`; `rmse linear.x` for one axis.
        interval: mean and 95 % interval over seeds; NaN where there is none.
        seeds: how many it is the mean of.
    """

    metric: str
    interval: Interval
    seeds: int

    def words(self) -> str:
        """The number as it stands in a table."""
        value = f"{self.interval.value:.3g}"
        if math.isfinite(self.interval.low):
            return f"{value} ({self.interval.low:.3g} to {self.interval.high:.3g})"
        return value


@dataclass(frozen=True)
class Difference:
    """Two rows on the episodes that neither was trained on.

    Attributes:
        first, second: ids.
        interval: RMSE (normalised, first chunk step) of the first less that of the second, mean
            over episodes and seeds; NaN where there is none.
        seeds: that both ran.
        episodes: that all of them held out.
    """

    first: str
    second: str
    interval: Interval
    seeds: int
    episodes: int

    @property
    def verdict(self) -> str:
        """Which is better, or that there is not enough to tell."""
        if self.interval.high < 0:
            return f"{self.first} is better"
        if self.interval.low > 0:
            return f"{self.second} is better"
        return NOT_ENOUGH

    def to_plain(self) -> dict[str, Any]:
        """As it stands in the JSON."""
        return {
            "first": self.first,
            "second": self.second,
            "metric": "rmse_normalised_step0",
            **_plain(self.interval),
            "seeds": self.seeds,
            "episodes": self.episodes,
            "verdict": self.verdict,
        }


def results_of(runs: str | Path, row: Experiment, small: bool) -> list[Mapping[str, Any]]:
    """The results of a row's seeds; without seeds, the one of its single run."""
    found = list(results_by_seed(runs, row, small).values())
    single = read_result(runs, row, small)
    return found or ([] if single is None else [single])


def cells(results: Sequence[Mapping[str, Any]], episodes: str = ALL) -> list[Cell]:
    """Every number that the results have, with its interval over them.

    Args:
        results: one of each seed.
        episodes: pattern of the held-out files that `episode_rmse` is the mean of.
    """
    values: dict[str, list[float]] = {}
    for result in results:
        errors = [entry["rmse"] for entry in errors_on(result, episodes).values()]
        numbers = {**result, **({"episode_rmse": float(np.mean(errors))} if errors else {})}
        for name in METRICS:
            found = numbers.get(name)
            if isinstance(found, Mapping):
                for axis, value in found.items():
                    values.setdefault(f"{name} {axis}", []).append(value)
            elif isinstance(found, (int, float)) and math.isfinite(found):
                values.setdefault(name, []).append(found)
    return [Cell(name, mean_interval(found), len(found)) for name, found in values.items()]


def errors_on(result: Mapping[str, Any], episodes: str) -> dict[str, Mapping[str, Any]]:
    """The errors of a result on the held-out files whose names match a pattern, by SHA-256."""
    return {
        sha256: entry
        for sha256, entry in (result.get(EPISODE_ERRORS) or {}).items()
        if fnmatch.fnmatch(entry["name"], episodes)
    }


def row_entry(
    row: Experiment, results: Sequence[Mapping[str, Any]], episodes: str = ALL
) -> dict[str, Any]:
    """A row for programs: `metric` is its first target's (else the first measured), `metrics` all.

    Values that there are not are None; `episodes` is as for `cells`.
    """
    found = {cell.metric: cell for cell in cells(results, episodes)}
    name = next(iter(row.targets), None) or next(iter(found), None)
    target = dict(row.targets.get(name or "", {}))
    nothing = Interval(math.nan, math.nan, math.nan)
    interval = found[name].interval if name in found else nothing
    several = sorted({key for result in results for key in result.get("by_checkpoint", {})})
    return {
        "seeds": len(results),
        "metric": {"name": name, **_plain(interval)},
        "metrics": {key: _plain(cell.interval) for key, cell in found.items()},
        "target": target or None,
        "metrics_by_checkpoint": {
            key: {
                cell.metric: _plain(cell.interval)
                for cell in cells([r.get("by_checkpoint", {}).get(key, {}) for r in results])
            }
            for key in several
        },
    }


def differences(
    rows: Sequence[Experiment], runs: str | Path, small: bool, episodes: str = ALL
) -> list[Difference]:
    """Every pair of rows that ran with the same seeds and held out the same episodes.

    Args:
        rows: the rows.
        runs: folder of runs.
        small: the small versions.
        episodes: pattern of the held-out files that they are compared on.
    """
    errors = {
        row.id: {
            seed: there
            for seed, result in results_by_seed(runs, row, small).items()
            if (there := errors_on(result, episodes))
        }
        for row in rows
        if row.kind == "train"
    }
    found = []
    for first, second in itertools.combinations(errors, 2):
        seeds = sorted(errors[first].keys() & errors[second].keys())
        tables = [errors[name][seed] for name in (first, second) for seed in seeds]
        if not tables:
            continue
        shared = sorted(set.intersection(*(set(table) for table in tables)))
        if not shared:
            continue
        one, other = (
            np.array([[errors[name][seed][e]["rmse"] for e in shared] for seed in seeds])
            for name in (first, second)
        )
        interval = crossed_interval(one - other)
        found.append(Difference(first, second, interval, len(seeds), len(shared)))
    return found


def _plain(interval: Interval) -> dict[str, float | None]:
    values = {"mean": interval.value, "low": interval.low, "high": interval.high}
    return {name: value if math.isfinite(value) else None for name, value in values.items()}
