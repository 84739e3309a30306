"""The stick's velocities on their way to the robot, and the deadman beside them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from std_msgs.msg import Bool

from mobile_vla_ros.axes import PLANAR_AXES
from mobile_vla_ros.nodes.wiring.safety_input import deadman_publisher
from mobile_vla_ros.nodes.wiring.velocity import VelocityPublisher, twist_of
from mobile_vla_ros.web.stick import Wish

RATE = 20.0
LAST_ZEROS = 3
ACKNOWLEDGE_SECONDS = 0.3


class StickDrive:
    """Publishes what the stick wants, twenty times a second, and at once when it is let go.

    The velocity publisher exists only while somebody has the stick: the guard stops for two
    people at two sticks, and an idle page must not count as one.

    Args:
        node: owns the publishers.
        settings: the node's parameters.
        wish: what the stick asks for at a time (steady clock, s).
        taken: whether somebody has the stick.
        began: called when the stick begins to be held.
    """

    def __init__(
        self,
        node: Node,
        settings: dict[str, Any],
        wish: Callable[[float], Wish],
        taken: Callable[[], bool],
        began: Callable[[], None],
    ) -> None:
        self._node = node
        self._settings = settings
        self._wish = wish
        self._taken = taken
        self._began = began
        self._held = False
        self._needed = False
        self._speaking = False
        self._lock = threading.Lock()
        self._velocities: VelocityPublisher | None = None
        names = ["operator_deadman", *(["deadman"] if settings["deadman"] else [])]
        self._deadmen = [deadman_publisher(node, name) for name in names]
        self._match = node.create_guard_condition(self._come_and_go)
        self._wake = threading.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._keep_driving, name="stick", daemon=True)

    def start(self) -> None:
        """Begins; ``wish`` may be asked from now on."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether its thread still works."""
        return self._thread.is_alive()

    def wake(self) -> None:
        """Something has changed: do not wait for the next turn."""
        self._wake.set()

    def wait_until_quiet(self, seconds: float) -> bool:
        """Waits until nothing is published any more; False when the stick is still held."""
        end = time.monotonic() + seconds
        while self._speaking and time.monotonic() < end:
            time.sleep(1 / RATE)
        return not self._speaking

    def close(self) -> None:
        """Zeros that the base has confirmed, and a deadman let go."""
        self._ending.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(0.5)
        with self._lock:
            if self._velocities is not None:
                for _ in range(LAST_ZEROS):
                    self._publish(Wish(False))
                self._velocities.wait_for_all_acked(ACKNOWLEDGE_SECONDS)

    def _keep_driving(self) -> None:
        while not self._ending.is_set():
            self._wake.wait(1 / RATE)
            self._wake.clear()
            wish = self._wish(time.monotonic())
            # The last zeros are said before the publisher goes.
            self._needed = wish.held is not None or self._taken()
            if self._needed != (self._velocities is not None):
                self._match.trigger()
            self._speaking = wish.held is not None
            held = bool(wish.held)
            if held and not self._held:
                self._began()
            self._held = held
            with self._lock:
                if wish.held is not None:
                    self._publish(wish)

    def _publish(self, wish: Wish) -> None:
        for deadman in self._deadmen:
            deadman.publish(Bool(data=bool(wish.held)))
        if self._velocities is not None:
            self._velocities.publish(twist_of(PLANAR_AXES, (wish.linear, 0.0, wish.angular)))

    def _come_and_go(self) -> None:
        """Makes or takes away the publisher; in the executor, as rclpy wants it."""
        with self._lock:
            if self._needed and self._velocities is None and not self._ending.is_set():
                self._velocities = VelocityPublisher(
                    self._node,
                    "teleop_cmd_vel" if self._settings["guard"] else "cmd_vel",
                    stamped=self._settings["stamped"],
                    frame=self._settings["base_frame"],
                )
            elif not self._needed and self._velocities is not None:
                gone, self._velocities = self._velocities, None
                gone.destroy()
