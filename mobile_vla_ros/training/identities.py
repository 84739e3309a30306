"""What episodes are recognised by, kept beside the resized frames: each is looked at once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from mobile_vla_ros.episodes.attributes import READ_ERRORS
from mobile_vla_ros.episodes.identity import Identity, identify
from mobile_vla_ros.episodes.reader import Episode
from mobile_vla_ros.training.frames import cache_file

FORMAT = 1  # rises with whatever `identify` looks at


class IdentityCache:
    """Identities by the hash of a file's bytes; twelve frames are decoded for each.

    Args:
        folder: where they lie.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._new: dict[Path, Identity] = {}

    def identity(self, episode: Episode, sha256: str) -> Identity:
        """Of an episode whose file has that hash.

        Raises:
            EpisodeError: one of its frames cannot be read.
        """
        path = self.folder / f"{sha256[:24]}_{FORMAT}.json"
        try:
            kept = Identity.from_plain(json.loads(path.read_text(encoding="utf-8")))
            if kept.sha256 == sha256:
                return replace(kept, name=episode.path.name)
        except READ_ERRORS:
            pass  # not there, or of another making: looked at anew
        self._new[path] = identify(episode, sha256)
        return self._new[path]

    def keep(self) -> None:
        """Writes what was looked at; a run that is refused before leaves nothing.

        Raises:
            RunError: the disk is full or the folder cannot be written.
        """
        for path, identity in self._new.items():
            with cache_file(path) as temporary:
                temporary.write_text(json.dumps(identity.to_plain()), encoding="utf-8")
        self._new.clear()
