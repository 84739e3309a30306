"""Progress bars of long commands: on a terminal only, and on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence


def bar(items: Sequence, description: str) -> Iterable:
    """Yields the items and shows how many are done and how long the rest takes."""
    if not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(items, description=description, console=Console(stderr=True), transient=True)
