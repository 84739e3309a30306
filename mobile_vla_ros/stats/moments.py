"""Mean, spread and range that merge: batches seen apart give the numbers of all seen at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Moments:
    """Moments of values along an axis that has been summed away; every field has one shape.

    Attributes:
        count: how many values each cell has seen.
        mean: their mean.
        m2: their sum of squared deviations from the mean.
        minimum: the smallest.
        maximum: the largest.
    """

    count: np.ndarray
    mean: np.ndarray
    m2: np.ndarray
    minimum: np.ndarray
    maximum: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, axis: int | tuple[int, ...] = -1) -> Moments:
        """Moments of ``values`` over ``axis``, in float64.

        Raises:
            ValueError: no values along the axis.
        """
        values = np.asarray(values, dtype=np.float64)
        mean = values.mean(axis=axis, keepdims=True)
        m2 = ((values - mean) ** 2).sum(axis=axis)
        mean = mean.reshape(m2.shape)
        count = np.full(m2.shape, values.size // max(1, m2.size), dtype=np.float64)
        return cls(count, mean, m2, values.min(axis=axis), values.max(axis=axis))

    def over(self, axis: int | tuple[int, ...] | None = None) -> Moments:
        """These moments merged over ``axis`` of their own shape (None: over everything)."""
        count = self.count.sum(axis=axis, keepdims=True)
        mean = (self.count * self.mean).sum(axis=axis, keepdims=True) / count
        m2 = (self.m2 + self.count * (self.mean - mean) ** 2).sum(axis=axis)
        return Moments(
            count.reshape(m2.shape),
            mean.reshape(m2.shape),
            m2,
            self.minimum.min(axis=axis),
            self.maximum.max(axis=axis),
        )

    def merge(self, other: Moments) -> Moments:
        """The moments of both sets of values.

        Source: T. Chan, G. Golub, R. LeVeque, Algorithms for computing the sample variance,
        The American Statistician 37 (1983).
        """
        pairs = [
            np.stack([mine, theirs])
            for mine, theirs in zip(self.as_tuple(), other.as_tuple(), strict=True)
        ]
        return Moments(*pairs).over(axis=0)

    def as_tuple(self) -> tuple[np.ndarray, ...]:
        """(count, mean, m2, minimum, maximum)."""
        return self.count, self.mean, self.m2, self.minimum, self.maximum

    @property
    def std(self) -> np.ndarray:
        """Population standard deviation (division by the count), as numpy's default."""
        return np.sqrt(self.m2 / self.count)

    @property
    def norm(self) -> np.ndarray:
        """Euclidean norm of the values."""
        return np.sqrt(self.m2 + self.count * self.mean**2)
