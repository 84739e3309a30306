"""What the operator's page shows: the newest word of everybody, as one picture of the robot."""

from __future__ import annotations

import json
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Twist
from rclpy.node import Node
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import BatteryState
from std_msgs.msg import Bool, String

from mobile_vla_ros.axes import PLANAR_AXES
from mobile_vla_ros.nodes.wiring.qos import latched, newest_only, queued
from mobile_vla_ros.nodes.wiring.velocity import VelocitySubscription, velocities_of
from mobile_vla_ros.states import STOPPED
from mobile_vla_ros.web.words import UNKNOWN_WORDS, sentence

MOST_EVENTS = 20
# Nobody has said a velocity for so long: nobody drives the base.
SILENT_SECONDS = 0.6
VELOCITY_LOOK_SECONDS = 1.0  # between two looks at who says velocities, and of which type
# The diagnostics come once a second; a node that misses some is gone.
GONE_SECONDS = 4.0
_RECORDER = (
    "scenario", "instruction", "message", "state", "episode", "frames", "frames_dropped",
    "frames_lost", "episode_length", "disk_left_bytes", "error", "progress", "next",
)  # fmt: skip
_TRIALS = (
    "phase", "trial", "scenario", "elapsed", "interventions", "next", "done", "planned", "broken",
    "message",
)  # fmt: skip


class RobotWatch:
    """Subscribes to what is said, and tells it as JSON.

    Args:
        node: owns the subscriptions.
        names: the node's parameters: names of the others.
        saved: called with the path of an episode that the recorder has saved.

    Attributes:
        last_episode: what is to be said of the last one; '' for nothing.
    """

    def __init__(self, node: Node, names: dict[str, Any], saved: Callable[[str], None]) -> None:
        self._saved = saved
        self._saved_path = ""
        self.last_episode = ""
        self._lock = threading.Lock()
        self._said: dict[str, Any] = {}
        self._heard: dict[str, float] = {}
        self._speed = (0.0, 0.0)
        self._events: deque[dict[str, Any]] = deque(maxlen=MOST_EVENTS)
        policy, guard = names["policy"], names["guard_name"]
        self._policy_status = f"{node.resolve_topic_name(policy).lstrip('/')}: driving"
        listen = node.create_subscription
        listen(String, f"{policy}/state", self._on_state, latched())
        listen(String, f"{guard}/state", self._on_guard, latched())
        listen(Bool, f"{guard}/taken_over", self._on_takeover, latched())
        listen(String, f"{names['recorder']}/status", self._on_recorder, latched())
        listen(String, f"{names['trials']}/status", self._on_trials, latched())
        listen(DiagnosticArray, "/diagnostics", self._on_diagnostics, queued())
        best_effort = newest_only(ReliabilityPolicy.BEST_EFFORT)
        listen(BatteryState, "battery_state", self._on_battery, best_effort)
        # Velocities come twenty times a second; the page wants to know them now and then.
        self._velocity = VelocitySubscription(
            node, "cmd_vel", None, qos=best_effort, poll_period=VELOCITY_LOOK_SECONDS
        )

    def view(self) -> dict[str, Any]:
        """Everything that is known now."""
        now = time.monotonic()
        taken = self._velocity.take()
        if taken is not None:
            self._keep_velocity(*taken)
        with self._lock:
            said, heard = dict(self._said), dict(self._heard)
            events, speed = list(self._events), self._speed
        state = said.get("state")
        told = now - heard.get("diagnostics", -math.inf) < GONE_SECONDS
        if state is not None and not told and now - heard["state"] > GONE_SECONDS:
            # Its last word stays on the topic for ever; the node may not.
            state = None
        words, advice = sentence(state)
        moving = now - heard.get("velocity", -math.inf) < SILENT_SECONDS
        drive = said.get("diagnostics", {}) if told else {}
        remark = drive.get("words_remark", "")
        if remark and not (state or "").startswith(STOPPED):
            advice = UNKNOWN_WORDS
        recorder = self._fresh("recorder", said, heard, now)
        if recorder is not None and self.last_episode:
            recorder = {**recorder, "last": {"words": self.last_episode}}
        return {
            "state": state or "",
            "words": words,
            "advice": advice,
            "speed": [round(v, 3) for v in speed] if moving else [0.0, 0.0],
            "guard": said.get("guard", ""),
            "taken_over": said.get("taken_over", False),
            "instruction": drive.get("instruction", ""),
            "remark": remark,
            "enabled": drive.get("enabled", ""),
            "frame_age": drive.get("frame_age", ""),
            "battery": said.get("battery"),
            "recorder": recorder,
            "trials": self._fresh("trials", said, heard, now),
            "events": events,
        }

    @property
    def placing(self) -> bool:
        """Whether a trial manager waits for the robot to be placed."""
        trials = self._said.get("trials") or {}
        return trials.get("phase") == "waiting"

    def note(self, sentence: str) -> None:
        """One more of the last events."""
        with self._lock:
            self._note(sentence)

    def _note(self, sentence: str) -> None:
        self._events.append({"at": round(time.time(), 1), "text": sentence})

    @staticmethod
    def _fresh(name: str, said: dict, heard: dict, now: float) -> dict[str, Any] | None:
        return said.get(name) if now - heard.get(name, -math.inf) < GONE_SECONDS else None

    def _keep(self, name: str, value: Any) -> bool:
        """Keeps a word; True when it is a new one."""
        with self._lock:
            new = self._said.get(name) != value
            self._said[name] = value
            self._heard[name] = time.monotonic()
            return new

    def _on_state(self, message: String) -> None:
        if self._keep("state", message.data):
            self.note(sentence(message.data)[0])

    def _on_guard(self, message: String) -> None:
        if self._keep("guard", message.data):
            self.note(f"guard: {message.data}")

    def _on_takeover(self, message: Bool) -> None:
        self._keep("taken_over", message.data)

    def _keep_velocity(self, twist: Twist, age: float) -> None:
        x, _, turn = velocities_of(twist, PLANAR_AXES)
        with self._lock:
            self._speed = (x, turn) if math.isfinite(x) and math.isfinite(turn) else (0.0, 0.0)
            self._heard["velocity"] = time.monotonic() - age

    def _on_battery(self, message: BatteryState) -> None:
        left = message.percentage
        known = math.isfinite(left) and 0 <= left <= 1
        self._keep("battery", round(100 * left) if known else None)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == self._policy_status:
                values = {pair.key: pair.value for pair in status.values}
                remark = values.get("words_remark", "")
                if self._keep("remark", remark) and remark:
                    self.note(remark)
                self._keep("diagnostics", values)

    def _on_recorder(self, message: String) -> None:
        self._tell("recorder", message.data, _RECORDER)

    def _on_trials(self, message: String) -> None:
        self._tell("trials", message.data, _TRIALS)

    def _tell(self, name: str, text: str, keys: tuple[str, ...]) -> None:
        try:
            told = json.loads(text)
        except ValueError:
            return
        if not isinstance(told, dict):
            return
        path = told.get("path")
        saved = name == "recorder" and str(told.get("message", "")).startswith("saved ")
        if saved and isinstance(path, str) and path != self._saved_path:
            self._saved_path = path
            self._saved(path)
        before = (self._said.get(name) or {}).get("message")
        kept = {key: told[key] for key in keys if key in told}
        if name == "trials" and isinstance(kept.get("next"), dict):
            # Blind: which checkpoint comes next is not for the person who judges.
            kept["next"] = {k: v for k, v in kept["next"].items() if k != "checkpoint"}
        self._keep(name, kept)
        if kept.get("message") and kept["message"] != before:
            self.note(f"{name}: {kept['message']}")
