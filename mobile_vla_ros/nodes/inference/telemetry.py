"""What the node says of itself: `~/state`, `~/event` and `/diagnostics`, in every lifecycle state.

The upkeep thread looks at the graph and publishes diagnostics; states come from the control
thread and events from the executor's. Publishers are safe to use from any of them; no lock is
held here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from std_msgs.msg import String

from mobile_vla_ros.control.caution import WarningLevels, early_warnings
from mobile_vla_ros.nodes.inference.driver import DEFAULT_PERIOD
from mobile_vla_ros.nodes.wiring.diagnostics import status_message
from mobile_vla_ros.nodes.wiring.qos import latched, queued
from mobile_vla_ros.states import STOPPED

GRAPH_PERIOD = 0.2
DIAGNOSTICS_PERIOD = 1.0


class Telemetry:
    """Publishes state, events and diagnostics.

    Args:
        node: the node that speaks.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._states = node.create_publisher(String, "~/state", latched())
        self._events = node.create_publisher(String, "~/event", queued())
        self._diagnostics = node.create_publisher(DiagnosticArray, "/diagnostics", queued())
        self.levels = WarningLevels()
        """From where on a reading is a warning."""
        self._looks: Sequence[Callable[[], None]] = ()
        self._readings: Sequence[Callable[[], dict[str, object]]] = ()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._keep_up, name="upkeep", daemon=True)

    def start(
        self,
        looks: Sequence[Callable[[], None]],
        readings: Sequence[Callable[[], dict[str, object]]],
    ) -> None:
        """Begins the upkeep.

        Args:
            looks: called five times a second; each looks at the graph for somebody.
            readings: called once a second; what they return stands in diagnostics, in this order.
        """
        self._looks, self._readings = looks, readings
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def close(self) -> None:
        self._ending.set()
        self._thread.join(0.5)

    def say_state(self, state: str, detail: str) -> None:
        """A new state, and what is known about it."""
        self._states.publish(String(data=state))
        log = self._node.get_logger()
        if state.startswith(STOPPED):
            log.warning(f"{state} ({detail})" if detail else state)
        else:
            log.info(state)

    def tell(self, event: str) -> None:
        """A request or an incident, for whoever keeps a ring."""
        self._events.publish(String(data=event))

    @property
    def somebody_keeps_a_ring(self) -> bool:
        return self._events.get_subscription_count() > 0

    def _keep_up(self) -> None:
        due = time.monotonic() + DIAGNOSTICS_PERIOD
        while not self._ending.wait(GRAPH_PERIOD):
            for look in self._looks:
                look()
            if time.monotonic() >= due:
                due = max(due + DIAGNOSTICS_PERIOD, time.monotonic())
                self._publish_diagnostics()

    def _publish_diagnostics(self) -> None:
        values: dict[str, object] = {}
        for readings in self._readings:
            values |= readings()
        worst = {
            name.removesuffix("_worst"): value
            for name, value in values.items()
            if name.endswith("_worst") and isinstance(value, float)
        }
        period = values.get("frame_period", DEFAULT_PERIOD)
        warnings = early_warnings(worst, float(str(period)), self.levels)
        values["warnings"] = "; ".join(warnings)
        level, summary = _judge(values, warnings)
        name = f"{self._node.get_fully_qualified_name().lstrip('/')}: driving"
        stamp = self._node.get_clock().now().to_msg()
        self._diagnostics.publish(status_message(stamp, name, level, summary, values))


def _judge(values: dict[str, object], warnings: Sequence[str]) -> tuple[bytes, str]:
    """The level of a status, and its one line."""
    state = str(values["state"])
    remarks = list(warnings)
    if values.get("camera_warning"):
        remarks.append(str(values["camera_warning"]))
    if values.get("words_remark"):
        remarks.append(str(values["words_remark"]))
    if values["other_publishers"]:
        remarks.append("another publisher on cmd_vel")
    elif not values.get("action_axes_confirmed", True):
        remarks.append("action_axes are a guess")
    level = DiagnosticStatus.WARN if remarks else DiagnosticStatus.OK
    if state.startswith(STOPPED):
        level = DiagnosticStatus.ERROR
    return level, "; ".join((state, *remarks))
