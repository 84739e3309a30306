"""How alike two sets of paired vectors are, in the usual forms and in the forms that tell apart.

The usual forms (cosine, distance, correlation of raw vectors; KL of one pooled histogram) pass
for unrelated vectors too when the vectors share a mean or a scale. Centring every dimension,
dividing the distance by the spread, and comparing dimensions one by one removes that.
"""

from __future__ import annotations

import numpy as np


def _flat_pairs(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if a.shape != b.shape:
        raise ValueError(f"{a.shape} and {b.shape} cannot be compared pair by pair")
    rows = a.shape[0]
    return (
        np.asarray(a, dtype=np.float64).reshape(rows, -1),
        np.asarray(b, dtype=np.float64).reshape(rows, -1),
    )


def paired_cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine similarity of each pair: [N, ...] twice -> float64 [N]; NaN for a zero vector."""
    a, b = _flat_pairs(a, b)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.einsum("nf,nf->n", a, b) / norms


def paired_correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pearson correlation across the elements of each pair: -> float64 [N]; NaN for constants."""
    a, b = _flat_pairs(a, b)
    return paired_cosine(a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True))


def rms_distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Euclidean distance of each pair over sqrt(elements): -> float64 [N]."""
    a, b = _flat_pairs(a, b)
    return np.sqrt(((a - b) ** 2).mean(axis=1))


def histogram_kl(counts_a: np.ndarray, counts_b: np.ndarray) -> np.ndarray:
    """Kullback-Leibler divergence D(A || B) in nats of two histograms on the same bins.

    Args:
        counts_a: [..., bins].
        counts_b: [..., bins].

    Returns:
        float64 [...]. Half a count is added to every bin of both, so that an empty bin is finite.
    """
    p = np.asarray(counts_a, dtype=np.float64) + 0.5
    q = np.asarray(counts_b, dtype=np.float64) + 0.5
    p = p / p.sum(axis=-1, keepdims=True)
    q = q / q.sum(axis=-1, keepdims=True)
    return np.maximum((p * np.log(p / q)).sum(axis=-1), 0.0)


def histogram_jensen_shannon(counts_a: np.ndarray, counts_b: np.ndarray) -> np.ndarray:
    """Jensen-Shannon divergence in bits, 0 (same) to 1 (disjoint): [..., bins] -> float64 [...].

    Source: J. Lin, Divergence measures based on the Shannon entropy, IEEE Trans. Inf. Theory 37
    (1991).
    """
    p = np.asarray(counts_a, dtype=np.float64)
    q = np.asarray(counts_b, dtype=np.float64)
    p = p / p.sum(axis=-1, keepdims=True)
    q = q / q.sum(axis=-1, keepdims=True)
    middle = (p + q) / 2

    def term(x: np.ndarray) -> np.ndarray:
        ratio = np.divide(x, middle, out=np.ones_like(x), where=x > 0)
        return (x * np.log2(ratio)).sum(axis=-1)

    return np.clip((term(p) + term(q)) / 2, 0.0, 1.0)


def quantile_edges(sample: np.ndarray, bins: int) -> np.ndarray:
    """Inner edges that cut each dimension of a sample into equally full bins.

    Args:
        sample: [N, D]; hand in both sets together, so that neither chooses the bins.
        bins: number of bins.

    Returns:
        float64 [D, bins - 1], ascending along the last axis.
    """
    levels = np.arange(1, bins) / bins
    return np.quantile(np.asarray(sample, dtype=np.float64), levels, axis=0).T


def bin_index(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Which bin each value falls in: values [N, D], edges [D, bins - 1] -> int64 [N, D]."""
    index = np.empty(values.shape, dtype=np.int64)
    for dimension, inner in enumerate(edges):
        index[:, dimension] = np.searchsorted(inner, values[:, dimension], side="right")
    return index


def bin_counts(index: np.ndarray, bins: int) -> np.ndarray:
    """Counts per dimension and bin: index [N, D] -> int64 [D, bins]."""
    dimensions = index.shape[1]
    offset = np.arange(dimensions) * bins
    counts = np.bincount((index + offset).ravel(), minlength=dimensions * bins)
    return counts.reshape(dimensions, bins)
