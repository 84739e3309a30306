"""The policy server: a websocket per robot link, one model behind them all.

The event loop holds connections and seats; the model works in a process of its own, one frame at a
time. Nothing here waits for a robot: what is sent to one waits in a short queue of its own, and
what the model is to see waits as the newest frame of each robot only.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import ssl
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from mobile_vla_ros import __version__
from mobile_vla_ros.serving import access, wire
from mobile_vla_ros.serving.errors import ServingError, WireError
from mobile_vla_ros.serving.figures import Figures
from mobile_vla_ros.serving.model_process import MODEL_COMMAND, ModelFailure, ModelProcess
from mobile_vla_ros.serving.seats import Seats
from mobile_vla_ros.serving.tuning import hurry

HELLO_SECONDS = 5.0
HEARTBEAT_SECONDS = 10.0
SEND_SECONDS = 3.0
# A robot that is heard no more keeps its seat for this long, should nobody else want it.
SILENT_SECONDS = 5.0
# One under way, one that waits, one just refused; more is a robot that reads nothing.
QUEUED_ANSWERS = 8
CONNECTIONS_PER_ROBOT = 8
SPARE_CONNECTIONS = 32
SLOWEST_RESTART = 30.0
FIGURES_SECONDS = 1.0

log = logging.getLogger("mobile_vla.serve")


@dataclass(frozen=True)
class ServerSettings:
    """How to serve.

    Attributes:
        host: address to listen on.
        port: TCP port; 0 takes any free one.
        token: what a robot must show; '' for none.
        tls: of the server, or None.
        max_robots: seats.
        figures: file that gets one JSON line per second, or None.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    token: str = ""
    tls: ssl.SSLContext | None = None
    max_robots: int = 4
    figures: Path | None = None

    def __post_init__(self) -> None:
        access.check_exposure(self.host, self.token)
        if not 1 <= self.max_robots <= 256:
            raise ServingError(f"--max-robots must be 1 to 256, not {self.max_robots}")


@dataclass(eq=False)
class Connection:
    """One websocket of a robot.

    Attributes:
        socket: the websocket.
        transport: under it.
        peer: address, for the log.
        robot: who it is, once it has said hello.
        overrides: how it wants to be driven.
        complained: whether the log has a line on a bad frame of it; one is enough.
        answers: what is still to be sent; the oldest goes when a robot reads too slowly.
        wake: set when there is something to send.
    """

    socket: web.WebSocketResponse
    transport: asyncio.Transport
    peer: str
    robot: str = ""
    overrides: dict[str, Any] = field(default_factory=dict)
    complained: bool = False
    answers: deque[bytes] = field(default_factory=lambda: deque(maxlen=QUEUED_ANSWERS))
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    def send(self, message: wire.Message) -> None:
        """Lets a message follow those before it; never waits."""
        self.answers.append(wire.pack(message))
        self.wake.set()


@dataclass(frozen=True, eq=False)
class Request:
    """A frame that waits for the model, and where its answer goes."""

    connection: Connection
    frame: wire.FrameMessage
    arrived: float

    @property
    def generation(self) -> int:
        return self.frame.generation

    @property
    def stamp(self) -> float:
        return self.frame.stamp


class PolicyServer:
    """Serves one policy to several robots.

    Args:
        settings: how.
        model: settings of the model's process, see ``ModelProcess``.
        command: program of the model's process.
    """

    def __init__(
        self,
        settings: ServerSettings,
        model: dict[str, Any],
        command: tuple[str, ...] = MODEL_COMMAND,
    ) -> None:
        self.settings = settings
        self._model_settings = model
        self._command = command
        self._model: ModelProcess | None = None
        self._welcome: wire.Welcome | None = None
        self._seats = Seats(settings.max_robots)
        self._heard: dict[str, float] = {}
        self._connections: set[Connection] = set()
        self._waiting = asyncio.Event()
        self._figures = Figures()

    @property
    def checkpoint(self) -> str:
        """What it serves."""
        return self._model_settings["checkpoint"]

    async def run(self, stop: asyncio.Event, ready: Any = None) -> None:
        """Serves until ``stop`` is set.

        Args:
            stop: ends it.
            ready: called with the address once the policy is warm and the port is open.

        Raises:
            ServingError: the port or the checkpoint cannot be used.
        """
        listener = self._listen()
        runner = web.AppRunner(self._application(), access_log=None, handle_signals=False)
        tasks = []
        try:
            self._model = ModelProcess(self._model_settings, self._command)
            starting = asyncio.ensure_future(self._model.start())
            await _first(starting, stop)
            if stop.is_set():
                starting.cancel()
                return
            try:
                self._take(starting.result())
            except ModelFailure as failure:
                raise ServingError(f"the model cannot be started: {failure}") from failure
            await runner.setup()
            await web.SockSite(runner, listener, ssl_context=self.settings.tls).start()
            tasks = [asyncio.ensure_future(self._work())]
            if self.settings.figures is not None:
                tasks.append(asyncio.ensure_future(self._write_figures(self.settings.figures)))
            if ready is not None:
                ready(self._address(listener), self._welcome)
            await _first(*tasks, stop)
            for task in tasks:
                if task.done() and not task.cancelled():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._hang_up()
            await runner.cleanup()
            listener.close()
            if self._model is not None:
                await self._model.close()

    # -- the network ---------------------------------------------------------------------------

    def _listen(self) -> socket.socket:
        host, port = self.settings.host, self.settings.port
        try:
            found = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            listener = socket.socket(*found[0][:3])
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(found[0][4])
            listener.listen(128)
        except OSError as error:
            raise ServingError(f"cannot listen on {host}:{port}: {error.strerror}") from error
        listener.setblocking(False)
        return listener

    def _address(self, listener: socket.socket) -> str:
        scheme = "wss" if self.settings.tls is not None else "ws"
        host, port = listener.getsockname()[:2]
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    def _application(self) -> web.Application:
        application = web.Application(client_max_size=1024)
        application.router.add_get("/", self._on_robot)
        application.router.add_get("/healthz", self._on_health)
        return application

    async def _on_health(self, _request: web.Request) -> web.Response:
        up = self._welcome is not None
        return web.json_response(
            {"status": "ready" if up else "failing"}, status=200 if up else 503
        )

    async def _on_robot(self, request: web.Request) -> web.StreamResponse:
        peer = str(request.remote)
        if not access.allowed(self.settings.token, request.headers.get("Authorization")):
            log.warning("%s was refused: wrong or no token", peer)
            return web.Response(status=401, text="wrong or no token\n")
        if "Origin" in request.headers:
            # Robots have none: this is a web page that tries to use somebody's browser.
            log.warning("%s was refused: a request from a web page", peer)
            return web.Response(status=403, text="not for web pages\n")
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return web.Response(status=426, text="a robot's link speaks websocket here\n")
        room = CONNECTIONS_PER_ROBOT * self.settings.max_robots + SPARE_CONNECTIONS
        if len(self._connections) >= room:
            log.warning("%s was refused: %d connections are open", peer, room)
            return web.Response(status=503, text="too many connections\n")
        transport = request.transport
        assert transport is not None
        channel = web.WebSocketResponse(
            max_msg_size=wire.MAX_MESSAGE, heartbeat=HEARTBEAT_SECONDS, compress=False
        )
        connection = Connection(channel, transport, peer)
        self._connections.add(connection)
        writer = None
        try:
            await channel.prepare(request)
            hurry(transport.get_extra_info("socket"))
            writer = asyncio.ensure_future(self._write(connection))
            await self._read(connection)
        except WireError as error:
            log.warning("%s was refused: %s", peer, error)
            await self._refuse(connection, str(error), again=False)
        except ServingError as error:
            log.warning("%s was refused: %s", peer, error)
            await self._refuse(connection, str(error), again=True)
        except (ConnectionError, asyncio.TimeoutError):
            log.info("%s has gone", peer)
        finally:
            self._connections.discard(connection)
            if writer is not None:
                writer.cancel()
            with contextlib.suppress(ConnectionError, asyncio.TimeoutError):
                await asyncio.wait_for(channel.close(), SEND_SECONDS)
        return channel

    async def _read(self, connection: Connection) -> None:
        hello = await asyncio.wait_for(self._next(connection), HELLO_SECONDS)
        if hello is None:
            return
        if not isinstance(hello, wire.Hello):
            raise WireError("the first message is no hello")
        self._seat(connection, hello)
        log.info("%s is robot %s (version %s)", connection.peer, hello.robot[:8], hello.version)
        while (message := await self._next(connection)) is not None:
            if not isinstance(message, wire.FrameMessage):
                raise WireError("a second hello on one connection")
            self._offer(connection, message)

    async def _next(self, connection: Connection) -> Any:
        """The next message; None when the robot has closed."""
        packet = await connection.socket.receive()
        if packet.type == WSMsgType.BINARY:
            self._figures.bytes_in += len(packet.data)
            return wire.unpack(packet.data, wire.FROM_ROBOT)
        if packet.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED):
            return None
        if packet.type == WSMsgType.ERROR:
            raise WireError(f"the connection broke the protocol: {connection.socket.exception()}")
        raise WireError("a message that is not binary")

    async def _write(self, connection: Connection) -> None:
        """Sends what waits; a robot that does not read for long is hung up on."""
        try:
            while True:
                await connection.wake.wait()
                connection.wake.clear()
                while connection.answers:
                    packet = connection.answers.popleft()
                    await asyncio.wait_for(connection.socket.send_bytes(packet), SEND_SECONDS)
                    self._figures.bytes_out += len(packet)
        except asyncio.TimeoutError:
            log.warning("%s reads nothing: hung up", connection.peer)
        except ConnectionError:
            pass
        connection.transport.abort()

    async def _refuse(self, connection: Connection, sentence: str, *, again: bool) -> None:
        packet = wire.pack(wire.Refused(sentence[: wire.MAX_TEXT], again))
        with contextlib.suppress(ConnectionError, asyncio.TimeoutError, RuntimeError):
            await asyncio.wait_for(connection.socket.send_bytes(packet), SEND_SECONDS)

    async def _hang_up(self) -> None:
        """Says goodbye to every robot."""
        farewells = [
            one.socket.close(code=WSCloseCode.GOING_AWAY, message=b"the server ends")
            for one in list(self._connections)
            if one.socket.prepared
        ]
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.gather(*farewells, return_exceptions=True), 1.0)

    # -- seats ---------------------------------------------------------------------------------

    def _seat(self, connection: Connection, hello: wire.Hello) -> None:
        if hello.protocol != wire.PROTOCOL:
            raise WireError(
                f"this server speaks version {wire.PROTOCOL} of the protocol (mobile_vla_ros"
                f" {__version__}), the robot version {hello.protocol} ({hello.version}): install"
                " the same release on both"
            )
        axes = hello.overrides.get("action_axes")
        if self._welcome is not None and axes is not None:
            own = self._welcome.policy["action_axes"]
            if len(axes) != len(own):
                raise WireError(
                    f"action_axes names {len(axes)} axes, but the policy has {len(own)} outputs"
                    f" ({', '.join(own)})"
                )
        if hello.robot not in self._seats and not self._seats.take_seat(hello.robot):
            self._evict_silent()
            if not self._seats.take_seat(hello.robot):
                raise ServingError(
                    f"all {self.settings.max_robots} places are taken by other robots: serve with"
                    " a larger --max-robots"
                )
        self._heard[hello.robot] = time.monotonic()
        connection.robot, connection.overrides = hello.robot, hello.overrides
        if self._welcome is not None:
            connection.send(self._welcome)

    def _evict_silent(self) -> None:
        now = time.monotonic()
        for robot, heard in list(self._heard.items()):
            if now - heard > SILENT_SECONDS:
                del self._heard[robot]
                self._seats.leave(robot)
                if self._model is not None and self._welcome is not None:
                    self._model.forget(robot)

    def _offer(self, connection: Connection, frame: wire.FrameMessage) -> None:
        self._figures.frames += 1
        self._heard[connection.robot] = now = time.monotonic()
        if self._welcome is None:
            connection.send(wire.PassedOver(frame.id))
            return
        if not self._seats.take_seat(connection.robot):
            raise ServingError("this robot was silent for long and another has its place")
        passed = self._seats.offer(connection.robot, Request(connection, frame, now))
        if passed is not None:
            self._figures.passed_over += 1
            passed.connection.send(wire.PassedOver(passed.frame.id))
        self._waiting.set()

    # -- the model -----------------------------------------------------------------------------

    def _take(self, report: dict[str, Any]) -> None:
        self._welcome = wire.Welcome(**report, version=__version__)

    async def _work(self) -> None:
        """Gives the model one frame after the other; starts it anew when it fails."""
        failures = 0
        while True:
            await self._waiting.wait()
            chosen = self._seats.next()
            if chosen is None:
                self._waiting.clear()
                continue
            robot, request = chosen
            begin = time.monotonic()
            assert self._model is not None
            try:
                answer = await self._model.step(robot, request.connection.overrides, request.frame)
            except ModelFailure as failure:
                failures += 1
                await self._restart(str(failure), failures)
                continue
            failures = 0
            self._answer(request, answer, begin)

    def _answer(self, request: Request, answer: Any, begin: float) -> None:
        done = time.monotonic()
        if isinstance(answer, wire.ChunkMessage):
            wait = max(0.0, done - request.arrived - answer.policy_seconds - answer.image_seconds)
            answer = wire.ChunkMessage(**{**vars(answer), "wait_seconds": wait})
            self._figures.answered(done - begin, wait)
        else:
            self._figures.refused_frames += 1
            if not request.connection.complained:
                request.connection.complained = True
                log.warning("%s: a frame was refused: %s", request.connection.peer, answer.message)
        # Answers are small: whichever lane of the robot is not held up brings it first.
        robot = request.connection.robot
        for connection in self._connections:
            if connection.robot == robot:
                connection.send(answer)

    async def _restart(self, sentence: str, failures: int) -> None:
        log.error("the model failed and is started anew: %s", sentence)
        self._welcome = None
        self._figures.model_restarts += 1
        for connection in self._connections:
            if connection.robot:
                connection.send(wire.Failed(sentence[: wire.MAX_TEXT]))
        self._seats.drop_waiting()
        while True:
            if self._model is not None:
                await self._model.close()
            if failures > 1:
                await asyncio.sleep(min(2.0 ** (failures - 2), SLOWEST_RESTART))
            self._model = ModelProcess(self._model_settings, self._command)
            try:
                self._take(await self._model.start())
                break
            except (ModelFailure, ServingError) as failure:
                failures += 1
                log.error("the model cannot be started anew: %s", failure)
        log.info("the model works again")
        for connection in self._connections:
            if connection.robot and self._welcome is not None:
                connection.send(self._welcome)

    async def _write_figures(self, path: Path) -> None:
        with open(path, "a", encoding="utf-8") as file:
            while True:
                await asyncio.sleep(FIGURES_SECONDS)
                line = self._figures.line(len(self._seats), len(self._connections))
                file.write(json.dumps(line) + "\n")
                file.flush()


async def _first(*what: Any) -> None:
    """Waits until one task is done or one event is set."""
    tasks = [
        asyncio.ensure_future(one.wait()) if isinstance(one, asyncio.Event) else one
        for one in what
    ]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task, one in zip(tasks, what, strict=True):
        if isinstance(one, asyncio.Event):
            task.cancel()
