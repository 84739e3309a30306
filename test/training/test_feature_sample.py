"""The sample of frames that stands for a training set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mobile_vla_ros.training.dataset import EpisodeSplit, load_split
from mobile_vla_ros.training.feature_sample import FeatureSample
from mobile_vla_ros.training.frames import FrameCache
from mobile_vla_ros.training.run import RunConfig


@pytest.fixture
def split(make_run: Callable[..., RunConfig], episodes: Path) -> EpisodeSplit:
    return load_split(make_run(), episodes)


def look(pictures: np.ndarray, instruction: str) -> tuple[np.ndarray, np.ndarray]:
    """The mean colour as a feature, the darkest as a context."""
    assert pictures.dtype == np.uint8
    flat = pictures.reshape(len(pictures), -1, 3).astype(np.float32)
    return flat.mean(1)[:, None], flat.min(1)


def test_the_frames_lie_evenly_over_all_episodes(split: EpisodeSplit, tmp_path: Path) -> None:
    frames = FrameCache(tmp_path, 32)
    every = FeatureSample(split.train, frames)
    assert sum(len(places) for _, places in every.places()) == sum(
        len(episode.samples.rows) for episode in split.train
    )
    few = FeatureSample(split.train, frames, most=2 * len(split.train)).places()
    assert [episode for episode, _ in few] == list(split.train)
    assert {len(places) for _, places in few} <= {1, 2, 3}
    statistics = every.statistics(look)
    assert statistics is not None
    pictures = np.concatenate([frames.frames(episode) for episode in split.train])
    np.testing.assert_allclose(statistics.mean[:3], pictures.mean((0, 1, 2)), rtol=1e-4)


def test_changed_copies_are_left_out(split: EpisodeSplit, tmp_path: Path) -> None:
    first, *others = split.train
    mixed = [first, *(replace(episode, copy=True) for episode in others)]
    sample = FeatureSample(mixed, FrameCache(tmp_path, 32))
    assert [episode for episode, _ in sample.places()] == [first]
    alone = FeatureSample(mixed[1:], FrameCache(tmp_path, 32))
    assert len(alone.places()) == len(others)


def test_what_cannot_change_is_looked_at_once(split: EpisodeSplit, tmp_path: Path) -> None:
    sample = FeatureSample(split.train, FrameCache(tmp_path, 32))
    kept = replace(sample, kept=tmp_path / "features" / sample.name())
    first = kept.statistics(look)

    def never(pictures: np.ndarray, instruction: str) -> tuple[np.ndarray, np.ndarray]:
        raise AssertionError("looked again")

    second = kept.statistics(never)
    assert first is not None
    assert second is not None
    for name, value in first.arrays().items():
        np.testing.assert_array_equal(second.arrays()[name], value)
    fewer = FeatureSample(split.train[:-1], sample.frames)
    assert fewer.name() != sample.name()


def test_no_frames_have_no_statistics_to_save(split: EpisodeSplit, tmp_path: Path) -> None:
    assert FeatureSample([], FrameCache(tmp_path, 32)).statistics(look) is None
