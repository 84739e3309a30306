"""`mobile_vla augment`: copies on disk that stay with their source."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mobile_vla_ros.episodes import find_episodes, open_episode
from mobile_vla_ros.training.copies import write_copies
from mobile_vla_ros.training.dataset import load_split
from mobile_vla_ros.training.run import RunConfig
from mobile_vla_ros.training.run_schema import RunError


@pytest.fixture(scope="module")
def copies(episodes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("copies")
    result = write_copies(episodes, out, factor=3)
    assert (result.sources, result.written, result.mirrored) == (6, 18, 6)
    return out


def test_a_factor_of_3_gives_three_files_per_episode(copies: Path, episodes: Path) -> None:
    assert len(find_episodes(copies)) == 18
    for path in find_episodes(episodes):
        with open_episode(path) as source, open_episode(copies / path.name) as same:
            np.testing.assert_array_equal(source.images(slice(None)), same.images(slice(None)))
            np.testing.assert_array_equal(source.actions, same.actions)
            np.testing.assert_array_equal(source.image_stamps, same.image_stamps)


def test_a_mirrored_copy_says_so_in_commands_words_and_name(copies: Path, episodes: Path) -> None:
    name = "episode_20260101_000000_1box_left"
    with (
        open_episode(episodes / f"{name}.h5") as source,
        open_episode(copies / f"{name.replace('left', 'right')}_aug1.h5") as copy,
    ):
        assert copy.instruction == source.instruction.replace("left", "right")
        assert copy.scenario == "1box_right"
        assert copy.side == "right"
        np.testing.assert_allclose(copy.actions[:, 2], -source.actions[:, 2])
        np.testing.assert_array_equal(copy.actions[:, 0], source.actions[:, 0])
        assert copy.attributes["augmentation_source"] == name


def test_copies_follow_their_source_and_never_validate(
    copies: Path, make_run: Callable[..., RunConfig]
) -> None:
    split = load_split(make_run(), copies)
    trained = {episode.source for episode in split.train}
    validated = {episode.source for episode in split.validation}
    assert not trained & validated
    assert not any(episode.copy for episode in split.validation)
    assert sum(episode.copy for episode in split.train) == 2 * len(trained)


def test_one_sided_recordings_are_not_mirrored(
    tmp_path: Path, write_episode: Callable[..., Path]
) -> None:
    (tmp_path / "in").mkdir()
    for number in range(2):
        write_episode(tmp_path / "in" / f"episode_{number}_1box_left.h5", rows=4, seed=number)
    result = write_copies(tmp_path / "in", tmp_path / "out", factor=3)
    assert result.mirrored == 0
    assert not result.mirror_allowed
    assert all("left" in path.name for path in find_episodes(tmp_path / "out"))


def test_wrong_requests_are_refused(episodes: Path, copies: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="give 2 or more"):
        write_copies(episodes, tmp_path, factor=1)
    with pytest.raises(RunError, match="give another one"):
        write_copies(episodes, episodes, factor=2)
    with pytest.raises(RunError, match="there already"):
        write_copies(episodes, copies, factor=2)
    with pytest.raises(RunError, match="no recorded episodes"):
        write_copies(tmp_path, tmp_path / "out", factor=2)
