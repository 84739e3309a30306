"""The server of the operator's page: static files, and one websocket for each open page.

It runs in a thread of its own, and lets pages in; what they say and see is the ``Desk``'s matter.
The stick is asked by the thread that publishes velocities, so that a server that hangs lets go.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import secrets
import socket as sockets
import ssl
import threading
import time
from dataclasses import dataclass
from typing import Any

from aiohttp import WSMsgType, web

from mobile_vla_ros.errors import InputError
from mobile_vla_ros.web.desk import Desk
from mobile_vla_ros.web.files import StaticFiles
from mobile_vla_ros.web.messages import (
    LONGEST_MESSAGE,
    LONGEST_NAME,
    MessageError,
    plain_text,
    read_message,
)
from mobile_vla_ros.web.page import Page

HELLO_SECONDS = 5.0
BEAT_SECONDS = 0.05
BEATS_PER_VIEW = 4
PICTURE_SECONDS = 1 / 15
# A page whose link takes nothing for so long is closed.
SEND_SECONDS = 5.0
MOST_PAGES = 16
# Connections that have not said hello yet; a stranger cannot keep the others out for longer than
# the hello's time.
MOST_STRANGERS = 64
WRONG_TOKEN_SECONDS = 0.5
LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]", "::1")

log = logging.getLogger("mobile_vla.page")


class PageServerError(InputError):
    """The page cannot be served."""


@dataclass(frozen=True)
class PageSettings:
    """How to serve.

    Attributes:
        host: address to listen on.
        port: TCP port; 0 takes any free one.
        token: what a page must show; '' for none (then ``host`` is this machine).
        tls: of the server, or None.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    token: str = ""
    tls: ssl.SSLContext | None = None


class PageServer:
    """See the module's text.

    Args:
        settings: how to serve.
        desk: where its pages come to.
    """

    def __init__(self, settings: PageSettings, desk: Desk) -> None:
        self._settings = settings
        self._files = StaticFiles()
        self._desk = desk
        self._strangers = 0
        self._picture_at = 0.0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="page", daemon=True)
        self._ready = threading.Event()
        self._ending = asyncio.Event()
        self._failure: Exception | None = None
        self.port = settings.port

    # -- from other threads --------------------------------------------------------------------

    def start(self) -> None:
        """Listens.

        Raises:
            PageServerError: the address cannot be had.
        """
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise PageServerError(
                f"cannot serve the page on {self._settings.host}:{self._settings.port}:"
                f" {self._failure}"
            )

    def close(self) -> None:
        """Ends it; nobody holds the stick any more."""
        if self._thread.is_alive():
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._ending.set)
            self._thread.join(2.0)

    @property
    def alive(self) -> bool:
        """Whether it still serves."""
        return self._thread.is_alive()

    @property
    def url(self) -> str:
        """Where the page is; the token stands behind the #, which browsers never send."""
        scheme = "https" if self._settings.tls else "http"
        host = self._settings.host
        if host in ("0.0.0.0", "::", ""):
            host = _own_address()
        host = f"[{host}]" if ":" in host else host
        token = f"#token={self._settings.token}" if self._settings.token else ""
        return f"{scheme}://{host}:{self.port}/{token}"

    @property
    def looked_at(self) -> bool:
        """Whether a page shows pictures now."""
        return any(page.looking for page in list(self._desk.pages.values()))

    def offer(self, jpeg: bytes) -> None:
        """The newest picture."""
        now = time.monotonic()
        # A little early, so that 15 a second are not read as every second of 30.
        if now - self._picture_at < 0.8 * PICTURE_SECONDS or not self._desk.pages:
            return
        self._picture_at = now
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._desk.take_picture, jpeg)

    def offer_still(self, kind: int, jpeg: bytes) -> None:
        """A picture that comes seldom (see ``page``); pages that come later get the newest."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._desk.take_still, kind, jpeg)

    def announce(self, sentence: str) -> None:
        """A sentence for every page."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._desk.say, {"t": "say", "text": sentence})

    # -- the loop ------------------------------------------------------------------------------

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._ready.set()
            self._loop.close()

    async def _serve(self) -> None:
        app = web.Application(middlewares=[self._guarded], client_max_size=1024)
        app.router.add_get("/socket", self._on_socket)
        app.router.add_get("/{name:[a-z0-9_.-]*}", self._on_file)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        settings = self._settings
        try:
            site = web.TCPSite(runner, settings.host, settings.port, ssl_context=settings.tls)
            await site.start()
        except (OSError, ValueError) as error:
            self._failure = error
            await runner.cleanup()
            return
        self.port = runner.addresses[0][1]
        self._ready.set()
        beats = asyncio.create_task(self._beat())
        await self._ending.wait()
        beats.cancel()
        for page in list(self._desk.pages.values()):
            await page.socket.close(code=1001, message=b"the page's program ends")
        await runner.cleanup()

    async def _beat(self) -> None:
        count = 0
        desk = self._desk
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            now = time.monotonic()
            desk.beat(now)
            count += 1
            if count % BEATS_PER_VIEW == 0 and desk.pages:
                desk.show()
            desk.send_pictures(now)

    # -- http ----------------------------------------------------------------------------------

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Refuses what comes from another site, and lets nothing frame the page."""
        try:
            refusal = self._refusal(request)
            if refusal:
                response: web.StreamResponse = web.Response(status=403, text=refusal)
            else:
                response = await handler(request)
        except web.HTTPException as error:
            response = web.Response(status=error.status, text=error.reason)
        if not response.prepared:
            for name, value in self._files.headers.items():
                response.headers[name] = value
        return response

    def _refusal(self, request: web.Request) -> str:
        host = request.headers.get("Host", "")
        if not self._settings.token and _name_of(host) not in LOCAL_NAMES:
            # Another site's name that leads to this machine.
            return "without a token the page is for this machine only"
        origin = request.headers.get("Origin")
        scheme = "https" if self._settings.tls else "http"
        if origin is not None and origin.lower() != f"{scheme}://{host}".lower():
            return "requests from other sites are refused"
        if request.path == "/socket" and origin is None:
            return "only a page of this server may ask"
        site = request.headers.get("Sec-Fetch-Site", "none")
        opened = request.headers.get("Sec-Fetch-Dest", "document") == "document"
        if site not in ("none", "same-origin") and not (opened and request.path == "/"):
            return "requests from other sites are refused"
        return ""

    async def _on_file(self, request: web.Request) -> web.Response:
        found = self._files.get(request.match_info["name"] or "index.html")
        if found is None:
            return web.Response(status=404, text="there is no such file")
        body, kind = found
        return web.Response(body=body, content_type=kind, charset="utf-8")

    # -- a page --------------------------------------------------------------------------------

    async def _on_socket(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(
            max_msg_size=LONGEST_MESSAGE, heartbeat=10.0, compress=False, timeout=1.0
        )
        if not socket.can_prepare(request).ok:
            return web.Response(status=400, text="this address is for the page alone")
        for name, value in self._files.headers.items():
            socket.headers[name] = value
        if self._strangers >= MOST_STRANGERS:
            return web.Response(status=503, text="too many connections at once: try again")
        await socket.prepare(request)
        self._strangers += 1
        try:
            page, refusal = await self._welcome(socket)
        finally:
            self._strangers -= 1
        if page is None:
            await self._refuse(socket, refusal)
            return socket
        _keep_alive_short(request)
        writing = asyncio.create_task(self._write(page))
        writing.add_done_callback(_tell_failure)
        try:
            await self._listen(page)
        finally:
            writing.cancel()
            self._desk.leave(page)
        if page.closing:
            await self._refuse(socket, page.closing)
        return socket

    async def _welcome(self, socket: web.WebSocketResponse) -> tuple[Page | None, str]:
        """The page that has said hello, or why it may not come in."""
        try:
            first = await socket.receive(timeout=HELLO_SECONDS)
            if first.type != WSMsgType.TEXT:
                return None, "the first message must be the page's hello"
            hello = read_message(first.data)
        except (TimeoutError, asyncio.TimeoutError):
            return None, "the page did not say hello in time"
        except MessageError as error:
            return None, str(error)
        if hello.kind != "hello":
            return None, "the first message must be the page's hello"
        token = hello.values["token"].encode("utf-8", "replace")
        if not hmac.compare_digest(token, self._settings.token.encode()):
            # Whoever guesses gets slow answers, and learns nothing of the robot.
            await asyncio.sleep(WRONG_TOKEN_SECONDS)
            return None, "the token is wrong: open the page by the code in the robot's terminal"
        if hello.values["version"] != self._files.version:
            return None, "this page is of another version than the robot's program: reload it"
        if len(self._desk.pages) >= MOST_PAGES:
            return None, f"{MOST_PAGES} pages are open already: close one"
        name = plain_text(hello.values["name"])[:LONGEST_NAME]
        page = Page(secrets.token_hex(8), socket, name or f"page {len(self._desk.pages) + 1}")
        self._desk.join(page)
        return page, ""

    async def _refuse(self, socket: web.WebSocketResponse, sentence: str) -> None:
        with contextlib.suppress(ConnectionError, RuntimeError):
            await socket.send_json({"t": "refused", "why": sentence})
            await socket.close(code=4000, message=sentence.encode()[:120])

    async def _write(self, page: Page) -> None:
        with contextlib.suppress(ConnectionError, RuntimeError):  # the reader sees the end as well
            await page.write()

    async def _listen(self, page: Page) -> None:
        async for message in page.socket:
            if message.type != WSMsgType.TEXT:
                page.closing = "a page sends text only"
                return
            now = time.monotonic()
            if not page.allowance.take(now):
                page.closing = "the page sends too much: reload it"
                return
            try:
                self._desk.take(page, read_message(message.data), now)
            except MessageError as error:
                page.closing = str(error)
                return


def _name_of(host: str) -> str:
    """The host without its port."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0].lower()


def _own_address() -> str:
    """The address by which this machine reaches others; nothing is sent."""
    with sockets.socket(sockets.AF_INET, sockets.SOCK_DGRAM) as probe:
        try:
            probe.connect(("10.255.255.255", 1))
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def _keep_alive_short(request: web.Request) -> None:
    """A link that takes nothing is given up after seconds, not after a quarter of an hour."""
    transport = request.transport
    socket = transport.get_extra_info("socket") if transport is not None else None
    if socket is None:
        return
    socket.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY, 1)
    if hasattr(sockets, "TCP_USER_TIMEOUT"):
        option = sockets.TCP_USER_TIMEOUT
        socket.setsockopt(sockets.IPPROTO_TCP, option, round(1000 * SEND_SECONDS))


def _tell_failure(writing: asyncio.Task[None]) -> None:
    if not writing.cancelled() and (error := writing.exception()) is not None:
        log.error("a page's messages could not be sent", exc_info=error)
