"""Another node, as one that gives it orders sees it: services, parameters, lifecycle."""

from __future__ import annotations

import threading
import time
from typing import Any

from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.srv import GetParameters, SetParametersAtomically
from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.parameter import Parameter, parameter_value_to_python
from std_srvs.srv import SetBool, Trigger

from mobile_vla_ros.errors import InputError

# Larger ids are states within a transition.
_LAST_PRIMARY_STATE = State.PRIMARY_STATE_FINALIZED
_AUTOSTART_SECONDS = 3.0


class RemoteError(InputError):
    """Another node is not there, or refuses what it was asked."""


class AbsentError(RemoteError):
    """Another node is not running."""


class Remote:
    """Blocking calls to one other node, for use outside the executor's own threads.

    Args:
        node: the node that asks; an executor must be spinning it.
        name: relative name of the other node.
        group: a reentrant callback group of ``node``.
    """

    def __init__(self, node: Node, name: str, group: CallbackGroup) -> None:
        self._node = node
        self.name = name
        self._group = group
        self._clients: dict[tuple[type, str], Any] = {}

    def call(self, kind: type, service: str, request: Any, timeout: float = 5.0) -> Any:
        """Calls ``<name>/<service>`` and waits for its answer.

        Raises:
            AbsentError: no such service.
            RemoteError: no answer in time.
        """
        client = self.await_offer(kind, service, timeout)
        done = threading.Event()
        future = client.call_async(request)
        future.add_done_callback(lambda _: done.set())
        if not done.wait(timeout):
            client.remove_pending_request(future)
            raise RemoteError(f"{self.name} does not answer {service} within {timeout:g} s")
        return future.result()

    def await_offer(self, kind: type, service: str, timeout: float = 5.0) -> Any:
        """Waits until ``<name>/<service>`` is there; returns its client.

        Raises:
            AbsentError: no such service.
        """
        client = self._client(kind, service)
        if not client.wait_for_service(timeout_sec=min(timeout, 5.0)):
            raise AbsentError(f"{self.name} is not running (no service {client.srv_name})")
        return client

    def offers(self, kind: type, service: str) -> bool:
        """Whether ``<name>/<service>`` is there now; does not wait."""
        return self._client(kind, service).service_is_ready()

    def _client(self, kind: type, service: str) -> Any:
        key = (kind, service)
        if key not in self._clients:
            self._clients[key] = self._node.create_client(
                kind, f"{self.name}/{service}", callback_group=self._group
            )
        return self._clients[key]

    def trigger(self, service: str, timeout: float = 5.0) -> str:
        """Calls a Trigger service; returns its message.

        Raises:
            RemoteError: it answered that it did not succeed.
        """
        answer = self.call(Trigger, service, Trigger.Request(), timeout)
        if not answer.success:
            raise RemoteError(f"{self.name}: {answer.message or f'{service} was refused'}")
        return answer.message

    def switch(self, service: str, flag: bool, timeout: float = 5.0) -> None:
        """Calls a SetBool service.

        Raises:
            RemoteError: it answered that it did not succeed.
        """
        answer = self.call(SetBool, service, SetBool.Request(data=flag), timeout)
        if not answer.success:
            raise RemoteError(f"{self.name}: {answer.message or f'{service} was refused'}")

    def set_parameters(self, timeout: float = 5.0, **values: Any) -> None:
        """Sets parameters together.

        Raises:
            RemoteError: the node refuses one of them.
        """
        messages: list[ParameterMessage] = [
            Parameter(name, value=value).to_parameter_msg() for name, value in values.items()
        ]
        request = SetParametersAtomically.Request(parameters=messages)
        answer = self.call(SetParametersAtomically, "set_parameters_atomically", request, timeout)
        if not answer.result.successful:
            raise RemoteError(f"{self.name}: {answer.result.reason}")

    def parameter(self, name: str, timeout: float = 5.0) -> Any:
        """The value of one parameter; None when it has none."""
        request = GetParameters.Request(names=[name])
        values = self.call(GetParameters, "get_parameters", request, timeout).values
        return parameter_value_to_python(values[0]) if values else None

    def lifecycle_state(self, timeout: float = 5.0) -> int:
        """Primary lifecycle state (``lifecycle_msgs/State``)."""
        return self.call(GetState, "get_state", GetState.Request(), timeout).current_state.id

    def settled_state(self, timeout: float = 180.0) -> int:
        """Primary lifecycle state, once the node is in none of its transitions.

        A node that starts itself (parameter ``autostart``) and has not begun to is waited for.

        Raises:
            RemoteError: it stays in a transition.
        """
        begun = time.monotonic()
        itself = bool(self.parameter("autostart"))
        while True:
            state = self.lifecycle_state()
            waited = time.monotonic() - begun
            starting = itself and state == State.PRIMARY_STATE_UNCONFIGURED
            if state <= _LAST_PRIMARY_STATE and not (starting and waited < _AUTOSTART_SECONDS):
                return state
            if waited > timeout:
                raise RemoteError(f"{self.name} is in the middle of a transition: try again")
            time.sleep(0.1)

    def reconfigure(self, timeout: float = 180.0, **values: Any) -> None:
        """Takes a lifecycle node down to unconfigured, sets parameters, brings it up again.

        Raises:
            RemoteError: a transition fails; the node's own log says why.
        """
        down = {
            State.PRIMARY_STATE_ACTIVE: (
                Transition.TRANSITION_DEACTIVATE,
                Transition.TRANSITION_CLEANUP,
            ),
            State.PRIMARY_STATE_INACTIVE: (Transition.TRANSITION_CLEANUP,),
            State.PRIMARY_STATE_UNCONFIGURED: (),
        }
        state = self.settled_state(timeout)
        if state not in down:
            raise RemoteError(f"{self.name} has been shut down: start it again")
        for transition in down[state]:
            self._change(transition, timeout)
        self.set_parameters(**values)
        self._change(Transition.TRANSITION_CONFIGURE, timeout)
        self._change(Transition.TRANSITION_ACTIVATE, timeout)

    def _change(self, transition: int, timeout: float) -> None:
        request = ChangeState.Request(transition=Transition(id=transition))
        if not self.call(ChangeState, "change_state", request, timeout).success:
            names = {
                Transition.TRANSITION_CONFIGURE: "load the checkpoint",
                Transition.TRANSITION_ACTIVATE: "activate",
                Transition.TRANSITION_DEACTIVATE: "deactivate",
                Transition.TRANSITION_CLEANUP: "clean up",
            }
            raise RemoteError(f"{self.name} could not {names[transition]}: see its log")
