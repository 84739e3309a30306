"""The list of seen episodes goes along with a converted directory, whole or with a sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mobile_vla_ros.axes import AXES
from mobile_vla_ros.episodes.identity import Identity
from mobile_vla_ros.policy import CheckpointError, load_policy, write_random_checkpoint
from mobile_vla_ros.policy.convert import convert
from mobile_vla_ros.policy.episode_list import EPISODES_FILE, read_episodes, write_episodes


def seen(count: int, rng: np.random.Generator) -> list[dict]:
    """Smooth pictures and steady commands, as of drives."""
    entries = []
    for number in range(count):
        looks = np.cumsum(rng.integers(-3, 4, (12, 8, 12)), axis=2) + 90
        commands = np.full((12, len(AXES)), np.nan)
        commands[:, [0, 5]] = rng.uniform(-1, 1, (12, 2))
        digest = rng.bytes(32).hex()
        entries.append(
            Identity(
                f"episode_{number}.h5",
                *(digest, rng.bytes(32).hex(), (), "", 9e8 + number),
                np.arange(12) * 0.4,
                commands,
                looks.astype(np.uint8),
            ).to_plain()
        )
    return entries


@pytest.fixture(scope="module")
def episodes() -> dict:
    rng = np.random.default_rng(0)
    return {"training": seen(20, rng), "validation": seen(3, rng), "unknown_stages": ["a"]}


@pytest.fixture
def converted(tmp_path: Path, episodes: dict) -> Path:
    source = write_random_checkpoint(tmp_path / "run", "tiny", extra={"episodes": episodes})
    convert(source, tmp_path / "out", dtype="float32", onnx=True)
    return tmp_path / "out"


def test_it_goes_along_and_once_more(converted: Path, tmp_path: Path, episodes: dict) -> None:
    own = json.loads((converted / "config.json").read_text())["mobile_vla"]
    assert "episodes" not in own
    for runtime in ("torch", "onnx"):
        policy = load_policy(converted, device="cpu", runtime=runtime)
        assert policy.provenance.episodes == episodes
    convert(converted, tmp_path / "again")
    assert read_episodes(tmp_path / "again", own) == episodes


def test_an_older_directory_has_it_in_its_configuration(converted: Path, episodes: dict) -> None:
    file = converted / "config.json"
    values = json.loads(file.read_text())
    del values["mobile_vla"]["episodes_sha256"]
    (converted / EPISODES_FILE).unlink()
    file.write_text(json.dumps(values))
    assert load_policy(converted, device="cpu").provenance.episodes == {}
    values["mobile_vla"]["episodes"] = episodes
    file.write_text(json.dumps(values))
    for runtime in ("torch", "onnx"):
        policy = load_policy(converted, device="cpu", runtime=runtime)
        assert policy.provenance.episodes == episodes


def _remove(path: Path) -> None:
    path.unlink()


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def _of_another(path: Path) -> None:
    write_episodes(path.parent, {"training": []})


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("spoil", [_remove, _cut, _of_another, _folder])
@pytest.mark.parametrize("runtime", ["torch", "onnx"])
def test_what_was_seen_is_never_forgotten_in_silence(
    converted: Path, spoil: Callable[[Path], None], runtime: str
) -> None:
    spoil(converted / EPISODES_FILE)
    with pytest.raises(CheckpointError, match=r"episodes.npz.xz.* copy the whole directory"):
        load_policy(converted, device="cpu", runtime=runtime)


def test_an_episode_takes_little_room(tmp_path: Path, episodes: dict) -> None:
    write_episodes(tmp_path, episodes)
    plain = len(json.dumps(episodes))
    assert (tmp_path / EPISODES_FILE).stat().st_size < 0.5 * plain


def test_entries_of_another_making_stay_as_they_are(tmp_path: Path, episodes: dict) -> None:
    odd = [{"name": "x"}, 3, None, {**episodes["training"][0], "sha256": "zz"}]
    told = {"training": [*episodes["training"], *odd], "validation": [], "more": {"한글": 1}}
    assert read_episodes(tmp_path, write_episodes(tmp_path, told)) == told
    empty: dict = {"unknown_stages": []}
    assert read_episodes(tmp_path, write_episodes(tmp_path, empty)) == empty
