"""What a person asks of the driving node: instruction, enable, stop, reset, mark, parameters.

All of it comes in the executor's thread; the driver's lock makes each take effect at once.
"""

from __future__ import annotations

from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger

from mobile_vla_ros.errors import InputError
from mobile_vla_ros.nodes.inference.driver import Driver
from mobile_vla_ros.nodes.inference.parameters import LIMITS, PARAMETERS
from mobile_vla_ros.nodes.inference.settings import limits_of
from mobile_vla_ros.nodes.inference.telemetry import Telemetry
from mobile_vla_ros.nodes.inference.vocabulary import Vocabulary
from mobile_vla_ros.nodes.wiring.parameters import present_values, refusal
from mobile_vla_ros.nodes.wiring.qos import queued
from mobile_vla_ros.states import (
    ENABLED_EVENT,
    INSTRUCTION_EVENT,
    MARK_EVENT,
    RESET_EVENT,
    STOP_EVENT,
)

MAX_INSTRUCTION = 2000
_DECLARED = {parameter.name: parameter for parameter in PARAMETERS}


class Requests:
    """The node's services, its topic of instructions, and its live parameters.

    Args:
        node: with its parameters declared.
        driver: does what is asked.
        telemetry: tells what was asked.
        vocabulary: knows which words the policy knows.
    """

    def __init__(
        self, node: Node, driver: Driver, telemetry: Telemetry, vocabulary: Vocabulary
    ) -> None:
        self._node = node
        self._driver = driver
        self._telemetry = telemetry
        self._vocabulary = vocabulary
        node.create_subscription(String, "~/instruction", self._on_instruction, queued())
        node.create_service(SetBool, "~/enable", self._on_enable)
        node.create_service(Trigger, "~/stop", self._on_stop)
        node.create_service(Trigger, "~/reset", self._on_reset)
        node.create_service(Trigger, "~/mark", self._on_mark)
        node.add_on_set_parameters_callback(self._on_parameters)

    def _on_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        sentence = refusal(_DECLARED, changes, self._driver.busy)
        if sentence is None:
            sentence = self._apply({change.name: change.value for change in changes})
        return SetParametersResult(successful=not sentence, reason=sentence or "")

    def _apply(self, changes: dict) -> str | None:
        """Lets live parameters take effect; returns why not, when they cannot."""
        instruction = changes.get("instruction")
        if instruction is not None and len(instruction) > MAX_INSTRUCTION:
            return f"an instruction of {len(instruction)} letters is too long"
        if instruction is not None and (objection := self._vocabulary.objection(instruction)):
            return objection
        limits = None
        if changes.keys() & set(LIMITS):
            try:
                limits = limits_of({**present_values(self._node, PARAMETERS), **changes})
            except InputError as error:
                return str(error)
        before = self._driver.orders.instruction
        self._driver.order(instruction, changes.get("enabled"), limits)
        if instruction is not None and instruction != before:
            self._node.get_logger().info(
                f"instruction: {instruction}" if instruction.strip() else "no instruction any more"
            )
            self._vocabulary.hear(instruction)
        for name, event in (("instruction", INSTRUCTION_EVENT), ("enabled", ENABLED_EVENT)):
            if name in changes:
                self._telemetry.tell(f"{event}{changes[name]}")
        return None

    def _set(self, name: str, value: bool | str) -> SetParametersResult:
        return self._node.set_parameters([Parameter(name, value=value)])[0]

    def _on_instruction(self, message: String) -> None:
        result = self._set("instruction", message.data)
        if not result.successful:
            self._node.get_logger().warning(result.reason)

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response):
        result = self._set("enabled", request.data)
        response.success, response.message = result.successful, result.reason
        return response

    def _on_stop(self, _request, response: Trigger.Response):
        self._driver.stop()
        self._telemetry.tell(STOP_EVENT)
        response.success = True
        response.message = "stopped until ~/enable true"
        return response

    def _on_reset(self, _request, response: Trigger.Response):
        self._driver.reset()
        self._telemetry.tell(RESET_EVENT)
        response.success = True
        return response

    def _on_mark(self, _request, response: Trigger.Response):
        self._telemetry.tell(MARK_EVENT)
        response.success = self._telemetry.somebody_keeps_a_ring
        response.message = (
            "marked"
            if response.success
            else "nobody keeps a ring: start trial_node or recorder_node"
        )
        return response
