"""A policy server on a loopback port, with a model whose behaviour a test orders."""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mobile_vla_ros.serving import wire
from mobile_vla_ros.serving.link import Link, LinkSettings, Picture
from mobile_vla_ros.serving.server import PolicyServer, ServerSettings

DOUBLE = (sys.executable, str(Path(__file__).with_name("model_double.py")))
SIZE = 32
PATIENCE = 20.0


class Ears:
    """Keeps what a link tells, in order."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []
        self.answers: dict[int, wire.ChunkMessage] = {}
        self.missing: dict[int, str] = {}

    def welcomed(self, welcome: wire.Welcome) -> None:
        self.told.append(("welcomed", welcome))

    def lost(self, sentence: str) -> None:
        self.told.append(("lost", sentence))

    def refused(self, sentence: str, again: bool) -> None:
        self.told.append(("refused", sentence))

    def failed(self, sentence: str) -> None:
        self.told.append(("failed", sentence))

    def answered(self, answer: wire.ChunkMessage) -> None:
        self.answers[answer.id] = answer

    def unanswered(self, number: int, sentence: str) -> None:
        self.missing[number] = sentence

    def count(self, kind: str) -> int:
        return sum(1 for told, _ in self.told if told == kind)

    def last(self, kind: str) -> Any:
        return [what for told, what in self.told if told == kind][-1]


class Robot:
    """A link with a camera whose picture is one grey."""

    def __init__(self, link: Link, ears: Ears) -> None:
        self.link, self.ears = link, ears
        self.number = 0

    def send(self, grey: int, instruction: str = "go", **fields: Any) -> int:
        self.number += 1
        image = np.full((SIZE, SIZE, 3), grey, np.uint8)
        stamp = fields.pop("stamp", self.number / 10)
        generation = fields.pop("generation", 1)
        self.link.offer(Picture(self.number, stamp, generation, instruction, image, **fields))
        return self.number

    async def ask(self, grey: int, instruction: str = "go", **fields: Any) -> wire.ChunkMessage:
        number = self.send(grey, instruction, **fields)
        await until(lambda: number in self.ears.answers or number in self.ears.missing)
        return self.ears.answers[number]


async def until(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it has not come true"
        await asyncio.sleep(0.01)


@asynccontextmanager
async def serving(folder: Path, behaviour: str = "echo", **settings: Any) -> AsyncIterator[Any]:
    """A running server; yields its address."""
    checkpoint = folder / "checkpoint.txt"
    checkpoint.write_text(behaviour)
    model = dict.fromkeys(("backbone", "config", "device", "dtype"), "")
    model["checkpoint"] = str(checkpoint)
    server = PolicyServer(ServerSettings(**{"port": 0, **settings}), model, DOUBLE)
    stop = asyncio.Event()
    addresses: list[str] = []
    task = asyncio.ensure_future(server.run(stop, lambda address, _: addresses.append(address)))
    await until(lambda: bool(addresses) or task.done())
    if task.done():
        task.result()
    try:
        yield addresses[0]
    finally:
        stop.set()
        await asyncio.wait_for(task, 10)


@asynccontextmanager
async def linked(address: str, **settings: Any) -> AsyncIterator[Robot]:
    """A robot with a link to the server."""
    ears = Ears()
    link = Link(LinkSettings(url=address, robot=secrets.token_hex(16), **settings), ears)
    task = asyncio.ensure_future(link.run())
    try:
        yield Robot(link, ears)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
