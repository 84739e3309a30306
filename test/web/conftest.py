"""A real browser for the page's tests, where there is one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from robot_double import Serving

NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium: Debian's (``apt-get install chromium``), or the one CHROMIUM names."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("no browser: apt-get install chromium, or set CHROMIUM to one")
    with playwright.sync_playwright() as driver:
        one = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield one
        one.close()


@pytest.fixture
def serving() -> Iterator[Serving]:
    """The page's server with a token, beside a robot's double."""
    with Serving("0123456789abcdef") as one:
        yield one
