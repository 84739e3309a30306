"""The page in a real browser: clicks, touches, keys, a gamepad; what it looks like."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from robot_double import Serving

pytestmark = pytest.mark.browser

SIZES = ((360, 740), (820, 1180), (1440, 900))
DEADLINE = 10.0
# From the last message that holds to the wish that does not; a browser beside it takes its time.
ALLOWED = 0.3
GAMEPAD = """
window.pad = null;
navigator.getGamepads = () => [window.pad];
"""


def until(condition: Callable[[], object], what: str, page: Any = None) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, what
        if page is not None:
            page.wait_for_timeout(20)
        else:
            time.sleep(0.02)


def open_page(browser: Any, serving: Serving, size: tuple[int, int] = (820, 1180), **more: Any):
    if browser.browser_type.name == "firefox":
        more.pop("color_scheme", None)  # it has its user's
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **more)
    context.add_init_script(GAMEPAD)
    page = context.new_page()
    page.faults = []
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.on("console", lambda m: page.faults.append(m.text) if m.type == "error" else None)
    page.on("request", lambda r: page.faults.append(r.url) if serving.address not in r.url else 0)
    page.goto(serving.server.url)
    page.wait_for_selector("body.linked")
    return page


def middle(page: Any, selector: str) -> tuple[float, float, float]:
    page.locator(selector).scroll_into_view_if_needed()
    box = page.locator(selector).bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, box["width"] / 2


def stands_soon(serving: Serving, since: float, page: Any) -> None:
    """Moves no more than `ALLOWED` after ``since``, nor later."""
    until(lambda: not serving.moving, "zero", page)
    page.wait_for_timeout(500)
    moving = [at for at, wish in serving.wishes if wish.held and (wish.linear or wish.angular)]
    assert moving[-1] - since < ALLOWED


def test_the_mouse_drives_while_it_holds(browser: Any, serving: Serving) -> None:
    page = open_page(browser, serving)
    x, y, radius = middle(page, "#stick")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y - radius)
    until(lambda: serving.moving and serving.wishes[-1][1].linear > 0.1, "motion", page)
    wish = serving.wishes[-1][1]
    # Firefox's mouse moves by whole pixels, of which the stick's middle is none.
    near = 1e-4 if browser.browser_type.name == "firefox" else 1e-6
    assert (wish.linear, wish.angular) == (pytest.approx(0.15, rel=near), pytest.approx(0.0))
    page.mouse.up()
    stands_soon(serving, time.monotonic(), page)
    assert page.faults == []


def test_a_finger_drives_two_fingers_do_not(chromium: Any, serving: Serving) -> None:
    page = open_page(chromium, serving, (360, 740), has_touch=True, is_mobile=True)
    x, y, radius = middle(page, "#stick")
    touch = page.context.new_cdp_session(page)

    def send(kind: str, *points: tuple[float, float]) -> None:
        given = [{"x": a, "y": b, "id": i} for i, (a, b) in enumerate(points)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": given})

    send("touchStart", (x, y))
    send("touchMove", (x - radius, y))
    until(lambda: serving.moving and serving.wishes[-1][1].angular > 0.2, "a turn", page)
    send("touchStart", (x - radius, y), (x, y + radius / 2))
    stands_soon(serving, time.monotonic(), page)
    send("touchEnd")
    send("touchStart", (x, y))
    send("touchMove", (x, y - radius))
    until(lambda: serving.moving, "motion", page)
    send("touchEnd")
    stands_soon(serving, time.monotonic(), page)
    assert page.faults == []


def test_a_finger_drives_in_firefox_a_second_one_stops(
    dark_firefox_with_a_finger: Any, serving: Serving
) -> None:
    page = open_page(dark_firefox_with_a_finger, serving, (360, 740), has_touch=True)
    kinds = "window.kinds = []; addEventListener('pointerdown', e => kinds.push(e.pointerType))"
    page.evaluate(kinds)
    x, y, radius = middle(page, "#stick")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - radius, y)
    until(lambda: serving.moving and serving.wishes[-1][1].angular > 0.2, "a turn", page)
    assert page.evaluate("kinds") == ["touch"]
    # WebDriver's fingers all come through one hand here; the second is the browser's own event.
    page.evaluate(
        "document.getElementById('stick').dispatchEvent("
        "new PointerEvent('pointerdown', {pointerId: 77, pointerType: 'touch'}))"
    )
    stands_soon(serving, time.monotonic(), page)
    page.mouse.up()
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y - radius)
    until(lambda: serving.moving, "motion", page)
    page.mouse.up()
    stands_soon(serving, time.monotonic(), page)
    page.mouse.move(*middle(page, "#stop")[:2])
    page.mouse.down()
    page.mouse.up()
    until(lambda: serving.robot.stopped, "a stop by one touch", page)
    assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    assert page.evaluate(AUDIT) == []
    assert page.faults == []


def test_keys_drive_and_stop_but_not_in_a_text(browser: Any, serving: Serving) -> None:
    page = open_page(browser, serving)
    page.keyboard.down("w")
    page.keyboard.down("a")
    until(lambda: serving.moving and serving.wishes[-1][1].angular > 0, "motion", page)
    page.keyboard.up("a")
    page.keyboard.up("w")
    stands_soon(serving, time.monotonic(), page)
    page.focus("#text")
    page.keyboard.type("a wall, 왼쪽")
    page.wait_for_timeout(200)
    assert not serving.moving
    assert not serving.robot.stopped
    assert page.input_value("#text") == "a wall, 왼쪽"
    page.keyboard.press("Escape")
    until(lambda: serving.robot.stopped, "a stop", page)
    serving.robot.stopped = False
    page.locator("#text").blur()
    page.focus("#take")
    page.keyboard.press("Space")
    until(lambda: serving.robot.stopped, "another stop", page)
    assert not serving.desk.driver or serving.robot.stops


def test_a_gamepad_drives_with_its_deadman_and_its_loss_stops(
    browser: Any, serving: Serving
) -> None:
    page = open_page(browser, serving)
    press = """(held, x, y, trigger) => {
      const buttons = Array.from({length: 17}, () => ({pressed: false, value: 0}));
      buttons[4].pressed = held; buttons[7].value = trigger;
      window.pad = {connected: true, buttons, axes: [x, y]};
    }"""

    def pad(held: bool, x: float, y: float, trigger: float) -> None:
        page.evaluate(f"([a, b, c, d]) => ({press})(a, b, c, d)", [held, x, y, trigger])

    pad(False, 0.0, -1.0, 1.0)
    page.wait_for_timeout(200)
    assert not serving.moving
    pad(True, 0.1, -1.0, 0.0)
    until(lambda: serving.moving, "motion", page)
    wish = serving.wishes[-1][1]
    # The trigger is not pulled, and a tenth lies in the dead zone.
    assert (wish.linear, wish.angular) == (pytest.approx(0.09), pytest.approx(0.0))
    pad(True, 0.0, -1.0, 1.0)
    until(lambda: serving.wishes[-1][1].linear > 0.29, "full speed", page)
    page.evaluate("window.pad = null")
    stands_soon(serving, time.monotonic(), page)
    page.evaluate(
        "window.pad = {connected: true, axes: [0, 0],"
        " buttons: [{pressed: false}, {pressed: true}]}"
    )
    until(lambda: serving.robot.stopped, "a stop by button B", page)


def test_a_page_that_hangs_or_closes_with_a_held_stick_stands(
    browser: Any, serving: Serving
) -> None:
    page = open_page(browser, serving)
    page.keyboard.down("w")
    until(lambda: serving.moving, "motion", page)
    page.wait_for_timeout(300)
    begun = time.monotonic()
    page.evaluate(
        "setTimeout(() => { const end = performance.now() + 1500;"
        " while (performance.now() < end); }, 0)"
    )
    until(lambda: time.monotonic() - begun > 1.4, "the hang")
    hung = [at for at, wish in serving.wishes if wish.held and begun < at < begun + 1.4]
    assert not hung or hung[-1] - begun < ALLOWED + 0.1
    page.keyboard.up("w")
    until(lambda: not serving.moving, "zero", page)
    page.keyboard.down("w")
    until(lambda: serving.moving, "motion", page)
    page.close(run_before_unload=False)
    closed = time.monotonic()
    until(lambda: not serving.moving, "zero")
    assert serving.wishes[-1][0] - closed < ALLOWED


def test_stop_takes_one_touch_and_its_release_two(browser: Any, serving: Serving) -> None:
    page = open_page(browser, serving, (360, 740))
    page.click("#stop")
    until(lambda: serving.robot.stopped, "the stop", page)
    page.wait_for_selector("#release:visible")
    assert page.text_content("#words") == "STOP is held"
    assert page.evaluate(AUDIT) == []
    page.click("#release")
    page.wait_for_timeout(200)
    assert serving.robot.stopped
    page.click("#release-not")
    assert page.is_hidden("#release-sure")
    page.click("#release")
    page.click("#release-sure")
    until(lambda: not serving.robot.stopped, "the release", page)
    assert page.faults == []


def test_the_stick_is_asked_for_and_handed_over(browser: Any, serving: Serving) -> None:
    first = open_page(browser, serving)
    second = open_page(browser, serving)
    first.click("#take")
    first.wait_for_selector("#give:visible")
    second.wait_for_selector("text=has the stick")
    second.click("#take")
    first.wait_for_selector("#grant:visible")
    first.click("#grant")
    second.wait_for_selector("#give:visible")
    second.click("#give")
    until(lambda: not serving.desk.driver, "a free stick", second)


def test_an_instruction_is_typed_or_chosen_and_arrives_unchanged(
    browser: Any, serving: Serving
) -> None:
    page = open_page(browser, serving)
    text = "회색 바구니로 가세요; go: 'left' <b>&amp;"
    page.fill("#text", text)
    page.keyboard.press("Enter")
    until(lambda: serving.robot.orders, "the order", page)
    page.click("#planned button")
    until(lambda: len(serving.robot.orders) == 2, "the planned one", page)
    assert serving.robot.orders == [("instruction", text), ("instruction", "왼쪽 상자로 가세요")]
    serving.robot.slow = 3.0
    page.click("text=Enable")
    page.wait_for_selector("text=no answer within a second")
    page.wait_for_selector("text=done: enable")


def test_words_the_policy_does_not_know_are_warned_of(browser: Any, serving: Serving) -> None:
    page = open_page(browser, serving)
    assert page.locator("#remark").is_hidden()
    serving.robot.seen["remark"] = "the policy was not trained with <b>'off'</b>"
    page.wait_for_selector("#remark:visible")
    assert page.text_content("#remark") == "the policy was not trained with <b>'off'</b>"


def test_a_wrong_token_says_so_and_nothing_else(browser: Any, serving: Serving) -> None:
    page = browser.new_page()
    page.goto(f"http://{serving.address}/#token=wrong-wrong")
    page.wait_for_selector("text=the token is wrong")
    assert "It drives" not in page.text_content("body")
    assert "wrong-wrong" not in page.evaluate("location.href")


# Every text's contrast with the ground that is painted behind it (WCAG 2.1), and every control's
# name; an empty list when there is nothing to find.
AUDIT = """() => {
  const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = numbers(getComputedStyle(one).backgroundColor);
      if (colour.length < 4 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const faults = [];
  for (const one of document.querySelectorAll("body *")) {
    const box = one.getBoundingClientRect();
    const left = one.closest("[hidden], .hidden, #no-picture, option") || one.disabled;
    if (!box.width || left) continue;
    const text = [...one.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (text) {
      const style = getComputedStyle(one);
      const [a, b] = [light(numbers(style.color)), light(ground(one))];
      const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      const large = parseFloat(style.fontSize) >= 24;
      const words = `${one.id || one.tagName} ${one.textContent.trim().slice(0, 30)}`;
      if (ratio < (large ? 3 : 4.5)) faults.push(`contrast ${ratio.toFixed(2)}: ${words}`);
    }
    if (one.matches("button, input, select, [tabindex], canvas")) {
      const label = one.id && document.querySelector(`label[for="${one.id}"]`);
      const named = one.textContent.trim() || one.ariaLabel || label;
      if (!named) faults.push(`no name: ${one.id || one.outerHTML}`);
      if (!one.matches("canvas") && one.tabIndex < 0) faults.push(`no keyboard: ${one.id}`);
      if (one.matches("button") && box.height < 40) faults.push(`too small: ${one.textContent}`);
    }
  }
  if (document.documentElement.scrollWidth > innerWidth) faults.push("wider than the screen");
  return faults;
}"""


def filled(serving: Serving) -> None:
    """A robot that has something to say in every panel."""
    import cv2
    import numpy as np

    serving.robot.seen |= {
        "recorder": {
            "scenario": "1box_left", "instruction": "왼쪽 상자로 가세요", "message": "ready",
            "state": "idle", "frames": 12, "frames_dropped": 0, "frames_lost": 0,
            "episode_length": 0, "disk_left_bytes": 5.2e10, "error": "", "next": "2box_left",
            "progress": [{"name": f"{n}box_{side}", "done": n, "target": 60}
                         for n in (1, 2) for side in ("left", "right")],
        },
        "trials": {
            "phase": "waiting", "trial": None, "scenario": None, "elapsed": 0.0,
            "next": {"number": 4, "scenario": "2box_left", "pair": "2box_left#1"},
            "done": 3, "planned": 20, "message": "ready",
        },
        "reasons": ["왼쪽 상자를 지나침", "stopped short"],
        "remark": "the policy was not trained with '저쪽으로'; nearest: '왼쪽 상자로 가세요'",
    }  # fmt: skip
    rows = np.linspace(60, 190, 360, dtype=np.uint8)[:, None, None]
    picture = np.repeat(np.repeat(rows, 640, 1), 3, 2)
    picture = cv2.line(picture.copy(), (320, 350), (390, 190), (150, 230, 80), 4, cv2.LINE_AA)
    serving.server.offer(cv2.imencode(".jpg", picture)[1].tobytes())


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_everything_can_be_read_reached_and_named(
    browser: Any, serving: Serving, size: tuple[int, int], scheme: str, tmp_path: Path
) -> None:
    page = open_page(browser, serving, size, color_scheme=scheme)
    filled(serving)
    page.wait_for_selector("#no-picture", state="hidden")
    page.wait_for_timeout(500)
    panels = ["drive"]
    if size[0] < 700:
        panels = ["say", "record", "judge", "log", "drive"]
    for panel in panels:
        if len(panels) > 1:
            page.click(f"nav [data-show={panel}]")
            page.wait_for_timeout(150)
        page.screenshot(path=tmp_path / f"{panel}.png")
        assert page.evaluate(AUDIT) == []
    for control in ("#stop", "#stick", "#take"):
        box = page.locator(control).bounding_box()
        footer = page.locator("footer").bounding_box()
        bottom = size[1] if control == "#stop" else footer["y"]
        if size[0] != 820 or control == "#stop":
            assert box["y"] + box["height"] <= bottom + 1, control
    assert page.faults == []
