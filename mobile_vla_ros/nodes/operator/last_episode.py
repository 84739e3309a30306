"""A look at the episode that was just saved: one of its pictures, and what the check says of it.

Runs as a process of its own, of low priority, so that neither the page nor the policy waits.

    python -m mobile_vla_ros.nodes.operator.last_episode FILE     one line of JSON
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mobile_vla_ros.episodes import check_episode, open_episode
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.pictures import encode_jpeg

WIDTH = 320
PATIENCE = 60.0
NICE = 10


class LastEpisode:
    """Looks at one episode at a time; of several that wait, at the newest.

    Args:
        seen: called with the sentence and the JPEG picture (empty where there is none).
    """

    def __init__(self, seen: Callable[[str, bytes], None]) -> None:
        self._seen = seen
        self._lock = threading.Lock()
        self._wanted = ""
        self._busy = False

    def look(self, path: str) -> None:
        """A file was saved; it need not be on this machine."""
        with self._lock:
            self._wanted = path
            if self._busy:
                return
            self._busy = True
        threading.Thread(target=self._work, name="last episode", daemon=True).start()

    def _work(self) -> None:
        while True:
            with self._lock:
                path, self._wanted = self._wanted, ""
                self._busy = bool(path)
            if not path:
                return
            if not Path(path).exists():
                self._seen(f"{Path(path).name} (its file is on another machine)", b"")
                continue
            self._seen(*_looked_at(path))


def _looked_at(path: str) -> tuple[str, bytes]:
    command = [sys.executable, "-m", "mobile_vla_ros.nodes.operator.last_episode", path]
    try:
        done = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=True)
        told = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return f"{Path(path).name} could not be checked: mobile_vla episodes check {path}", b""
    return told["words"], base64.b64decode(told["picture"])


def described(path: str) -> tuple[str, bytes]:
    """What the check says of an episode, and its middle picture as JPEG (empty without one)."""
    report = check_episode(path)
    verdict = "no fault found" if report.ok else "; ".join(report.problems)
    picture = b""
    try:
        with open_episode(path) as episode:
            if len(episode):
                pixels = np.asarray(episode.image(len(episode) // 2))
                step = max(1, pixels.shape[1] // WIDTH)
                picture = encode_jpeg(np.ascontiguousarray(pixels[::step, ::step]))
    except InputError as error:
        verdict = str(error)
    return f"{Path(path).name}: {report.frames} rows, {verdict}", picture


def main() -> int:
    os.nice(NICE)
    words, picture = described(sys.argv[1])
    print(json.dumps({"words": words, "picture": base64.b64encode(picture).decode()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
