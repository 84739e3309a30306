"""The usual and the rare: percentiles of durations and errors under the names they are told by."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Literal

import numpy as np


def percentiles(
    values: Collection[float] | np.ndarray,
    percents: Sequence[int] = (50, 90, 99),
    *,
    occurred: bool = False,
) -> dict[str, float]:
    """``p50``, ``p90``, ... of some values.

    Args:
        values: any number of them, in any order.
        percents: which, 0 to 100.
        occurred: True answers with values that occurred (nearest rank); False interpolates.

    Returns:
        ``p<percent>`` -> value, in the order of ``percents``; NaN without values.
    """
    names = [f"p{percent}" for percent in percents]
    if not len(values):
        return dict.fromkeys(names, math.nan)
    method: Literal["inverted_cdf", "linear"] = "inverted_cdf" if occurred else "linear"
    found = np.percentile(np.asarray(list(values), np.float64), list(percents), method=method)
    return dict(zip(names, found.tolist(), strict=True))
