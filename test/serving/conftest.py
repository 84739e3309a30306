"""Runs the stories of the server's tests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest


@pytest.fixture
def run() -> Callable[[Awaitable[None]], None]:
    """Runs a coroutine to its end, in bounded time."""

    def run_one(story: Awaitable[None]) -> None:
        asyncio.run(asyncio.wait_for(story, 60))

    return run_one
