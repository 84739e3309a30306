"""Frames as points in the plane: PCA and t-SNE of two models, with what colours them."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from mobile_vla_ros.analysis.context import Extraction

MOST_POINTS = 1500


def maps(a: Extraction, b: Extraction, seed: int = 0) -> dict[str, Any]:
    """PCA and t-SNE of the frames' contexts, averaged over tokens.

    Returns:
        Points of both models by method, the side, scenario and progress (0 to 1) of each point,
        and the share of variance that the two PCA axes hold.
    """
    frames = a.context.shape[1]
    most = max(1, MOST_POINTS // frames)
    rows = np.unique(np.linspace(0, len(a.windows) - 1, min(most, len(a.windows))).astype(int))
    result: dict[str, Any] = {
        "side": [a.windows[row].side or "unknown" for row in rows for _ in range(frames)],
        "scenario": [a.windows[row].scenario or "unknown" for row in rows for _ in range(frames)],
        "progress": [value for row in rows for value in a.windows[row].progress],
        "pca": {},
        "tsne": {},
        "variance": {},
    }
    for name, extraction in (("a", a), ("b", b)):
        points = np.stack(
            [np.asarray(extraction.context[row], np.float64).mean(axis=1) for row in rows]
        ).reshape(len(rows) * frames, -1)
        points -= points.mean(axis=0)
        count = min(30, *points.shape)
        if len(points) < 4 or np.ptp(points) < 1e-12 or count < 2:
            continue
        fitted = PCA(n_components=count, svd_solver="full").fit(points)
        reduced = fitted.transform(points)
        result["pca"][name] = np.round(reduced[:, :2], 5).tolist()
        result["variance"][name] = fitted.explained_variance_ratio_[:2].tolist()
        # Distances beyond the first thirty components are noise to t-SNE, and slow.
        embedded = TSNE(
            n_components=2,
            perplexity=min(30.0, (len(points) - 1) / 3),
            init="pca",
            random_state=seed,
            max_iter=500,
        ).fit_transform(reduced)
        result["tsne"][name] = np.round(embedded.astype(float), 4).tolist()
    return result
