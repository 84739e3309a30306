"""Progress bars of long commands: on a terminal only, and on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

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


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[Any]:
    """A bar on the terminal; what it yields moves it on by one."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    with Progress(
        "{task.description}",
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)
