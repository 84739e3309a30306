"""What a trial manager hears of other programs: their states, reports and verdicts."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from std_msgs.msg import Bool, String

from mobile_vla_ros.episodes.recording import RECORDING
from mobile_vla_ros.nodes.trial.keeper import IncidentKeeper
from mobile_vla_ros.nodes.wiring.qos import latched, queued
from mobile_vla_ros.trials.course import TrialCourse
from mobile_vla_ros.trials.heartbeat import Heartbeat


class TrialReports:
    """Hands what other programs say to the course of the trial and to the incident ring.

    Args:
        manager: the trial manager, which owns the subscriptions.
        course: of the trial that runs, if any.
        keeper: of the incident ring; None when incidents are switched off.
        heartbeat: hears a person's own switch.
        now: the time of stamps, s.
        steady: what trials are timed with, s.
        names: of the other nodes: the trial manager's parameters by name.
        judge: topic of a judge that knows; "" for none.
    """

    def __init__(
        self,
        manager: Node,
        *,
        course: TrialCourse,
        keeper: IncidentKeeper | None,
        heartbeat: Heartbeat,
        now: Callable[[], float],
        steady: Callable[[], float],
        names: Mapping[str, Any],
        judge: str,
        group: CallbackGroup,
    ) -> None:
        self._course = course
        self._keeper = keeper
        self._heartbeat = heartbeat
        self._now = now
        self._steady = steady
        policy, guard = names["policy"], names["guard"]
        self._policy_status = f"{manager.resolve_topic_name(policy).lstrip('/')}: driving"

        def subscribe(kind: type, topic: str, callback: Callable, qos) -> None:
            manager.create_subscription(kind, topic, callback, qos, callback_group=group)

        subscribe(String, f"{policy}/state", self._on_state, latched())
        subscribe(Bool, f"{guard}/taken_over", self._on_takeover, latched())
        if keeper is not None:
            subscribe(String, f"{policy}/event", self._on_event, queued())
            subscribe(String, f"{guard}/state", self._on_guard, latched())
        if names["record"]:
            subscribe(String, f"{names['recorder']}/status", self._on_recorder, latched())
        subscribe(DiagnosticArray, "/diagnostics", self._on_diagnostics, queued())
        subscribe(String, "~/reason", self._on_reason, queued())
        subscribe(Bool, "operator_deadman", self._on_operator, queued())
        if judge:
            subscribe(String, judge, self._on_judge, latched())

    def _on_state(self, message: String) -> None:
        self._course.hear_state(message.data, self._steady())
        if self._keeper is not None:
            self._keeper.hear_state(message.data, self._now())

    def _on_event(self, message: String) -> None:
        if self._keeper is not None:
            self._keeper.hear_event(message.data, self._now())

    def _on_guard(self, message: String) -> None:
        if self._keeper is not None:
            self._keeper.hear_guard(message.data, self._now())

    def _on_takeover(self, message: Bool) -> None:
        self._course.hear_takeover(message.data, self._steady())
        if self._keeper is not None:
            self._keeper.hear_takeover(message.data, self._now())

    def _on_recorder(self, message: String) -> None:
        told = _mapping(message.data)
        if told is not None:
            last = str(told.get("error") or told.get("message", ""))
            recording = told.get("state") == RECORDING
            self._course.hear_recorder(recording, last, time.monotonic())

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == self._policy_status:
                values = {item.key: item.value for item in status.values}
                axes = [part for part in values.get("action_axes", "").split(", ") if part]
                clamps = _number(values.get("clamps", ""))
                self._course.hear_policy(clamps, axes, time.monotonic())
                if self._keeper is not None:
                    self._keeper.hear_policy(values.get("instruction", ""))

    def _on_reason(self, message: String) -> None:
        self._course.hear_reason(message.data)

    def _on_operator(self, message: Bool) -> None:
        self._heartbeat.hear_operator(message.data)

    def _on_judge(self, message: String) -> None:
        words = _mapping(message.data)
        if words is not None:
            self._course.hear_judge(words, self._steady())


def _mapping(text: str) -> dict[str, Any] | None:
    """What a JSON text says; None for anything but an object."""
    try:
        told = json.loads(text)
    except ValueError:
        return None
    return told if isinstance(told, dict) else None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
