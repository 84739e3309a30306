"""Records one episode of a given duration with a running recorder, and tells how it went as JSON.

python -m mobile_vla_ros.nodes.session_node --ros-args -p seconds:=60.0

For scripts and benchmarks: starts, waits, saves (or discards), prints one line of JSON on standard
output, and ends with status 0 when the episode was saved.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from std_msgs.msg import String
from std_srvs.srv import Trigger

from mobile_vla_ros.episodes.recording import IDLE
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.nodes.wiring.parameters import Declared, declare, misspelt
from mobile_vla_ros.nodes.wiring.qos import latched
from mobile_vla_ros.nodes.wiring.running import StopSignal, init_without_signals

PARAMETERS = (
    Declared("seconds", 10.0, "how long to record, s", 0.1, 1e6),
    Declared("recorder", "episode_recorder", "name of the recorder node"),
    Declared("patience", 30.0, "wait this long for the recorder and its camera, s", 0.1, 3600.0),
    Declared("discard", False, "throw the episode away instead of saving it"),
)
RETRY_SECONDS = 0.5


class SessionError(InputError):
    """The recorder did not do what it was asked; the sentence says what."""


class SessionNode(Node):
    """A user of the recorder that needs no keyboard."""

    def __init__(self, **options: Any) -> None:
        super().__init__("recording_session", **options)
        self._settings = declare(self, PARAMETERS)
        for name in misspelt(self):
            self.get_logger().warning(f"there is no parameter '{name}'")
        recorder = self._settings["recorder"]
        self._requests = {
            name: self.create_client(Trigger, f"{recorder}/{name}")
            for name in ("start", "save", "discard")
        }
        self.create_subscription(String, f"{recorder}/status", self._hear, latched())
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self)
        self._status: dict[str, Any] = {}

    def _hear(self, message: String) -> None:
        self._status = json.loads(message.data)

    def run(self, stop: StopSignal) -> dict[str, Any]:
        """Records; returns the recorder's last status, with the time that the save took.

        Raises:
            SessionError: there is no recorder, it refused, or the recording failed.
        """
        self._start(stop)
        end = time.monotonic() + self._settings["seconds"]
        while time.monotonic() < end and not stop.is_set():
            self._executor.spin_once(timeout_sec=0.1)
            if self._status.get("error"):
                raise SessionError(self._status["error"])
        before = dict(self._status)
        begin = time.monotonic()
        ending = "discard" if self._settings["discard"] else "save"
        answer = self._call(ending)
        took = time.monotonic() - begin
        if not answer.success:
            raise SessionError(answer.message)
        after = time.monotonic() + 3.0
        while self._status.get("state") != IDLE and time.monotonic() < after:
            self._executor.spin_once(timeout_sec=0.1)
        return {
            **self._status,
            "answer": answer.message,
            "answer_seconds": took,
            "longest_queue": before.get("longest_queue", 0),
        }

    def _start(self, stop: StopSignal) -> None:
        end = time.monotonic() + self._settings["patience"]
        sentence = "no recorder is running"
        while time.monotonic() < end and not stop.is_set():
            self._executor.spin_once(timeout_sec=0.1)
            if not self._requests["start"].service_is_ready():
                continue
            answer = self._call("start")
            if answer.success:
                self._status = {}  # an error in the last one would be an old one
                return
            sentence = answer.message
            time.sleep(RETRY_SECONDS)
        raise SessionError(sentence)

    def _call(self, name: str) -> Trigger.Response:
        future = self._requests[name].call_async(Trigger.Request())
        self._executor.spin_until_future_complete(future, self._settings["patience"])
        if not future.done():
            raise SessionError(f"the recorder does not answer to {name}")
        return future.result()


def main(args: list[str] | None = None) -> int:
    init_without_signals(args)
    stop = StopSignal()
    try:
        node = SessionNode()
        print(json.dumps(node.run(stop), ensure_ascii=False))
        return 0
    except InputError as error:
        print(f"recording_session: {error}", file=sys.stderr)
        return 1
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    sys.exit(main())
