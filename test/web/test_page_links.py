"""The page over links that are slow, lost or encrypted, in each browser."""

from __future__ import annotations

import ssl
import subprocess
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from robot_double import Serving
from slow_link import SlowLink
from test_page import ALLOWED, GAMEPAD, open_page, until

pytestmark = pytest.mark.browser

MEGABIT = 1e6


def opened(browser: Any, address: str, size: tuple[int, int] = (360, 740), **more: Any) -> Any:
    width, height = size
    context = browser.new_context(viewport={"width": width, "height": height}, **more)
    context.add_init_script(GAMEPAD)
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector("body.linked")
    return page


def noisy(row: int) -> bytes:
    """A picture of about 100 kB, of which 1 Mbit/s carries one a second."""
    rng = np.random.default_rng(row)
    pixels = rng.integers(0, 256, (360, 640, 3), dtype=np.uint8)
    pixels = cv2.GaussianBlur(pixels, (0, 0), 0.8)
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()


def test_a_megabit_carries_smaller_pictures_and_still_the_stick_and_stop(
    browser: Any, serving: Serving
) -> None:
    pictures = [noisy(row) for row in range(4)]
    with SlowLink(serving.server.port, MEGABIT) as link:
        page = opened(browser, f"http://127.0.0.1:{link.port}/#token=0123456789abcdef")
        begun = time.monotonic()
        row = 0
        (one,) = serving.desk.pages.values()
        while one.link.width not in (240, 160) or time.monotonic() - begun < 4.0:
            assert time.monotonic() - begun < 30.0, f"pictures stay {one.link.width} wide"
            serving.server.offer(pictures[row % 4])
            row += 1
            page.wait_for_timeout(70)
        page.keyboard.down("w")
        until(lambda: serving.moving, "motion", page)
        page.keyboard.up("w")
        until(lambda: not serving.moving, "zero", page)
        asked = time.monotonic()
        page.click("#stop")
        until(lambda: serving.robot.stopped, "the stop", page)
        assert time.monotonic() - asked < 1.5
        assert link.carried < (time.monotonic() - begun + 1.0) * MEGABIT / 8 * 2.2


def test_a_phone_in_flight_mode_stands_and_comes_back_without_moving(
    browser: Any, serving: Serving
) -> None:
    with SlowLink(serving.server.port, 20 * MEGABIT) as link:
        page = opened(browser, f"http://127.0.0.1:{link.port}/#token=0123456789abcdef")
        page.keyboard.down("w")
        until(lambda: serving.moving, "motion", page)
        page.wait_for_timeout(300)
        link.silent = True
        silent = time.monotonic()
        until(lambda: not serving.moving, "zero")
        held = [at for at, wish in serving.wishes if wish.held]
        assert held[-1] - silent < ALLOWED + 0.05
        page.wait_for_selector("#link.bad")
        page.keyboard.up("w")
        counted = len(held)
        link.silent = False
        page.wait_for_selector("body.linked")
        page.wait_for_timeout(1000)
        # What had been under way is too old to move anything.
        assert len([1 for _, wish in serving.wishes if wish.held]) == counted
        page.keyboard.down("w")
        until(lambda: serving.moving, "motion again", page)
        page.keyboard.up("w")
        until(lambda: not serving.moving, "zero at the end", page)


@pytest.fixture
def encrypted(tmp_path: Path) -> ssl.SSLContext:
    """A server's side of TLS, with a certificate that it gave itself."""
    files = [str(tmp_path / name) for name in ("key.pem", "certificate.pem")]
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-keyout", files[0], "-out", files[1], "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files[1], files[0])
    return context


def test_the_page_drives_over_tls(browser: Any, encrypted: ssl.SSLContext) -> None:
    with Serving("0123456789abcdef", tls=encrypted) as serving:
        assert serving.server.url.startswith("https://")
        page = opened(browser, serving.server.url, ignore_https_errors=True)
        assert page.evaluate("window.isSecureContext && location.protocol") == "https:"
        page.keyboard.down("w")
        until(lambda: serving.moving, "motion", page)
        page.keyboard.up("w")
        until(lambda: not serving.moving, "zero", page)


def test_the_battery_is_shown_where_there_is_one(browser: Any, serving: Serving) -> None:
    page = open_page(browser, serving)
    page.wait_for_selector('#battery:text-is("81 %")')
    serving.robot.seen["battery"] = None
    page.wait_for_selector("#battery-cell", state="hidden")
    serving.robot.seen["battery"] = 7
    page.wait_for_selector('#battery:text-is("7 %")')


SPEECH = """
window.SpeechRecognition = window.webkitSpeechRecognition = class {
  start() {
    window.asked = this.lang;
    setTimeout(() => this.onresult({results: [[{transcript: "회색 바구니로 가세요"}]]}), 50);
  }
};
"""
NO_SPEECH = "delete window.SpeechRecognition; delete window.webkitSpeechRecognition;"


def test_speech_fills_the_text_where_the_browser_hears_and_is_not_offered_elsewhere(
    browser: Any, serving: Serving
) -> None:
    for script, offered in ((SPEECH, True), (NO_SPEECH, False)):
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        context.add_init_script(GAMEPAD + script)
        page = context.new_page()
        page.goto(serving.server.url)
        page.wait_for_selector("body.linked")
        assert page.is_visible("#speech") is offered
        if offered:
            page.select_option("#language", "ko-KR")
            page.click("#listen")
            page.wait_for_selector("#notice:has-text('listening')")
            page.wait_for_timeout(500)
            assert page.input_value("#text") == "회색 바구니로 가세요"
            assert page.evaluate("window.asked") == "ko-KR"
            # Said is not sent: the person reads it first.
            assert serving.robot.orders == []
