"""Progress bars of long commands: on a terminal only, and on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def bar(items: Iterable[Item], description: str) -> Iterator[Item]:
    """Yields the items and shows how many are done and how long the rest takes."""
    if not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import track

    known = items if isinstance(items, Sequence) else list(items)
    yield from track(known, description=description, console=Console(stderr=True), transient=True)
