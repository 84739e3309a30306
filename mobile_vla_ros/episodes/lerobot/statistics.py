"""Statistics of a data set's features, as lerobot normalises by them; never a NaN among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

QUANTILES = (0.01, 0.10, 0.50, 0.90, 0.99)
PIXELS_PER_FRAME = 2500  # sampled for the pictures' statistics
_LEVELS = 256


def describe(rows: np.ndarray) -> dict[str, Any]:
    """Statistics of float [N, D] per column, as lists: min, max, mean, std, count, quantiles.

    Rows with a value that is not finite are left out of all of it; ``count`` says how many stayed.
    With none left every value is 0, and so is the count, which is the weight it has in a sum.
    """
    rows = rows[np.isfinite(rows).all(axis=1)]
    count = len(rows)
    if not count:
        rows = np.zeros((1, rows.shape[1]))
    found = {
        "min": rows.min(axis=0).tolist(),
        "max": rows.max(axis=0).tolist(),
        "mean": rows.mean(axis=0).tolist(),
        "std": rows.std(axis=0).tolist(),
        "count": [count],
    }
    for share, values in zip(QUANTILES, np.quantile(rows, QUANTILES, axis=0), strict=True):
        found[_quantile_name(share)] = values.tolist()
    return found


@dataclass
class Numbers:
    """Values of one numeric feature over a data set: a few hundred bytes per frame at most."""

    values: list[np.ndarray] = field(default_factory=list)

    def add(self, rows: np.ndarray) -> dict[str, Any]:
        """Adds float [N] or [N, D]; returns the statistics of these rows alone."""
        rows = np.asarray(rows, np.float64).reshape(len(rows), -1)
        self.values.append(rows)
        return describe(rows)

    def all(self) -> dict[str, Any]:
        """The statistics of everything added."""
        return describe(np.concatenate(self.values))


def count_levels(pixels: np.ndarray) -> np.ndarray:
    """int64 [3, 256]: how often each level comes in each colour of uint8 [N, 3]."""
    return np.stack([np.bincount(pixels[:, colour], minlength=_LEVELS) for colour in range(3)])


def sample_pixels(image: np.ndarray) -> np.ndarray:
    """uint8 [about 2500, 3], evenly spread over uint8 [H, W, 3]."""
    flat = image.reshape(-1, 3)
    return flat[:: max(1, len(flat) // PIXELS_PER_FRAME)]


def describe_levels(counts: np.ndarray, frames: int) -> dict[str, Any]:
    """Statistics of pictures from ``count_levels``: per colour in 0..1, shaped [3,1,1] there.

    A count of levels takes the same room for one frame and for a million, and the quantiles that
    follow from it are exact.
    """
    levels = np.arange(_LEVELS) / 255.0
    columns: dict[str, list[float]] = {}
    for colour in counts:
        total = int(colour.sum())
        there = np.flatnonzero(colour)
        mean = float((levels * colour).sum() / total)
        spread = float(np.sqrt((((levels - mean) ** 2) * colour).sum() / total))
        ends = np.cumsum(colour)
        values = {
            "min": levels[there[0]],
            "max": levels[there[-1]],
            "mean": mean,
            "std": spread,
        }
        for share in QUANTILES:
            place = share * (total - 1)
            low, high = np.searchsorted(ends, [int(place), int(np.ceil(place))], side="right")
            part = place - int(place)
            values[_quantile_name(share)] = levels[low] * (1 - part) + levels[high] * part
        for what, value in values.items():
            columns.setdefault(what, []).append(float(value))
    return {
        **{what: [[[value]] for value in values] for what, values in columns.items()},
        "count": [frames],
    }


def join_pictures(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One set of picture statistics from several data sets' own, weighted by their counts.

    Mean and spread are exact; quantiles are weighted means, as lerobot takes them when it joins
    data sets.
    """
    counts = np.array([part["count"][0] for part in parts], np.float64)
    weights = (counts / counts.sum())[:, None, None, None]
    stacked = {
        what: np.array([part[what] for part in parts], np.float64)
        for what in parts[0]
        if what != "count" and all(what in part for part in parts)
    }
    mean = (stacked["mean"] * weights).sum(axis=0)
    variance = ((stacked["std"] ** 2 + (stacked["mean"] - mean) ** 2) * weights).sum(axis=0)
    found: dict[str, Any] = {}
    for what, values in stacked.items():
        if what in ("min", "max"):
            found[what] = getattr(values, what)(axis=0).tolist()
        elif what == "std":
            found[what] = np.sqrt(variance).tolist()
        else:
            found[what] = (values * weights).sum(axis=0).tolist()
    return {**found, "count": [int(counts.sum())]}


def _quantile_name(share: float) -> str:
    return f"q{round(share * 100):02d}"
