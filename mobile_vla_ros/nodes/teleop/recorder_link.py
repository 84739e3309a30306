"""The recorder, as the person at the keyboard has it: orders that never make the keys wait.

Everything here runs in the executor's thread and returns at once; answers come as a message for
the status line.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParametersAtomically
from rclpy.node import Node
from std_msgs.msg import String
from std_srvs.srv import Trigger

from mobile_vla_ros.nodes.wiring.program import PARAMETERS_SET, Topic
from mobile_vla_ros.nodes.wiring.qos import latched

DISCARD_SECONDS = 2.0
# A recorder that has not spoken for so long is not there.
SILENT = 2.0
ABSENT = "no recorder is running"
ORDERS = ("start", "save", "discard")
ASKS = (
    *(Topic(f"episode_recorder/{order}", "std_srvs/Trigger") for order in ORDERS),
    Topic("episode_recorder/set_parameters_atomically", PARAMETERS_SET, "what is recorded"),
)


class RecorderLink:
    """Orders to a recorder, and what it says of itself.

    Args:
        node: the node that asks.
        name: of the recorder's node.
        answered: called when ``message`` has changed by an answer.
    """

    def __init__(self, node: Node, name: str, answered: Callable[[], None]) -> None:
        self._answered = answered
        self.message = ""
        """What came of the last order, for the status line."""
        self._status: dict[str, Any] = {}
        self._heard_at = 0.0
        self._discard_at = 0.0
        self._requests = {
            order: node.create_client(Trigger, f"{name}/{order}") for order in ORDERS
        }
        self._parameters = node.create_client(
            SetParametersAtomically, f"{name}/set_parameters_atomically"
        )
        node.create_subscription(String, f"{name}/status", self._on_status, latched())

    def status(self, now: float) -> dict[str, Any]:
        """What the recorder last said; empty when it is silent (`now`: steady clock, s)."""
        return self._status if now - self._heard_at < SILENT else {}

    @property
    def instruction(self) -> str:
        """The instruction that it last named."""
        return self._status.get("instruction", "")

    def request(self, name: str) -> None:
        """Orders ``start``, ``save`` or ``discard``."""
        client = self._requests[name]
        if not client.service_is_ready():
            self.message = ABSENT
            return
        self.message = f"{name} ..."
        client.call_async(Trigger.Request()).add_done_callback(
            lambda future: self._note(future.result().message)
        )

    def discard(self, when: float) -> None:
        """Throws the episode away when asked a second time soon after the first."""
        if when - self._discard_at <= DISCARD_SECONDS:
            self._discard_at = 0.0
            self.request("discard")
        else:
            self._discard_at = when
            self.message = "press Backspace once more to throw the episode away"

    def step_scenario(self, step: int) -> None:
        """Goes on to a neighbour of the scenario in the recorder's plan."""
        names = [entry["name"] for entry in self._status.get("progress", [])]
        if not names:
            self.message = "the recorder has no plan: press o to name a scenario"
            return
        now = self._status.get("scenario", "")
        place = names.index(now) + step if now in names else 0
        self.set(scenario=names[place % len(names)], instruction="")

    def set(self, **values: str) -> None:
        """Sets parameters of the recorder together."""
        if not self._parameters.service_is_ready():
            self.message = ABSENT
            return
        parameters = [
            Parameter(
                name=name,
                value=ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=value),
            )
            for name, value in values.items()
        ]
        said = ", ".join(f"{name} {value!r}" for name, value in values.items() if value)
        request = SetParametersAtomically.Request(parameters=parameters)
        self._parameters.call_async(request).add_done_callback(
            lambda future: self._note(future.result().result.reason or said or "as planned")
        )

    def _note(self, message: str) -> None:
        self.message = message
        self._answered()

    def _on_status(self, message: String) -> None:
        self._status = json.loads(message.data)
        self._heard_at = time.monotonic()
