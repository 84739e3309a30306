"""Records one episode of a given duration with a running recorder, and tells how it went as JSON.

python -m mobile_vla_ros.nodes.session_node --ros-args -p seconds:=60.0

For scripts and benchmarks: starts, waits, saves (or discards), prints one line of JSON on standard
output, and ends with status 0 when the episode was saved.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import Any

from rclpy.node import Node
from std_msgs.msg import String
from std_srvs.srv import Trigger

from mobile_vla_ros.episodes.recording import IDLE
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.nodes.teleop.recorder_link import ORDERS
from mobile_vla_ros.nodes.wiring.parameters import Declared, declare
from mobile_vla_ros.nodes.wiring.program import Program, Topic
from mobile_vla_ros.nodes.wiring.qos import latched
from mobile_vla_ros.nodes.wiring.running import Life, StopSignal, run_node

PARAMETERS = (
    Declared("seconds", 10.0, "how long to record, s", 0.1, 1e6),
    Declared("recorder", "episode_recorder", "name of the recorder node"),
    Declared("patience", 30.0, "wait this long for the recorder and its camera, s", 0.1, 3600.0),
    Declared("discard", False, "throw the episode away instead of saving it"),
)
PROGRAM = Program(
    node="recording_session",
    module="session_node",
    about=__doc__ or "",
    parameters=PARAMETERS,
    hears=(Topic("episode_recorder/status", "std_msgs/String", "JSON, of the recorder"),),
    asks=tuple(Topic(f"episode_recorder/{order}", "std_srvs/Trigger") for order in ORDERS),
)
RETRY_SECONDS = 0.5
POLL_SECONDS = 0.05


class SessionError(InputError):
    """The recorder did not do what it was asked; the sentence says what."""


class SessionNode(Life, Node):
    """A user of the recorder that needs no keyboard."""

    def __init__(self, **options: Any) -> None:
        super().__init__("recording_session", **options)
        self._settings = declare(self, PARAMETERS)
        self._status: dict[str, Any] = {}
        recorder = self._settings["recorder"]
        self._requests = {
            name: self.create_client(Trigger, f"{recorder}/{name}") for name in ORDERS
        }
        self.create_subscription(String, f"{recorder}/status", self._on_status, latched())

    def _on_status(self, message: String) -> None:
        self._status = json.loads(message.data)

    def work(self, stop: StopSignal) -> int:
        print(json.dumps(self._record(stop), ensure_ascii=False))
        return 0

    def _record(self, stop: StopSignal) -> dict[str, Any]:
        """Records; returns the recorder's last status, with the time that the save took.

        Raises:
            SessionError: there is no recorder, it refused, or the recording failed.
        """
        self._start(stop)
        end = time.monotonic() + self._settings["seconds"]
        while time.monotonic() < end and not stop.wait(POLL_SECONDS):
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
            time.sleep(POLL_SECONDS)
        return {
            **self._status,
            "answer": answer.message,
            "answer_seconds": took,
            "longest_queue": before.get("longest_queue", 0),
        }

    def _start(self, stop: StopSignal) -> None:
        end = time.monotonic() + self._settings["patience"]
        sentence = "no recorder is running"
        while time.monotonic() < end and not stop.wait(POLL_SECONDS):
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
        answered = threading.Event()
        future.add_done_callback(lambda _: answered.set())
        if not answered.wait(self._settings["patience"]):
            raise SessionError(f"the recorder does not answer to {name}")
        return future.result()


def main(args: list[str] | None = None) -> int:
    return run_node(PROGRAM, lambda _stop: SessionNode(), args)


if __name__ == "__main__":
    sys.exit(main())
