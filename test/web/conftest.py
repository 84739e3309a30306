"""Real browsers for the page's tests, where there are some."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from robot_double import Serving

from mobile_vla_ros.web.files import HEADERS

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FIREFOX = ("firefox-esr", "firefox")
POLICY = "Content-Security-Policy"


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    """Playwright, which brings no browser of its own."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as one:
        yield one


@pytest.fixture(scope="module")
def open_chromium(driver: Any) -> Iterator[Any]:
    """Headless Chromium: Debian's (``apt-get install chromium``), or the one CHROMIUM names."""
    program = _found("CHROMIUM", CHROMIUM, "chromium")
    one = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
    yield one
    one.close()


@pytest.fixture(scope="module")
def open_firefox(driver: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Headless Firefox: Debian's (``apt-get install firefox-esr``), or the one FIREFOX names."""
    yield from _firefox(driver, tmp_path_factory.mktemp("firefox"))


@pytest.fixture(scope="module")
def open_dark_firefox(driver: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The same on a device with a dark theme, where the mouse is a finger."""
    dark = {"ui.systemUsesDarkTheme": 1}
    folder = tmp_path_factory.mktemp("finger")
    yield from _firefox(driver, folder, dark, FIREFOX_POINTER="touch")


@pytest.fixture
def chromium(open_chromium: Any) -> Iterator[Any]:
    """Chromium without a page."""
    yield from _emptied(open_chromium)


@pytest.fixture
def dark_firefox_with_a_finger(open_dark_firefox: Any) -> Iterator[Any]:
    """Firefox without a page, on a dark device that is touched."""
    yield from _emptied(open_dark_firefox)


@pytest.fixture(params=["chromium", "firefox"])
def browser(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Each browser that is installed, without a page."""
    yield from _emptied(request.getfixturevalue(f"open_{request.param}"))


@pytest.fixture
def serving() -> Iterator[Serving]:
    """The page's server with a token, beside a robot's double."""
    with Serving("0123456789abcdef") as one:
        yield one


def _emptied(one: Any) -> Iterator[Any]:
    """A page that nobody looks at any more would go on asking its server that has ended."""
    with pytest.MonkeyPatch.context() as patch:
        if one.browser_type.name == "firefox":
            # Over WebDriver BiDi Playwright asks by `eval`, and hides carets in pictures by a
            # style.
            loosened = "; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'"
            patch.setitem(HEADERS, POLICY, HEADERS[POLICY] + loosened)
        yield one
    for context in one.contexts:
        context.close()


def _found(variable: str, names: tuple[str, ...], package: str) -> str:
    program = os.environ.get(variable) or next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip(f"no {package}: apt-get install {package}, or set {variable} to one")
    return program


def _firefox(
    driver: Any, folder: Path, settings: dict[str, Any] | None = None, **more: str
) -> Iterator[Any]:
    program = _found("FIREFOX", FIREFOX, "firefox-esr")
    between = folder / "firefox"
    script = Path(__file__).with_name("firefox_esr.py")
    between.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "$@"\n')
    between.chmod(between.stat().st_mode | stat.S_IXUSR)
    one = driver.firefox.launch(
        channel="moz-firefox",
        executable_path=between,
        firefox_user_prefs=settings or {},
        env={**os.environ, "FIREFOX": program, **more},
    )
    yield one
    one.close()
