"""One open page: what is still to be sent to it, and how well its link carries pictures.

What can be outdated (beat, view, picture) waits as the newest only; what must arrive (answers)
waits in a short queue. A page that reads nothing fills neither.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

QUEUED_ANSWERS = 32
# Messages per second that a page may send, and how many at once.
RATE = 60.0
BURST = 120.0
# A picture that takes this long on the link is too large for it; it also holds up the beats.
SLOW_SECONDS = 0.12
QUICK_SECONDS = 0.05
QUICK_PICTURES = 20
LOST_PICTURE_SECONDS = 3.0
# Kinds of pictures: the robot's view, a trial's start over it, the last episode.
LIVE, START, EPISODE = 0, 1, 2
SIZES = (0, 480, 320, 240, 160)
"""Widths of pictures from a quick link to a slow one; 0: as they come."""


@dataclass
class LinkSpeed:
    """Chooses the pictures' size by how long they take to arrive and be shown."""

    level: int = 0
    _sent: tuple[int, float] | None = None
    _quick: int = 0

    @property
    def width(self) -> int:
        """Pixels; 0: as they come."""
        return SIZES[self.level]

    def free(self, now: float) -> bool:
        """Whether the last picture has been seen (or given up)."""
        if self._sent is None:
            return True
        if now - self._sent[1] > LOST_PICTURE_SECONDS:
            self._slower()
            return True
        return False

    def sent(self, picture: int, now: float) -> None:
        """A picture leaves."""
        self._sent = (picture, now)

    def seen(self, picture: int, now: float) -> None:
        """The page has shown it."""
        if self._sent is None or self._sent[0] != picture:
            return
        took = now - self._sent[1]
        self._sent = None
        if took > SLOW_SECONDS:
            self._slower()
        elif took < QUICK_SECONDS:
            self._quick += 1
            if self._quick >= QUICK_PICTURES and self.level > 0:
                self.level, self._quick = self.level - 1, 0
        else:
            self._quick = 0

    def _slower(self) -> None:
        self._sent, self._quick = None, 0
        self.level = min(self.level + 1, len(SIZES) - 1)


@dataclass
class Allowance:
    """A bucket of messages that fills with time."""

    rate: float = RATE
    most: float = BURST
    left: float = BURST
    since: float = field(default_factory=time.monotonic)

    def take(self, now: float) -> bool:
        """Whether one more message may come."""
        self.left = min(self.most, self.left + (now - self.since) * self.rate)
        self.since = now
        if self.left < 1.0:
            return False
        self.left -= 1.0
        return True


class Page:
    """One open page.

    Args:
        person: tells pages apart.
        socket: its websocket.
        name: what its person is called.
    """

    def __init__(self, person: str, socket: Any, name: str) -> None:
        self.person = person
        self.socket = socket
        self.name = name
        self.looking = True
        self.link = LinkSpeed()
        self.allowance = Allowance()
        self.orders = 0
        self.closing = ""
        self.age = 0.0
        self.has_seen = -1
        self._refused = ""
        self._answers: deque[dict[str, Any]] = deque(maxlen=QUEUED_ANSWERS)
        self._beat: int | None = None
        self._view: dict[str, Any] = {}
        self._told: dict[str, Any] = {}
        self._picture: tuple[int, bytes] | None = None
        self._stills: dict[int, bytes] = {}
        self._due = asyncio.Event()

    def tell(self, answer: dict[str, Any]) -> None:
        """Something that must arrive."""
        self._answers.append(answer)
        self._due.set()

    def refused_hold(self, why: str) -> None:
        """Says once why the stick drives nothing."""
        if why and why != self._refused:
            self.tell({"t": "held", "why": why})
        self._refused = why

    def beat(self, number: int) -> None:
        """The newest beat."""
        self._beat = number
        self._due.set()

    def show(self, view: dict[str, Any]) -> None:
        """What is to be seen now; only what has changed is sent."""
        if view != self._view:
            self._view = view
            self._due.set()

    def picture(self, number: int, jpeg: bytes) -> None:
        """The newest picture, of the size that the link carries."""
        self._picture = (number, jpeg)
        self._due.set()

    def still(self, kind: int, jpeg: bytes) -> None:
        """A picture that comes seldom; the newest of its kind."""
        self._stills[kind] = jpeg
        self._due.set()

    async def write(self) -> None:
        """Sends what waits, for as long as the page is open."""
        while True:
            await self._due.wait()
            self._due.clear()
            while self._answers:
                await self._say(self._answers.popleft())
            if self._beat is not None:
                beat, self._beat = self._beat, None
                await self._say({"t": "beat", "n": beat})
            changed = {k: v for k, v in self._view.items() if self._told.get(k, self) != v}
            if changed:
                self._told = {**self._told, **changed}
                await self._say({"t": "view", **changed})
            if self._picture is not None:
                (number, jpeg), self._picture = self._picture, None
                self.link.sent(number, time.monotonic())
                await self._send_picture(LIVE, number, jpeg)
            while self._stills:
                kind, jpeg = self._stills.popitem()
                await self._send_picture(kind, 0, jpeg)

    async def _send_picture(self, kind: int, number: int, jpeg: bytes) -> None:
        await self.socket.send_bytes(bytes([kind]) + number.to_bytes(4, "big") + jpeg)

    async def _say(self, words: dict[str, Any]) -> None:
        await self.socket.send_str(json.dumps(words, ensure_ascii=False))
