"""Debiased CKA of frames and of their references, from Gram matrices over the same frames."""

from __future__ import annotations

import numpy as np

from mobile_vla_ros.stats.bootstrap import Interval, jackknife
from mobile_vla_ros.stats.cka import gram_debiased_cka

# The Gram matrices of debiased CKA are kept in memory.
CKA_FRAMES = 1024


def shuffled_order(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A permutation of the windows in which, where it can be, each meets another episode's.

    Windows of an episode are spread over many others: moving them together would keep the
    clusters that episodes form, and with them most of what CKA sees.
    """
    labels = np.asarray(labels)
    order = rng.permutation(len(labels))
    for _ in range(100):
        clash = np.flatnonzero(labels[order] == labels)
        if len(clash) == 0:
            break
        for place in clash:
            other = rng.integers(len(labels))
            order[[place, other]] = order[[other, place]]
    return order


class Grams:
    """Gram matrices of both models over the same frames, all tokens of a frame taken together."""

    def __init__(
        self,
        a: np.ndarray,
        b: np.ndarray,
        labels: np.ndarray,
        length: int,
        shuffled: np.ndarray,
        exchanged: np.ndarray,
    ) -> None:
        self.a, self.b, self.labels, self.length = a, b, labels, length
        self.shuffled, self.exchanged = shuffled, exchanged
        self.frames = len(a)

    @classmethod
    def of(cls, a: np.ndarray, b: np.ndarray, labels: np.ndarray, order: np.ndarray) -> Grams:
        """Computes them from at most ``CKA_FRAMES`` frames, whole windows, evenly chosen."""
        length = a.shape[1]
        most = max(1, CKA_FRAMES // length)
        rows = np.unique(np.linspace(0, len(a) - 1, min(most, len(a))).astype(int))
        kept = np.repeat(labels[rows], length)
        if len(rows) < len(a):
            rng = np.random.default_rng(0)
            order = np.stack([shuffled_order(labels[rows], rng) for _ in range(length)], axis=1)
        frames = np.arange(length)
        if len(np.unique(kept)) < 2:
            order = np.repeat(np.arange(len(rows))[:, None], length, axis=1)
            frames = (frames + length // 2) % length
        shuffled = (order * length + frames).ravel()
        exchanged = (_exchanged(labels[rows])[:, None] * length + np.arange(length)).ravel()
        return cls(_gram(a, rows), _gram(b, rows), kept, length, shuffled, exchanged)

    def cka(self, name: str) -> Interval:
        """Debiased CKA of one kind of pair, with an interval over episodes."""
        everything = np.arange(self.frames)
        gram = self.b if name.endswith("_b") else self.a
        paired = ("metrics", "shuffled_pairs", "shuffled_episodes")
        other = self.b if name in paired else gram
        left = right = everything
        if name.startswith("neighbour"):
            left = everything[everything % self.length < self.length - 1]
            right = left + 1
        elif name == "shuffled_episodes":
            right = self.exchanged
        elif name.startswith("shuffled"):
            right = self.shuffled
        if len(left) < 4:
            return Interval(float("nan"), float("nan"), float("nan"))

        def statistic(keep: np.ndarray) -> float:
            x, y = left[keep], right[keep]
            return gram_debiased_cka(gram[np.ix_(x, x)], other[np.ix_(y, y)])

        return jackknife(statistic, self.labels[left])


def _exchanged(labels: np.ndarray) -> np.ndarray:
    """For each window one of the next episode, so that whole episodes change places."""
    by_episode = np.argsort(labels, kind="stable")
    order = np.empty(len(labels), dtype=np.int64)
    order[by_episode] = np.roll(by_episode, -np.bincount(labels).max())
    return order


def _gram(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Centred Gram matrix [frames, frames] of the frames of ``rows``, token by token."""
    frames = len(rows) * values.shape[1]
    gram = np.zeros((frames, frames))
    for start in range(0, values.shape[2], 8):
        part = np.asarray(values[rows, :, start : start + 8], np.float64).reshape(frames, -1)
        part -= part.mean(axis=0)
        gram += part @ part.T
    return gram
