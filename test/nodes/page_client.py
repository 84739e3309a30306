"""One person's page, without a browser: a program that holds the stick as it is told on stdin.

    python page_client.py ADDRESS [TOKEN]

``hold X Y`` holds from now on, ``go`` lets go as a page does, ``freeze`` falls silent with the
stick held, ``stop``, ``order NAME JSON``. Prints every message but beats as one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from typing import Any

import aiohttp

from mobile_vla_ros.web.files import StaticFiles

PERIOD = 0.05


class PageClient:
    """Speaks as the page does; ``held`` is where the stick is."""

    def __init__(self) -> None:
        self.held: tuple[float, float] | None = None
        self.beat = 0
        self.number = 0
        self.last_hold = 0.0
        self.socket: Any = None

    async def run(self, address: str, token: str) -> None:
        async with aiohttp.ClientSession() as session:
            origin = {"Origin": f"http://{address}"}
            self.socket = await session.ws_connect(f"ws://{address}/socket", headers=origin)
            await self.say(t="hello", token=token, version=StaticFiles().version, name="test")
            holding = asyncio.create_task(self._hold())
            async for message in self.socket:
                if message.type != aiohttp.WSMsgType.TEXT:
                    kind, number = message.data[0], int.from_bytes(message.data[1:5], "big")
                    if kind == 0:
                        await self.say(t="seen", picture=number)
                    told = {"t": "picture", "kind": kind, "bytes": len(message.data)}
                    print(json.dumps(told), flush=True)
                    continue
                words = json.loads(message.data)
                if words["t"] == "beat":
                    self.beat = words["n"]
                else:
                    print(json.dumps(words), flush=True)
            holding.cancel()

    async def say(self, **words: Any) -> None:
        await self.socket.send_str(json.dumps(words))

    async def _hold(self) -> None:
        while True:
            await asyncio.sleep(PERIOD)
            if self.held is not None:
                self.number += 1
                x, y = self.held
                await self.say(t="hold", number=self.number, beat=self.beat, x=x, y=y)
                self.last_hold = time.monotonic()

    async def obey(self, line: str) -> None:
        """One line of standard input."""
        word, _, rest = line.strip().partition(" ")
        if word == "hold":
            x, y = map(float, rest.split())
            self.held = (x, y)
        elif word == "freeze":
            self.held = None
            print(json.dumps({"t": "frozen", "last": self.last_hold}), flush=True)
        elif word == "order":
            name, _, value = rest.partition(" ")
            await self.say(t="order", id=1, name=name, value=json.loads(value or "null"))
        else:
            if word in ("go", "stop"):
                self.held = None
            await self.say(t=word)
            print(json.dumps({"t": "said", "word": word, "at": time.monotonic()}), flush=True)


async def main() -> None:
    client = PageClient()
    loop = asyncio.get_running_loop()

    def read() -> None:
        for line in sys.stdin:
            asyncio.run_coroutine_threadsafe(client.obey(line), loop)

    threading.Thread(target=read, daemon=True).start()
    await client.run(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "")


if __name__ == "__main__":
    asyncio.run(main())
