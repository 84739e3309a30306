"""Debian's Firefox as Playwright wants it: stands between the two and speaks WebDriver BiDi.

Playwright drives an unchanged Firefox over WebDriver BiDi, but asks for commands that an ESR does
not know yet. Started in Firefox's place, this starts it, hands every message on, and says 'done'
to Playwright where Firefox says 'unknown command' to one of those. With FIREFOX_POINTER=touch the
mouse that Playwright moves is a finger.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys

import aiohttp
from aiohttp import web

FIREFOX = os.environ.get("FIREFOX", "firefox-esr")
POINTER = os.environ.get("FIREFOX_POINTER", "")
# Bodies of requests, downloads, touch screens and dark schemes: what no test needs of it, or has
# by other means.
SPARED = re.compile(r"(network\.\w*DataCollector|browser\.setDownload|emulation\.)")
LISTENING = re.compile(rb"WebDriver BiDi listening on (ws://\S+)")


class Between:
    """One websocket on each side."""

    def __init__(self, firefox: str) -> None:
        self._firefox = firefox
        self._spared: set[int] = set()

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Relays until either side closes."""
        theirs = web.WebSocketResponse(max_msg_size=0)
        await theirs.prepare(request)
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{self._firefox}{request.path}", max_msg_size=0) as ours,
        ):
            both = [
                asyncio.create_task(self._relay(theirs, ours, self._asked)),
                asyncio.create_task(self._relay(ours, theirs, self._answered)),
            ]
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for task in both:
                task.cancel()
        return theirs

    @staticmethod
    async def _relay(source, target, change) -> None:
        async for message in source:
            if message.type == aiohttp.WSMsgType.TEXT:
                await target.send_str(json.dumps(change(json.loads(message.data))))

    def _asked(self, words: dict) -> dict:
        if SPARED.match(words.get("method", "")):
            self._spared.add(words["id"])
        if POINTER and words.get("method") == "input.performActions":
            for source in words["params"]["actions"]:
                if source["type"] == "pointer":
                    source["parameters"] = {"pointerType": POINTER}
                    source["id"] = POINTER
        return words

    def _answered(self, words: dict) -> dict:
        number = words.get("id")
        if number not in self._spared or words.get("error") != "unknown command":
            return words
        return {"type": "success", "id": number, "result": {"collector": "none"}}


async def main() -> int:
    process = await asyncio.create_subprocess_exec(
        FIREFOX, *sys.argv[1:], stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    runner: web.AppRunner | None = None
    async for line in process.stderr:
        found = LISTENING.search(line)
        if found and runner is None:
            application = web.Application()
            application.router.add_get("/{rest:.*}", Between(found[1].decode()).serve)
            runner = web.AppRunner(application)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            port = runner.addresses[0][1]
            line = f"WebDriver BiDi listening on ws://127.0.0.1:{port}\n".encode()
        sys.stderr.buffer.write(line)
        sys.stderr.flush()
    return await process.wait()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
