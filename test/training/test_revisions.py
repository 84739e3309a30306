"""A checkpoint says which commit of a hub's data set, and of its start, it was made of."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mobile_vla_ros.policy.checkpoint import open_checkpoint
from mobile_vla_ros.training.preparation import prepare
from mobile_vla_ros.training.run import RunConfig, check_run
from mobile_vla_ros.training.start import fetched_start
from mobile_vla_ros.training.train import train

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def snapshot(episodes: Path, tmp_path: Path) -> Path:
    """The episodes where a hub's cache has them: links to what is stored by content."""
    stored = tmp_path / "hub/datasets--lab--drives"
    folder = stored / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    (stored / "blobs").mkdir()
    for number, path in enumerate(sorted(episodes.glob("*.h5"))):
        shutil.copyfile(path, stored / "blobs" / str(number))
        (folder / path.name).symlink_to(Path("../../blobs") / str(number))
    return folder


def test_the_commit_of_the_data_stands_in_the_checkpoint_and_goes_along_with_it(
    make_run: Callable[..., RunConfig], snapshot: Path, tmp_path: Path
) -> None:
    result = train(make_run(trainer={"max_epochs": 1}), snapshot, tmp_path / "run")
    provenance = open_checkpoint(result.last_checkpoint).provenance
    assert provenance.data_revisions == (f"hf://datasets/lab/drives@{COMMIT}",)


def test_data_of_ones_own_has_no_commit(
    make_run: Callable[..., RunConfig], episodes: Path, tmp_path: Path
) -> None:
    metadata = prepare(make_run(), episodes, tmp_path / "cache").module.metadata
    assert metadata["data_revisions"] == []
    assert metadata["start_revision"] == ""


def test_starting_weights_on_a_hub_are_fetched_and_their_commit_is_kept(
    make_run: Callable[..., RunConfig],
    episodes: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "hub/models--lab--kosmos/snapshots" / COMMIT
    plain = make_run()
    shutil.copytree(plain.model_path, folder)
    asked: list[str] = []

    def resolve(address: str) -> Path:
        asked.append(address)
        return folder

    monkeypatch.setattr("mobile_vla_ros.training.start.resolve", resolve)
    run = check_run({**plain.raw, "model_path": "hf://lab/kosmos@v1"}, tmp_path / "run.json")
    assert run.model_path == "hf://lab/kosmos@v1"
    found = fetched_start(run)
    assert asked == ["hf://lab/kosmos@v1"]
    assert found.model_path == found.raw["model_path"] == str(folder)
    assert fetched_start(plain) is plain
    metadata = prepare(found, episodes, tmp_path / "cache").module.metadata
    assert metadata["start_revision"] == f"hf://lab/kosmos@{COMMIT}"
