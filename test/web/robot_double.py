"""A robot that does what the page's server asks, and remembers it."""

from __future__ import annotations

import threading
import time
from typing import Any

from mobile_vla_ros.errors import InputError
from mobile_vla_ros.web.desk import Desk
from mobile_vla_ros.web.server import PageServer, PageSettings
from mobile_vla_ros.web.stick import Stick, Wish


class RobotDouble:
    """Plain values in place of a robot."""

    def __init__(self) -> None:
        self.seen: dict[str, Any] = {
            "state": "driving",
            "words": "It drives",
            "advice": "",
            "speed": [0.2, 0.1],
            "instruction": "go to the gray basket",
            "remark": "",
            "frame_age": "0.04",
            "battery": 81,
            "recorder": None,
            "trials": None,
            "reasons": [],
            "events": [{"at": 1.0e9, "text": "It drives"}],
        }
        self.orders: list[tuple[str, Any]] = []
        self.stops: list[str] = []
        self.slow = 0.0
        self.stopped = False

    def view(self) -> dict[str, Any]:
        return {**self.seen, "stop_held": self.stopped}

    def facts(self) -> dict[str, Any]:
        return {"plan": [{"scenario": "1box_left", "instruction": "왼쪽 상자로 가세요"}]}

    def order(self, name: str, value: Any) -> str:
        time.sleep(self.slow)
        self.orders.append((name, value))
        if name == "enable" and self.stopped:
            raise InputError("the stop is held: release it first")
        if name == "release" and value is True:
            self.stopped = False
        return f"done: {name}"

    def stop(self, who: str) -> None:
        self.stopped = True
        self.stops.append(who)

    def letting_go(self) -> None:
        pass


class Serving:
    """A page's server beside a `RobotDouble`, and what its stick has wished; a context."""

    def __init__(self, token: str = "", **settings: Any) -> None:
        self.robot = RobotDouble()
        self.desk = Desk(self.robot, Stick(0.3, 1.0))
        self.server = PageServer(PageSettings(port=0, token=token, **settings), self.desk)
        self.wishes: list[tuple[float, Wish]] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._drive, daemon=True)

    def __enter__(self) -> Serving:
        self.server.start()
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._ending.set()
        self._thread.join(2.0)
        self.server.close()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.port}"

    @property
    def moving(self) -> bool:
        return bool(self.wishes) and bool(self.wishes[-1][1].held)

    def _drive(self) -> None:
        while not self._ending.wait(0.02):
            now = time.monotonic()
            self.wishes.append((now, self.desk.wish(now)))
