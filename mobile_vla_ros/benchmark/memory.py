"""Peak memory of this process while something runs."""

from __future__ import annotations

import threading
from pathlib import Path

PAGE = "RssAnon:"


def anonymous_bytes() -> int:
    """Anonymous memory in use now (what a memory-mapped file takes does not count)."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(PAGE):
            return int(line.split()[1]) * 1024
    raise OSError("this system does not tell anonymous memory (RssAnon)")


class PeakMemory:
    """Samples anonymous memory in a thread; ``with PeakMemory() as peak: ...; peak.bytes``.

    Args:
        period: seconds between samples.
    """

    def __init__(self, period: float = 0.01) -> None:
        self.bytes = anonymous_bytes()
        self._period = period
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self.bytes = max(self.bytes, anonymous_bytes())

    def _watch(self) -> None:
        while not self._done.wait(self._period):
            self.bytes = max(self.bytes, anonymous_bytes())
