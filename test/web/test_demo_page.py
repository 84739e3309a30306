"""The demo driven once through the page: told, stopped, taken over, handed back, arrived."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.ros, pytest.mark.egl, pytest.mark.slow]

REPOSITORY = Path(__file__).parents[2]
MINUTE = 60_000.0


def test_the_demo_is_driven_from_the_page(chromium: Any, ros_domain: int, tmp_path: Path) -> None:
    """Set PAGE_PICTURES to a folder to keep the pictures of the guide."""
    pictures = Path(os.environ.get("PAGE_PICTURES", tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = tmp_path / "demo.log"
    demo = subprocess.Popen(
        [
            *(sys.executable, "-m", "mobile_vla_ros.cli.main", "demo", "--page"),
            *("--page-port", str(port), "--out", str(tmp_path / "out")),
        ],
        stdout=log.open("w"),
        stderr=subprocess.STDOUT,
        env=dict(os.environ, PYTHONPATH=str(REPOSITORY), PYTHONUNBUFFERED="1"),
    )
    try:
        context = chromium.new_context(viewport={"width": 360, "height": 740}, has_touch=True)
        page = context.new_page()
        page.set_default_timeout(2 * MINUTE)
        while "page: http" not in log.read_text():
            page.wait_for_timeout(100)
            assert demo.poll() is None, log.read_text()
        for _ in range(300):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1.0).close()
                break
            page.wait_for_timeout(200)
        page.goto(f"http://127.0.0.1:{port}/")
        while (said := re.search(r"for example: (.*)", log.read_text())) is None:
            page.wait_for_timeout(200)
            assert demo.poll() is None, log.read_text()
        page.click("[data-show=say]")
        page.fill("#text", said[1])
        page.keyboard.press("Enter")
        page.wait_for_selector('#words:has-text("It drives")')
        page.wait_for_timeout(3000)
        page.click("[data-show=drive]")
        page.wait_for_timeout(300)
        page.screenshot(path=pictures / "page_drives.png")
        page.click("#stop")
        page.wait_for_selector("#release:visible")
        page.wait_for_selector('#speed:text-is("0.00 m/s")')
        page.screenshot(path=pictures / "page_stopped.png")
        page.click("#release")
        page.click("#release-sure")
        page.click("#hand-back")
        page.wait_for_selector("#release-row", state="hidden")
        page.click("#take")
        page.wait_for_selector("#give:visible")
        page.wait_for_timeout(500)
        page.keyboard.down("w")
        page.wait_for_selector('#speed:text-is("0.15 m/s")')
        page.screenshot(path=pictures / "page_stick.png")
        page.keyboard.up("w")
        page.wait_for_selector('#speed:text-is("0.00 m/s")')
        page.click("#give")
        page.click("#hand-back")
        page.wait_for_selector("#hand-back", state="hidden")
        page.click("[data-show=say]")
        page.click("[data-order=enable]")
        # The demo ends then, and the state with it; the list of events keeps it.
        page.wait_for_selector('#events:has-text("It has arrived")', state="attached")
        page.click("[data-show=log]")
        page.screenshot(path=pictures / "page_log.png")
        assert demo.wait(60) == 0, log.read_text()
    finally:
        if demo.poll() is None:
            demo.terminate()
            demo.wait(30)
    assert "SUCCESS" in log.read_text()
