"""The open pages: what they say reaches the stick and the robot, what is new reaches them.

Lives in the server's event loop; the stick alone is asked from another thread too, under its lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from typing import Any, Protocol

from mobile_vla_ros.errors import InputError
from mobile_vla_ros.web.messages import Message, MessageError, plain_text
from mobile_vla_ros.web.page import Page
from mobile_vla_ros.web.picture import smaller
from mobile_vla_ros.web.stick import Stick, Wish

ORDER_SECONDS = 1.0
MOST_ORDERS = 4


class Robot(Protocol):
    """What the server needs of a robot; every method may be called from any thread."""

    def view(self) -> dict[str, Any]:
        """What is known now, as JSON; cheap."""

    def facts(self) -> dict[str, Any]:
        """What does not change, for a page that has just come: ``plan``."""

    def order(self, name: str, value: Any) -> str:
        """Does what is asked and returns a sentence; may wait. Raises InputError."""

    def stop(self, who: str) -> None:
        """The robot is to stand at once; does not wait."""

    @property
    def stopped(self) -> bool:
        """Whether STOP is held; then the stick drives nothing."""

    def letting_go(self) -> None:
        """Wakes the thread that publishes velocities."""


class Desk:
    """The pages that are open, and the one stick.

    Args:
        robot: what is shown and ordered.
        stick: that one of them may hold.
    """

    def __init__(self, robot: Robot, stick: Stick) -> None:
        self.pages: dict[str, Page] = {}
        self._robot = robot
        self._stick = stick
        self._lock = threading.Lock()
        self._picture: tuple[int, bytes] | None = None
        self._pictures = 0
        self._stills: dict[int, bytes] = {}
        self._under_way: set[asyncio.Task] = set()

    # -- from any thread -----------------------------------------------------------------------

    def wish(self, now: float) -> Wish:
        """What the stick asks for at this moment (steady clock, seconds)."""
        with self._lock:
            return self._stick.tick(now)

    @property
    def driver(self) -> str:
        """Who has the stick; '' for nobody."""
        with self._lock:
            return self._stick.name(self._stick.driver)

    # -- in the loop ---------------------------------------------------------------------------

    def join(self, page: Page) -> None:
        """A page has been let in."""
        with self._lock:
            self._stick.join(page.person, page.name, time.monotonic())
        self.pages[page.person] = page
        page.tell({"t": "welcome", "you": page.name, **self._robot.facts()})
        for kind, jpeg in self._stills.items():
            page.still(kind, jpeg)
        self.show()

    def leave(self, page: Page) -> None:
        """A page has gone."""
        self.pages.pop(page.person, None)
        with self._lock:
            self._stick.leave(page.person, time.monotonic())
        self._robot.letting_go()
        self.show()

    def beat(self, now: float) -> None:
        """One more beat for every page."""
        with self._lock:
            number = self._stick.beat(now)
        for page in self.pages.values():
            page.beat(number)

    def say(self, words: dict[str, Any]) -> None:
        """To every page."""
        for page in self.pages.values():
            page.tell(words)

    def show(self) -> None:
        """What is known of the robot, to every page."""
        view = self._robot.view()
        with self._lock:
            driver, asking = self._stick.driver, self._stick.asking
            view["driver"] = self._stick.name(driver)
            view["asking"] = self._stick.name(asking)
        view["pages"] = len(self.pages)
        for page in self.pages.values():
            role = "driver" if page.person == driver else "free" if driver is None else "looking"
            page.show({**view, "role": role, "asked": page.person == asking})

    def take(self, page: Page, message: Message, now: float) -> None:
        """Does what one message says."""
        kind, values = message.kind, message.values
        if kind == "stop":
            # Before everything else, and without any condition.
            self._robot.stop(page.name)
            with self._lock:
                self._stick.put_down(now)
            self._robot.letting_go()
            self.show()
        elif kind == "hold":
            page.refused_hold(self._hold(page, values, now))
        elif kind == "go":
            with self._lock:
                self._stick.let_go(page.person, now)
            self._robot.letting_go()
        elif kind in ("ask", "grant", "give"):
            with self._lock:
                getattr(self._stick, {"give": "give_back"}.get(kind, kind))(page.person, now)
            self._robot.letting_go()
            self.show()
        elif kind == "here":
            with self._lock:
                page.age = self._stick.age(values["beat"], now)
        elif kind == "seen":
            page.link.seen(values["picture"], now)
        elif kind == "look":
            page.looking = values["on"]
        elif kind == "order":
            self._order(page, values)
        else:
            raise MessageError("a page says hello once")

    def _hold(self, page: Page, values: dict[str, Any], now: float) -> str:
        """Why the stick's position drives nothing; '' when it does."""
        if self._robot.stopped:
            return "STOP is held: release it first"
        with self._lock:
            return self._stick.hold(
                page.person, values["number"], values["beat"], values["x"], values["y"], now
            )

    # -- orders --------------------------------------------------------------------------------

    def _order(self, page: Page, values: dict[str, Any]) -> None:
        if page.orders >= MOST_ORDERS:
            page.tell(_answer(values, False, "wait: the orders before are still under way"))
            return
        page.orders += 1
        task = asyncio.create_task(self._carry_out(page, values))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _carry_out(self, page: Page, values: dict[str, Any]) -> None:
        value = values["value"]
        value = plain_text(value) if isinstance(value, str) else value
        work = self._begin(values["name"], value)
        try:
            done = await asyncio.wait({work}, timeout=ORDER_SECONDS)
            if not done[0]:
                page.tell(
                    _answer(values, None, "no answer within a second; it is still waited for")
                )
            good, sentence = await work
            page.tell(_answer(values, good, sentence))
        finally:
            page.orders -= 1

    def _begin(self, name: str, value: Any) -> asyncio.Future[tuple[bool, str]]:
        """Does it in a thread of its own, which holds up nobody's end."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[tuple[bool, str]] = loop.create_future()

        def finish(result: tuple[bool, str]) -> None:
            if not done.done():
                done.set_result(result)

        def run() -> None:
            # What is no answer ends this thread, and with its trace in the log.
            result = False, "it failed: see the log of operator_node"
            try:
                result = self._do(name, value)
            finally:
                with contextlib.suppress(RuntimeError):  # the server has ended meanwhile
                    loop.call_soon_threadsafe(finish, result)

        threading.Thread(target=run, name="order", daemon=True).start()
        return done

    def _do(self, name: str, value: Any) -> tuple[bool, str]:
        try:
            return True, self._robot.order(name, value)
        except InputError as error:
            return False, str(error)

    # -- pictures ------------------------------------------------------------------------------

    def take_picture(self, jpeg: bytes) -> None:
        """The newest one."""
        self._pictures += 1
        self._picture = (self._pictures % 2**32, jpeg)
        self.send_pictures(time.monotonic())

    def take_still(self, kind: int, jpeg: bytes) -> None:
        """The newest of its kind, for those who come later, too."""
        self._stills[kind] = jpeg
        for page in self.pages.values():
            page.still(kind, jpeg)

    def send_pictures(self, now: float) -> None:
        """To every page that looks and has seen its last one; of the size that its link takes."""
        if self._picture is None:
            return
        number, jpeg = self._picture
        sizes: dict[int, bytes] = {}
        for page in self.pages.values():
            if not page.looking or page.has_seen == number or not page.link.free(now):
                continue
            width = page.link.width
            if width not in sizes:
                sizes[width] = smaller(jpeg, width)
            page.has_seen = number
            page.picture(number, sizes[width])


def _answer(values: dict[str, Any], good: bool | None, sentence: str) -> dict[str, Any]:
    return {"t": "answer", "id": values["id"], "ok": good, "text": sentence}
