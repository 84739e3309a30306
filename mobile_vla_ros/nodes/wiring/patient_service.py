"""A Trigger service whose work may wait for other nodes while the executor goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.service import Service
from rclpy.task import Future
from std_srvs.srv import Trigger

from mobile_vla_ros.errors import InputError


def patient_service(
    node: Node,
    name: str,
    work: Callable[[], str],
    *,
    refused: Callable[[str], None],
    group: CallbackGroup,
) -> Service:
    """Offers ``name``; each call does its work in a thread of its own.

    Args:
        node: the node that owns the service.
        name: relative name of the service.
        work: returns the answer's message; an ``InputError`` is the answer that it failed.
        refused: called with the sentence of such an error.
        group: a reentrant callback group.
    """

    async def serve(_request, response: Trigger.Response) -> Trigger.Response:
        done: Future = Future(executor=node.executor)

        def run() -> None:
            answer = (False, "it failed: see the log")
            try:
                answer = (True, work())
            except InputError as error:
                refused(str(error))
                answer = (False, str(error))
            finally:
                done.set_result(answer)

        threading.Thread(target=run, daemon=True).start()
        response.success, response.message = await done
        return response

    return node.create_service(Trigger, name, serve, callback_group=group)
