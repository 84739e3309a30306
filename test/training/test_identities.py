"""An episode is looked at once; what was kept of it is worth as much."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mobile_vla_ros.episodes import open_episode
from mobile_vla_ros.episodes.identity import Identity, identify
from mobile_vla_ros.training import identities
from mobile_vla_ros.training.identities import IdentityCache
from mobile_vla_ros.training.run_schema import RunError


def equal(first: Identity, second: Identity) -> bool:
    return first.to_plain() == second.to_plain()


def test_it_is_looked_at_once(
    episodes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = IdentityCache(tmp_path / "identities")
    path = sorted(episodes.glob("*.h5"))[0]
    with open_episode(path) as episode:
        plain = identify(episode, episode.sha256())
        assert equal(cache.identity(episode, plain.sha256), plain)
        assert not cache.folder.exists()
        cache.keep()

        def never(*_: object) -> Identity:
            raise AssertionError("looked at twice")

        monkeypatch.setattr(identities, "identify", never)
        kept = cache.identity(episode, plain.sha256)
    assert equal(kept, plain)
    assert np.array_equal(kept.looks, plain.looks)


def test_a_renamed_file_keeps_its_new_name(episodes: Path, tmp_path: Path) -> None:
    cache = IdentityCache(tmp_path / "identities")
    path = sorted(episodes.glob("*.h5"))[0]
    with open_episode(path) as episode:
        first = cache.identity(episode, episode.sha256())
    cache.keep()
    other = tmp_path / "other.h5"
    other.write_bytes(path.read_bytes())
    with open_episode(other) as episode:
        assert equal(cache.identity(episode, episode.sha256()), replace(first, name="other.h5"))


@pytest.mark.parametrize("spoiled", ["", "[]", "{}", '{"looks": 3}', "\x00"])
def test_a_spoiled_entry_is_made_anew(episodes: Path, tmp_path: Path, spoiled: str) -> None:
    cache = IdentityCache(tmp_path / "identities")
    with open_episode(sorted(episodes.glob("*.h5"))[0]) as episode:
        plain = cache.identity(episode, episode.sha256())
        cache.keep()
        (entry,) = cache.folder.iterdir()
        entry.write_text(spoiled)
        assert equal(cache.identity(episode, plain.sha256), plain)
        cache.keep()
        assert len(entry.read_text()) > 100


def test_a_folder_that_cannot_be_written_is_named(episodes: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cache = IdentityCache(tmp_path / "file" / "below")
    with open_episode(sorted(episodes.glob("*.h5"))[0]) as episode:
        cache.identity(episode, episode.sha256())
    with pytest.raises(RunError, match=r"cannot write the cache .*--cache"):
        cache.keep()
