"""A checkpoint knows the episodes of every stage before it, and they keep their side."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mobile_vla_ros.episodes import open_episode
from mobile_vla_ros.episodes.editing import relabel, trim
from mobile_vla_ros.episodes.known_episodes import KnownEpisodes, read_seen
from mobile_vla_ros.policy.checkpoint import open_checkpoint
from mobile_vla_ros.training.dataset import load_split
from mobile_vla_ros.training.history import history_of
from mobile_vla_ros.training.run import RunConfig, RunError
from mobile_vla_ros.training.train import train

MakeRun = Callable[..., RunConfig]


@pytest.fixture
def folder(tmp_path: Path, write_episode: Callable[..., Path]) -> Path:
    """Six episodes whose pictures are no copies of each other's."""
    data = tmp_path / "data"
    data.mkdir()
    for number in range(6):
        side = "left" if number % 2 == 0 else "right"
        name = f"episode_20260101_00000{number}_1box_{side}.h5"
        write_episode(data / name, rows=10, seed=number, side=side)
    return data


@pytest.fixture
def first(make_run: MakeRun, folder: Path, tmp_path: Path) -> Path:
    """A checkpoint of a first stage."""
    return train(make_run(trainer={"max_epochs": 1}), folder, tmp_path / "first").last_checkpoint


def trained_on(checkpoint: Path, file: Path) -> bool:
    provenance = open_checkpoint(checkpoint).provenance
    training, _ = read_seen(
        provenance.episodes, provenance.training_files, provenance.validation_files
    )
    with open_episode(file) as episode:
        return KnownEpisodes(training).find(episode) is not None


def sides(checkpoint: Path) -> tuple[list[str], list[str]]:
    provenance = open_checkpoint(checkpoint).provenance
    return sorted(provenance.training_files), sorted(provenance.validation_files)


def test_a_changed_file_is_known_by_the_checkpoint_as_trained_on(
    first: Path, folder: Path, tmp_path: Path
) -> None:
    training, validation = sides(first)
    cut = trim(folder / training[0], tmp_path / "cut.h5", last=1)
    changed = relabel(folder / training[0], instruction="say it otherwise")
    assert trained_on(first, cut)
    assert trained_on(first, changed)
    assert not trained_on(first, folder / validation[0])


def test_the_next_stage_lists_what_the_first_was_trained_on(
    make_run: MakeRun, first: Path, folder: Path, tmp_path: Path, write_episode
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for number in range(2):
        name = f"episode_20260102_00000{number}_1box_left.h5"
        write_episode(other / name, rows=12, seed=20 + number)
    run = make_run(model_load_path=str(first), trainer={"max_epochs": 1})
    second = train(run, other, tmp_path / "second").last_checkpoint
    run = make_run(model_load_path=str(second), trainer={"max_epochs": 1})
    third = train(run, other, tmp_path / "third").last_checkpoint
    training, validation = sides(first)
    for checkpoint in (second, third):
        assert all(trained_on(checkpoint, folder / name) for name in training)
        assert not any(trained_on(checkpoint, folder / name) for name in validation)
        assert not set(training) & set(sides(checkpoint)[0])
    stages = {
        entry["name"]: entry["stage"]
        for entry in open_checkpoint(third).provenance.episodes["training"]
    }
    assert stages[training[0]] == f"model_load_path {first.name}"


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_known_episodes_keep_their_side_of_the_split(
    make_run: MakeRun, first: Path, folder: Path, write_episode, seed: int
) -> None:
    training, validation = sides(first)
    relabel(folder / training[1], outcome="success")
    for number in range(3):
        name = f"episode_20250102_00000{number}_1box_left.h5"
        write_episode(folder / name, rows=12, seed=30 + number)
    history = history_of(first, "resume")
    split = load_split(make_run(seed=seed), folder, history=history)
    assert set(training) <= {episode.path.name for episode in split.train}
    assert set(validation) <= {episode.path.name for episode in split.validation}


def test_a_resume_with_other_data_is_said_and_written_down(
    make_run: MakeRun, first: Path, folder: Path, tmp_path: Path
) -> None:
    training, validation = sides(first)
    taken = shutil.move(folder / training[0], tmp_path / "taken.h5")
    told: list[str] = []
    run = make_run(trainer={"max_epochs": 2})
    last = train(run, folder, tmp_path / "first", resume=first, say=told.append).last_checkpoint
    assert any(
        "1 episodes are missing" in sentence and training[0] in sentence for sentence in told
    )
    assert trained_on(last, Path(taken))
    assert sides(last) == (training[1:], validation)


def test_a_resume_within_an_epoch_with_other_data_is_refused(
    make_run: MakeRun, folder: Path, tmp_path: Path
) -> None:
    run = make_run(trainer={"max_epochs": 2, "max_steps": 1})
    checkpoint = train(run, folder, tmp_path / "cut").last_checkpoint
    assert torch.load(checkpoint, weights_only=True)["global_step"] == 1
    (folder / sides(checkpoint)[0][0]).unlink()
    run = make_run(trainer={"max_epochs": 2})
    with pytest.raises(RunError, match="within an epoch, which cannot go on with other data"):
        train(run, folder, tmp_path / "cut", resume=checkpoint)


def test_validation_files_that_were_trained_on_are_refused(
    make_run: MakeRun, first: Path, folder: Path
) -> None:
    name = sides(first)[0][0]
    run = make_run(train_dataset={"validation_pattern": name})
    with pytest.raises(RunError, match=f"{name}, which an earlier stage was trained on"):
        load_split(run, folder, history=history_of(first, "model_load_path"))


def test_a_stage_that_keeps_no_list_is_remembered(
    make_run: MakeRun, golden: Path, folder: Path, tmp_path: Path
) -> None:
    foreign = next((golden / "mobile_vla_frozen").glob("*.ckpt"))
    run = make_run(model_load_path=str(foreign), trainer={"max_epochs": 1})
    last = train(run, folder, tmp_path / "out").last_checkpoint
    unknown = open_checkpoint(last).provenance.episodes["unknown_stages"]
    assert unknown == [f"model_load_path {foreign.name}"]
