"""A relay to the server of a page: as slow as a poor phone's link, or silent without a word."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from typing import Any

CHUNK = 2048
# What a socket may hold: little, so that what waits does so at the sender, as on a slow link.
BUFFER = 8192


class SlowLink:
    """Carries TCP both ways at no more than so many bits/s; a context manager.

    Args:
        port: of the server.
        bits: per second, each way.
    """

    def __init__(self, port: int, bits: float) -> None:
        self.silent = False
        """Carries nothing and closes nothing, as a phone in flight mode."""
        self.carried = 0
        self._target = port
        self._bytes = bits / 8
        self._loop = asyncio.new_event_loop()
        self._listening = socket.create_server(("127.0.0.1", 0))
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            self._listening.setsockopt(socket.SOL_SOCKET, option, BUFFER)
        self.port = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> SlowLink:
        self._thread.start()
        serving = asyncio.start_server(self._carry, sock=self._listening, limit=CHUNK)
        asyncio.run_coroutine_threadsafe(serving, self._loop).result(5.0)
        return self

    def __exit__(self, *_: Any) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5.0)
        self._listening.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        near = socket.create_connection(("127.0.0.1", self._target))
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            near.setsockopt(socket.SOL_SOCKET, option, BUFFER)
        near_reader, near_writer = await asyncio.open_connection(sock=near, limit=CHUNK)
        for one in (writer, near_writer):
            one.transport.set_write_buffer_limits(0)
        await asyncio.gather(
            self._one_way(reader, near_writer), self._one_way(near_reader, writer)
        )

    async def _one_way(self, source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        free = time.monotonic()
        with contextlib.suppress(OSError):
            while data := await source.read(CHUNK):
                while self.silent:
                    await asyncio.sleep(0.02)
                free = max(free, time.monotonic()) + len(data) / self._bytes
                await asyncio.sleep(max(0.0, free - time.monotonic()))
                to.write(data)
                await to.drain()
                self.carried += len(data)
        with contextlib.suppress(OSError):
            to.close()
