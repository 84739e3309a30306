"""The page's server over loopback: who comes in, what is refused, what a message is worth."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from robot_double import Serving

from mobile_vla_ros.web.files import StaticFiles
from mobile_vla_ros.web.server import MOST_PAGES

TOKEN = "0123456789abcdef"
DEADLINE = 10.0


class Client:
    """A page, as its server sees it."""

    def __init__(self, session: aiohttp.ClientSession, address: str) -> None:
        self.session = session
        self.address = address
        self.heard: list[dict[str, Any]] = []
        self.pictures: list[bytes] = []
        self.beat = 0
        self.number = 0
        self.socket: Any = None
        self.task: Any = None

    async def open(self, token: str = "", version: str = "", **headers: str) -> Client:
        origin = {"Origin": f"http://{self.address}", **headers}
        self.socket = await self.session.ws_connect(f"ws://{self.address}/socket", headers=origin)
        version = version or StaticFiles().version
        await self.say(t="hello", token=token, version=version, name="민수")
        self.task = asyncio.create_task(self._listen())
        return self

    async def _listen(self) -> None:
        async for message in self.socket:
            if message.type == aiohttp.WSMsgType.BINARY:
                self.pictures.append(message.data)
                continue
            words = json.loads(message.data)
            if words["t"] == "beat":
                self.beat = words["n"]
            else:
                self.heard.append(words)

    async def say(self, **words: Any) -> None:
        await self.socket.send_str(json.dumps(words, ensure_ascii=False))

    async def hold(self, x: float = 0.0, y: float = 1.0, beat: int | None = None) -> None:
        self.number += 1
        beat = self.beat if beat is None else beat
        await self.say(t="hold", number=self.number, beat=beat, x=x, y=y)

    def told(self, kind: str) -> list[dict[str, Any]]:
        return [words for words in self.heard if words["t"] == kind]

    @property
    def refusal(self) -> str:
        return next((words["why"] for words in self.told("refused")), "")


async def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, what
        await asyncio.sleep(0.01)


def over_loopback(
    test: Callable[[Serving, aiohttp.ClientSession], Awaitable[None]], token: str = ""
) -> None:
    async def run(serving: Serving) -> None:
        async with aiohttp.ClientSession() as session:
            await asyncio.wait_for(test(serving, session), 60.0)

    with Serving(token) as serving:
        asyncio.run(run(serving))


def test_a_wrong_token_is_refused_without_a_word_of_the_robot() -> None:
    async def test(serving: Serving, session: aiohttp.ClientSession) -> None:
        client = await Client(session, serving.address).open("wrong-token")
        await until(lambda: client.socket.closed, "the end")
        assert client.refusal.startswith("the token is wrong")
        assert {words["t"] for words in client.heard} == {"refused"}
        assert not client.beat
        assert "driv" not in json.dumps(client.heard)
        right = await Client(session, serving.address).open(TOKEN)
        await until(lambda: right.told("view"), "the view")

    over_loopback(test, TOKEN)


def test_a_page_from_another_version_is_told_to_reload() -> None:
    async def test(serving: Serving, session: aiohttp.ClientSession) -> None:
        client = await Client(session, serving.address).open(version="older")
        await until(lambda: client.refusal, "a refusal")
        assert "another version" in client.refusal
        assert "reload" in client.refusal

    over_loopback(test)


def test_other_sites_frames_and_other_names_are_refused() -> None:
    async def test(serving: Serving, session: aiohttp.ClientSession) -> None:
        url = f"http://{serving.address}"
        async with session.get(f"{url}/") as answer:
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'self'" in policy
            assert "frame-ancestors 'none'" in policy
            assert answer.headers["X-Frame-Options"] == "DENY"
        for path, headers in (
            ("/", {"Host": "robot.evil.example"}),
            ("/", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "iframe"}),
            ("/page.js", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "script"}),
            ("/page.js", {"Origin": "http://evil.example"}),
        ):
            async with session.get(url + path, headers=headers) as answer:
                assert answer.status == 403, (path, headers)
        async with session.get(f"{url}/server.py") as answer:
            assert answer.status == 404
        for origin in ("http://evil.example", "null"):
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await Client(session, serving.address).open(Origin=origin)

    over_loopback(test)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"t": "no"}',
        '{"t": "hold", "number": 1, "beat": 1, "x": "a", "y": 0}',
        '{"t": "hold", "number": 1, "beat": 1, "x": NaN, "y": 0}',
        '{"t": "hold", "number": true, "beat": 1, "x": 0, "y": 1e400}',
        '{"t": "order", "id": 1, "name": "enable", "value": [1]}',
        '{"t": "order", "id": 1, "name": "' + "x" * 600 + '", "value": null}',
        "[" * 3000,
        '{"t": "hello", "token": "", "version": "", "name": ""}',
        "x" * 10_000,
    ],
)
def test_a_malformed_message_ends_its_page_alone(text: str) -> None:
    async def test(serving: Serving, session: aiohttp.ClientSession) -> None:
        bad = await Client(session, serving.address).open()
        good = await Client(session, serving.address).open()
        await until(lambda: bad.told("view") and good.told("view"), "both pages")
        await bad.socket.send_str(text)
        await until(lambda: bad.socket.closed, "the end of the bad page")
        assert bad.refusal or len(text) > 4096
        beat = good.beat
        await until(lambda: good.beat > beat + 2, "the good page's beats")
        assert not good.socket.closed
        assert not serving.robot.orders

    over_loopback(test)


def test_a_hundred_connections_leave_the_driver_undisturbed() -> None:
    async def test(serving: Serving, session: aiohttp.ClientSession) -> None:
        driver = await Client(session, serving.address).open()
        await until(lambda: driver.beat, "a beat")
        silent = [
            asyncio.create_task(
                session.ws_connect(
                    f"ws://{serving.address}/socket",
                    headers={"Origin": f"http://{serving.address}"},
                )
            )
            for _ in range(40)
        ]
        talking = [asyncio.create_task(Client(session, serving.address).open()) for _ in range(60)]
        for _ in range(30):
            await driver.hold()
            await asyncio.sleep(0.03)
        assert serving.moving
        opened = list(await asyncio.gather(*talking, return_exceptions=True))
        refused = [one for one in opened if isinstance(one, Exception) or one.refusal]
        assert len(serving.desk.pages) <= MOST_PAGES
        assert len(refused) >= 100 - 40 - MOST_PAGES
        for one in await asyncio.gather(*silent, return_exceptions=True):
            if not isinstance(one, Exception):
                await one.close()

    over_loopback(test)


def test_a_page_that_sends_too_much_is_closed() -> None:
    async def test(serving: Serving, session: aiohttp.ClientSession) -> None:
        client = await Client(session, serving.address).open()
        with contextlib.suppress(ConnectionError, RuntimeError):
            for _ in range(400):
                await client.say(t="go")
        await until(lambda: client.socket.closed, "the end")
        assert "too much" in client.refusal

    over_loopback(test)


def test_a_held_stick_drives_and_ends_with_its_last_message() -> None:
    async def test(serving: Serving, session: aiohttp.ClientSession) -> None:
        client = await Client(session, serving.address).open()
        await until(lambda: client.beat, "a beat")
        for _ in range(8):
            await client.hold(x=-0.5, y=1.0)
            await asyncio.sleep(0.05)
        assert serving.moving
        wish = serving.wishes[-1][1]
        assert (wish.linear, wish.angular) == (pytest.approx(0.3), pytest.approx(0.5))
        last = time.monotonic()
        await until(lambda: not serving.moving, "zero")
        assert serving.wishes[-1][0] - last < 0.5
        old = client.beat
        await asyncio.sleep(0.6)
        # What was held up for long does not set it in motion again.
        await client.hold(beat=old)
        await until(lambda: client.told("held"), "why not")
        assert "too old" in client.told("held")[0]["why"]
        assert not serving.moving

    over_loopback(test)


def test_a_socket_that_delivers_two_seconds_late_moves_nothing() -> None:
    async def test(serving: Serving, session: aiohttp.ClientSession) -> None:
        delays = [0.0]

        async def relay(reader: Any, writer: Any, late: bool) -> None:
            with contextlib.suppress(ConnectionError):
                while data := await reader.read(65536):
                    await asyncio.sleep(delays[0] if late else 0.0)
                    writer.write(data)

        async def connected(reader: Any, writer: Any) -> None:
            up, down = await asyncio.open_connection("127.0.0.1", serving.server.port)
            tasks = [relay(reader, down, True), relay(up, writer, False)]
            await asyncio.gather(*tasks)

        slow = await asyncio.start_server(connected, "127.0.0.1", 0)
        port = slow.sockets[0].getsockname()[1]
        client = await Client(session, f"127.0.0.1:{port}").open()
        await until(lambda: client.beat, "a beat")
        for _ in range(8):
            await client.hold()
            await asyncio.sleep(0.05)
        assert serving.moving
        delays[0] = 2.0
        for _ in range(10):
            await client.hold()
            await asyncio.sleep(0.05)
        at = time.monotonic()
        # The last one that came without delay was sent half a second ago.
        moved = [when for when, wish in serving.wishes if wish.held]
        assert at - moved[-1] > 0.1
        await asyncio.sleep(2.5)
        assert not [when for when, wish in serving.wishes if wish.held and when > at]
        assert "too old" in client.told("held")[-1]["why"]
        slow.close()

    over_loopback(test)


def test_closing_the_page_lets_go_at_once_and_frees_the_stick() -> None:
    async def test(serving: Serving, session: aiohttp.ClientSession) -> None:
        first = await Client(session, serving.address).open()
        second = await Client(session, serving.address).open()
        await until(lambda: first.beat and second.beat, "beats")
        await first.say(t="ask")
        await first.hold()
        await until(lambda: serving.moving, "motion")
        await second.hold()
        await until(lambda: second.told("held"), "a refusal")
        assert "another person" in second.told("held")[0]["why"]
        await first.socket.close()
        await until(lambda: not serving.moving and not serving.desk.driver, "a free stick")
        await second.hold()
        await until(lambda: serving.moving, "the second person")

    over_loopback(test)


def test_stop_goes_before_everything_and_holds_the_stick_down() -> None:
    async def test(serving: Serving, session: aiohttp.ClientSession) -> None:
        client = await Client(session, serving.address).open()
        looker = await Client(session, serving.address).open()
        await until(lambda: client.beat and looker.beat, "beats")
        await client.hold()
        await until(lambda: serving.moving, "motion")
        await looker.say(t="stop")
        await until(lambda: not serving.moving, "zero")
        assert serving.robot.stops == ["민수"]
        await client.hold()
        await until(lambda: client.told("held"), "a refusal")
        assert not serving.moving
        await client.say(t="order", id=1, name="enable", value=None)
        await until(lambda: client.told("answer"), "an answer")
        assert client.told("answer")[0]["ok"] is False
        await client.say(t="order", id=2, name="release", value=True)
        await until(lambda: not serving.robot.stopped, "the release")

    over_loopback(test)


def test_an_order_that_takes_longer_says_so_after_a_second() -> None:
    async def test(serving: Serving, session: aiohttp.ClientSession) -> None:
        serving.robot.slow = 1.5
        client = await Client(session, serving.address).open()
        await until(lambda: client.told("view"), "the view")
        begun = time.monotonic()
        text = "회색 바구니로 가세요"
        await client.say(t="order", id=7, name="instruction", value=f" {text}\n")
        await until(lambda: client.told("answer"), "the first answer")
        assert 0.9 < time.monotonic() - begun < 1.5
        assert client.told("answer")[0]["ok"] is None
        await until(lambda: len(client.told("answer")) == 2, "the second answer")
        assert client.told("answer")[1]["ok"] is True
        assert serving.robot.orders == [("instruction", text)]

    over_loopback(test)


def test_pictures_wait_for_the_last_one_to_be_seen_and_shrink_on_a_slow_link() -> None:
    import cv2
    import numpy as np

    noise = np.random.default_rng(0).integers(0, 255, (360, 640, 3), np.uint8)
    jpeg = cv2.imencode(".jpg", noise)[1].tobytes()

    async def test(serving: Serving, session: aiohttp.ClientSession) -> None:
        client = await Client(session, serving.address).open()
        await until(lambda: client.told("view"), "the view")
        sizes = []
        for turn in range(1, 5):
            serving.server.offer(jpeg)
            await until(lambda turn=turn: len(client.pictures) == turn, "a picture")
            picture = client.pictures[-1]
            sizes.append(len(picture) - 5)
            # Newer ones come, and wait: this one has not been seen yet.
            for _ in range(3):
                await asyncio.sleep(0.08)
                serving.server.offer(jpeg)
            assert len(client.pictures) == turn
            await client.say(t="seen", picture=int.from_bytes(picture[1:5], "big"))
            await until(lambda turn=turn: len(client.pictures) == turn + 1, "the newest one")
            newest = client.pictures.pop()
            await client.say(t="seen", picture=int.from_bytes(newest[1:5], "big"))
            await asyncio.sleep(0.1)
        assert sizes[0] == len(jpeg)
        assert sizes[-1] < sizes[0] / 4

    over_loopback(test)
