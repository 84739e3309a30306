"""A robot's link to a policy server: the newest frame out, its chunk back, made again when broken.

A few websockets to the same server, the lanes, carry one frame each. A packet that the network
loses holds up everything behind it on its lane; meanwhile the next frame takes another, and
answers, which are small, come on every lane. A lane that hears nothing for `SILENCE_SECONDS`, not
even an answer to its pings, is thrown away and made anew.

No clock of the server is ever looked at: chunks carry the robot's own stamps.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import aiohttp
import numpy as np

from mobile_vla_ros import __version__
from mobile_vla_ros.serving import access, wire
from mobile_vla_ros.serving.errors import WireError
from mobile_vla_ros.serving.picture import compress
from mobile_vla_ros.serving.tuning import begin_afresh, hurry

LANES = 4
UNDER_WAY = 2
"""So many frames are sent and still expected at most."""
PING_SECONDS = 0.25
SILENCE_SECONDS = 0.8
# Attempts to connect follow each other more and more slowly: the pause is the first one plus a
# share of the time that has been tried, at most the longest.
FIRST_PAUSE = 0.25
PAUSE_SHARE = 0.2
LONGEST_PAUSE = 2.0
HANDSHAKE_SECONDS = 2.0
# The next frame goes out when the one before is late by this much beyond what is possible.
LATE_FACTOR = 1.2
LATE_SECONDS = 0.03
# What is this late is held up by its lane, and no longer counts as being under way.
STUCK_FACTOR = 2.0
STUCK_SECONDS = 0.03
# The quickest of so many answers is what is possible.
_RECENT = 30
# What a robot has planned with; a server that comes back with another policy does not drive it.
_FIXED = (
    "window_size",
    "chunk_size",
    "image_size",
    "action_axes",
    "frame_period",
    "action_period",
)


@dataclass(frozen=True)
class LinkSettings:
    """Where and how.

    Attributes:
        url: of the server, as ``access.check_url`` returns it.
        token: what the server wants to see; '' for none.
        tls: how the server is recognised; None for ``ws://``.
        quality: JPEG quality 1 to 100, 0 for lossless.
        overrides: see ``wire.Hello``.
        robot: 32 hexadecimal digits drawn at random.
    """

    url: str
    robot: str
    token: str = ""
    tls: ssl.SSLContext | None = None
    quality: int = 90
    overrides: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Picture:
    """A frame for the server.

    Attributes:
        id: the caller's number for it, rising.
        stamp: capture time, seconds.
        generation: order under which it was taken.
        instruction: what the policy is told.
        image: uint8 [S, S, 3] RGB, of the policy's ``image_size``.
        feature: whether its feature is wanted.
    """

    id: int
    stamp: float
    generation: int
    instruction: str
    image: np.ndarray
    feature: bool = False


class LinkEvents(Protocol):
    """What a `Link` tells its owner, on the event loop's thread. None may block."""

    def welcomed(self, welcome: wire.Welcome) -> None:
        """The server serves this robot; told whenever that comes true (again)."""

    def lost(self, sentence: str) -> None:
        """No lane reaches the server; it goes on trying."""

    def refused(self, sentence: str, again: bool) -> None:
        """The server, or what it has, cannot serve this robot; it goes on asking.

        `again` tells whether asking can help without anybody changing anything on the robot.
        """

    def failed(self, sentence: str) -> None:
        """The server's model has failed; `welcomed` follows when it is back."""

    def answered(self, answer: wire.ChunkMessage) -> None:
        """A frame's chunk."""

    def unanswered(self, number: int, sentence: str) -> None:
        """There will be no chunk for the frame of this id; `sentence` is '' unless it is bad."""


class Lane:
    """One websocket and the frame that is under way on it.

    Attributes:
        socket: None while there is no connection.
        open: whether the server has welcomed it.
        frame: under way, or None.
        sent: when that was sent, seconds of the link's clock.
        heard: when the server was heard last.
    """

    def __init__(self) -> None:
        self.socket: aiohttp.ClientWebSocketResponse | None = None
        self.open = False
        self.frame: Picture | None = None
        self.sent = 0.0
        self.heard = 0.0


class Link:
    """Keeps two lanes to a server and the newest frame for it.

    Args:
        settings: where and how.
        events: is told what happens.
        clock: seconds, never going back.
    """

    def __init__(
        self,
        settings: LinkSettings,
        events: LinkEvents,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._events = events
        self._clock = clock
        self._lanes = [Lane() for _ in range(LANES)]
        self._newest: Picture | None = None
        self._times: deque[float] = deque(maxlen=_RECENT)
        self._policy: dict[str, Any] | None = None
        self._up = False
        self._trying_since = clock()
        self._timer: asyncio.TimerHandle | None = None
        self._sends: set[asyncio.Task] = set()
        self.round_trips: list[float] = []
        """Seconds from each ping to its pong, the last thousand."""

    async def run(self) -> None:
        """Keeps the link until it is cancelled."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=None)
        async with aiohttp.ClientSession(
            timeout=timeout,
            connector=aiohttp.TCPConnector(limit=0, force_close=True, ttl_dns_cache=10),
            trust_env=False,
        ) as session:
            await asyncio.gather(
                *(self._keep(session, lane, index) for index, lane in enumerate(self._lanes))
            )

    @property
    def action_axes(self) -> list[str]:
        """What the server's policy calls its outputs; empty before the first welcome."""
        return [] if self._policy is None else self._policy["action_axes"]

    def offer(self, picture: Picture) -> None:
        """Sends a frame as soon as a lane is free; an older one that still waits is forgotten."""
        older, self._newest = self._newest, picture
        if older is not None:
            self._events.unanswered(older.id, "")
        self._dispatch()

    # -- frames --------------------------------------------------------------------------------

    def _dispatch(self) -> None:
        """Hands the newest frame to a lane, if it may go now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._newest is None:
            return
        idle = [lane for lane in self._lanes if lane.open and lane.frame is None]
        if not any(lane.open for lane in self._lanes):
            picture, self._newest = self._newest, None
            self._events.unanswered(picture.id, "")
            return
        now = self._clock()
        quickest = min(self._times, default=0.0)
        stuck = STUCK_FACTOR * quickest + STUCK_SECONDS
        sent = [lane.sent for lane in self._lanes if lane.frame is not None]
        under_way = [at for at in sent if now - at < stuck]
        due = max(sent, default=-math.inf) + LATE_FACTOR * quickest + LATE_SECONDS
        if len(under_way) >= UNDER_WAY:
            due = max(due, min(under_way) + stuck)
        if now < due:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(due - now, self._dispatch)
            return
        if not idle:
            return  # the next answer, or the end of a lane, asks again
        # The lane that has rested longest: both keep their rhythm with the network.
        lane = min(idle, key=lambda one: one.sent)
        picture, self._newest = self._newest, None
        lane.frame, lane.sent = picture, now
        task = asyncio.ensure_future(self._send(lane, picture))
        self._sends.add(task)
        task.add_done_callback(self._sends.discard)

    async def _send(self, lane: Lane, picture: Picture) -> None:
        form, data = compress(picture.image, self._settings.quality)
        message = wire.FrameMessage(
            id=picture.id,
            stamp=picture.stamp,
            generation=picture.generation,
            instruction=picture.instruction,
            form=form,
            data=data,
            feature=picture.feature,
        )
        channel = lane.socket
        if channel is None:
            return
        begin_afresh(channel.get_extra_info("socket"))
        with contextlib.suppress(ConnectionError):  # the lane's reader hears of it by itself
            await channel.send_bytes(wire.pack(message))

    # -- lanes ---------------------------------------------------------------------------------

    async def _keep(self, session: aiohttp.ClientSession, lane: Lane, index: int) -> None:
        # Lanes that are made anew take turns, so that a link is found sooner.
        await asyncio.sleep(index * FIRST_PAUSE / LANES)
        while True:
            begin = self._clock()
            sentence = await self._live(session, lane)
            self._close(lane, sentence)
            tried = self._clock() - self._trying_since
            pause = min(FIRST_PAUSE + PAUSE_SHARE * tried, LONGEST_PAUSE)
            await asyncio.sleep(max(0.02, begin + pause - self._clock()))

    async def _live(self, session: aiohttp.ClientSession, lane: Lane) -> str:
        """One connection from its making to its end; returns why it ended."""
        settings = self._settings
        patience = min(max(4 * FIRST_PAUSE, self._clock() - self._trying_since), HANDSHAKE_SECONDS)
        watch = None
        try:
            lane.socket = await asyncio.wait_for(
                session.ws_connect(
                    settings.url,
                    headers=access.authorization(settings.token),
                    ssl=settings.tls if settings.tls is not None else True,
                    autoping=False,
                    max_msg_size=wire.MAX_MESSAGE,
                    compress=0,
                ),
                patience,
            )
            hurry(lane.socket.get_extra_info("socket"))
            lane.heard = self._clock()
            watch = asyncio.ensure_future(self._watch(lane))
            hello = wire.Hello(
                robot=settings.robot, version=__version__, overrides=settings.overrides
            )
            await lane.socket.send_bytes(wire.pack(hello))
            return await self._listen(lane)
        except WireError as error:
            return self._turned_away(f"{settings.url} does not speak this protocol: {error}", True)
        except aiohttp.WSServerHandshakeError as error:
            return self._handshake_refused(error)
        except aiohttp.ClientConnectorCertificateError as error:
            return self._turned_away(
                f"the certificate of {settings.url} is not trusted ({error.certificate_error}):"
                " give its CA file as server_certificate, and use the name that it was made for",
                False,
            )
        except aiohttp.ClientSSLError as error:
            return self._turned_away(f"{settings.url}: TLS fails ({error})", False)
        except (asyncio.TimeoutError, aiohttp.ClientError, OSError) as error:
            return _reason(settings.url, error)
        finally:
            if watch is not None:
                watch.cancel()

    def _handshake_refused(self, error: aiohttp.WSServerHandshakeError) -> str:
        url = self._settings.url
        if error.status == 401:
            return self._turned_away(
                f"{url} refuses the token: give the one of its --token-file as token_file", False
            )
        if error.status in (503, 502, 504):
            return f"{url} has no room or is not up yet (HTTP {error.status})"
        return self._turned_away(f"{url} is no policy server (HTTP {error.status})", False)

    async def _listen(self, lane: Lane) -> str:
        channel = lane.socket
        assert channel is not None
        while True:
            packet = await channel.receive()
            lane.heard = self._clock()
            if packet.type == aiohttp.WSMsgType.BINARY:
                message = wire.unpack(packet.data, wire.FROM_SERVER)
                if isinstance(message, wire.Refused):
                    return self._turned_away(message.message, message.again)
                self._hear(lane, message)
            elif packet.type == aiohttp.WSMsgType.PING:
                await channel.pong(packet.data)
            elif packet.type == aiohttp.WSMsgType.PONG:
                self._pong(packet.data)
            elif packet.type == aiohttp.WSMsgType.TEXT:
                raise WireError("a message that is not binary")
            else:
                return f"{self._settings.url} has closed the connection"

    def _hear(self, lane: Lane, message: Any) -> None:
        if isinstance(message, wire.Welcome):
            self._welcome(lane, message)
        elif isinstance(message, wire.ChunkMessage):
            if self._finish(message.id):
                self._events.answered(message)
        elif isinstance(message, wire.PassedOver):
            if self._finish(message.id):
                self._events.unanswered(message.id, "")
        elif isinstance(message, wire.RefusedFrame):
            if self._finish(message.id):
                self._events.unanswered(message.id, message.message)
        elif isinstance(message, wire.Failed):
            lane.open = False
            self._abandon(lane)
            if self._up and not any(one.open for one in self._lanes):
                self._up = False
                self._events.failed(message.message)
        self._dispatch()

    def _welcome(self, lane: Lane, welcome: wire.Welcome) -> None:
        fixed = {name: welcome.policy[name] for name in _FIXED}
        if welcome.protocol != wire.PROTOCOL:
            raise WireError(f"its version is {welcome.protocol}, this robot's {wire.PROTOCOL}")
        if self._policy is not None and fixed != self._policy:
            changed = ", ".join(name for name in _FIXED if fixed[name] != self._policy[name])
            lane.open = False
            self._turned_away(
                f"the server now has another policy ({changed} changed): configure the node anew",
                True,
            )
            return
        self._policy = fixed
        lane.open = True
        self._trying_since = self._clock()
        if not self._up:
            self._up = True
            self._events.welcomed(welcome)

    def _finish(self, number: int) -> bool:
        """Whether a lane waits for this answer; frees it. Answers come on every lane."""
        for lane in self._lanes:
            if lane.frame is not None and lane.frame.id == number:
                lane.frame = None
                self._times.append(self._clock() - lane.sent)
                return True
        return False

    async def _watch(self, lane: Lane) -> None:
        """Pings a lane, and throws it away when nothing comes back."""
        channel = lane.socket
        assert channel is not None
        while True:
            await asyncio.sleep(PING_SECONDS)
            if self._clock() - lane.heard > SILENCE_SECONDS:
                _abort(channel)
                return
            with contextlib.suppress(ConnectionError):
                await channel.ping(repr(self._clock()).encode())

    def _pong(self, data: bytes) -> None:
        try:
            sent = float(bytes(data))
        except ValueError:
            return
        self.round_trips = [*self.round_trips[-999:], self._clock() - sent]

    def _close(self, lane: Lane, sentence: str) -> None:
        channel, lane.socket = lane.socket, None
        lane.open = False
        self._abandon(lane)
        if channel is not None:
            _abort(channel)
        if self._up and not any(one.open for one in self._lanes):
            self._up = False
            self._trying_since = self._clock()
            self._events.lost(sentence)
        elif not self._up:
            self._events.lost(sentence)
        self._dispatch()

    def _abandon(self, lane: Lane) -> None:
        frame, lane.frame = lane.frame, None
        if frame is not None:
            self._events.unanswered(frame.id, "")

    def _turned_away(self, sentence: str, again: bool) -> str:
        if not any(one.open for one in self._lanes):
            self._up = False
            self._events.refused(sentence, again)
        return ""


def overridden(welcome: wire.Welcome, overrides: dict[str, Any]) -> wire.Welcome:
    """What the policy is to a robot that drives it with these overrides."""
    policy = dict(welcome.policy)
    for name in ("frame_period", "action_period"):
        policy[name] = overrides.get(name, policy[name])
    if overrides.get("action_axes"):
        policy["action_axes"] = list(overrides["action_axes"])
        policy["action_axes_confirmed"] = True
    return replace(welcome, policy=policy)


def _abort(channel: aiohttp.ClientWebSocketResponse) -> None:
    """Ends a connection at once: a farewell would wait for the network that has just failed."""
    connection = channel.get_extra_info("socket")
    if connection is not None:
        with contextlib.suppress(OSError):  # it has ended by itself
            connection.shutdown(socket.SHUT_RDWR)


def _reason(url: str, error: BaseException) -> str:
    if isinstance(error, asyncio.TimeoutError):
        return f"{url} does not answer"
    return f"{url} cannot be reached: {str(error) or type(error).__name__}"
