"""Centred kernel alignment with a linear kernel: plain, debiased, and debiased from a stream.

Plain CKA of unrelated data goes to 1 as dimensions outnumber samples; the debiased form goes to 0.

Sources: S. Kornblith et al., Similarity of neural network representations revisited, ICML 2019;
L. Song et al., Feature selection via dependence maximization, JMLR 13 (2012), for the unbiased
HSIC.
"""

from __future__ import annotations

import numpy as np


def linear_cka(x: np.ndarray, y: np.ndarray) -> float:
    """Plain (biased) linear CKA of samples [N, P] and [N, Q]; only for comparison."""
    x = np.asarray(x, dtype=np.float64) - np.mean(x, axis=0, dtype=np.float64)
    y = np.asarray(y, dtype=np.float64) - np.mean(y, axis=0, dtype=np.float64)
    k, m = x @ x.T, y @ y.T
    return float((k * m).sum() / np.sqrt((k * k).sum() * (m * m).sum()))


def gram_hsic(k: np.ndarray, m: np.ndarray) -> float:
    """Unbiased HSIC of two Gram matrices [N, N], N >= 4."""
    count = len(k)
    if count < 4:
        return float("nan")
    k_sum = k.sum(axis=1) - np.diag(k)
    m_sum = m.sum(axis=1) - np.diag(m)
    trace = np.einsum("ij,ij->", k, m) - (np.diag(k) * np.diag(m)).sum()
    return _unbiased(count, trace, k_sum.sum(), m_sum.sum(), (k_sum * m_sum).sum())


def gram_debiased_cka(k: np.ndarray, m: np.ndarray) -> float:
    """Debiased CKA of two Gram matrices [N, N]; NaN for fewer than 4 samples or no variation."""
    return _ratio(gram_hsic(k, m), gram_hsic(k, k), gram_hsic(m, m))


def debiased_cka(x: np.ndarray, y: np.ndarray) -> float:
    """Debiased linear CKA of paired samples [N, P] and [N, Q].

    Returns:
        1 for equal up to rotation and scale, about 0 for unrelated (it may be slightly negative);
        NaN for fewer than 4 samples or a constant set.

    Raises:
        ValueError: different numbers of samples.
    """
    streamed = StreamedCKA()
    if len(x) != len(y):
        raise ValueError(f"{len(x)} and {len(y)} samples cannot be paired")
    if len(x) <= max(x.shape[1], y.shape[1]):
        x = np.asarray(x, dtype=np.float64) - np.mean(x, axis=0, dtype=np.float64)
        y = np.asarray(y, dtype=np.float64) - np.mean(y, axis=0, dtype=np.float64)
        return gram_debiased_cka(x @ x.T, y @ y.T)
    streamed.add(x, y)
    return streamed.value()


class StreamedCKA:
    """Debiased linear CKA from batches: memory grows with the dimensions, not with the samples.

    The unbiased HSIC of linear kernels is a function of sums over samples only: with a = |x|^2 and
    b = |y|^2, of X'Y, X'a, X'b, Y'a, Y'b, sums of x, y, a, b and ab. Samples are shifted by the
    first batch's mean; the estimator does not see a shift, but its rounding does.
    """

    def __init__(self) -> None:
        self._count = 0
        self._shift: tuple[np.ndarray, np.ndarray] | None = None
        self._pairs: dict[str, _CrossSums] = {}

    def add(self, x: np.ndarray, y: np.ndarray) -> None:
        """Adds paired samples [N, P] and [N, Q]."""
        if len(x) != len(y):
            raise ValueError(f"{len(x)} and {len(y)} samples cannot be paired")
        x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
        if self._shift is None:
            self._shift = x.mean(axis=0), y.mean(axis=0)
            self._pairs = {
                name: _CrossSums(left.shape[1], right.shape[1])
                for name, left, right in (("xy", x, y), ("xx", x, x), ("yy", y, y))
            }
        x, y = x - self._shift[0], y - self._shift[1]
        self._count += len(x)
        for name, left, right in (("xy", x, y), ("xx", x, x), ("yy", y, y)):
            self._pairs[name].add(left, right)

    def value(self) -> float:
        """The debiased CKA of everything added; NaN for fewer than 4 samples."""
        if self._count < 4:
            return float("nan")
        hsic = {name: sums.hsic(self._count) for name, sums in self._pairs.items()}
        return _ratio(hsic["xy"], hsic["xx"], hsic["yy"])


class _CrossSums:
    def __init__(self, left: int, right: int) -> None:
        self.cross = np.zeros((left, right))
        self.left_sum, self.right_sum = np.zeros(left), np.zeros(right)
        self.left_by_b, self.right_by_a = np.zeros(left), np.zeros(right)
        self.a_sum = self.b_sum = self.ab_sum = 0.0

    def add(self, x: np.ndarray, y: np.ndarray) -> None:
        a, b = (x * x).sum(axis=1), (y * y).sum(axis=1)
        self.cross += x.T @ y
        self.left_sum += x.sum(axis=0)
        self.right_sum += y.sum(axis=0)
        self.left_by_b += x.T @ b
        self.right_by_a += y.T @ a
        self.a_sum += a.sum()
        self.b_sum += b.sum()
        self.ab_sum += a @ b

    def hsic(self, count: int) -> float:
        trace = (self.cross**2).sum() - self.ab_sum
        k_total = self.left_sum @ self.left_sum - self.a_sum
        m_total = self.right_sum @ self.right_sum - self.b_sum
        product = (
            self.left_sum @ self.cross @ self.right_sum
            - self.left_sum @ self.left_by_b
            - self.right_sum @ self.right_by_a
            + self.ab_sum
        )
        return _unbiased(count, float(trace), float(k_total), float(m_total), float(product))


def _unbiased(n: int, trace: float, k_total: float, m_total: float, product: float) -> float:
    # Song et al. (2012), equation 5; the Gram matrices have zero diagonals.
    inner = trace + k_total * m_total / ((n - 1) * (n - 2)) - 2 * product / (n - 2)
    return float(inner / (n * (n - 3)))


def _ratio(cross: float, x: float, y: float) -> float:
    if not (x > 0 and y > 0):
        return float("nan")
    return float(cross / np.sqrt(x * y))
