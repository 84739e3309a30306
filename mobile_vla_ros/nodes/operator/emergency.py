"""The page's STOP: an e-stop that is held until it is deliberately released."""

from __future__ import annotations

import threading

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from std_msgs.msg import Bool

from mobile_vla_ros.nodes.wiring.qos import latched

# Said again and again for a guard that starts later, but slower than the guard's timeout: it takes
# what comes faster for a stream, whose end is an alarm.
REPEAT_SECONDS = 0.5


class EmergencyStop:
    """Publishes ``estop``: True while it is held, False once at the release, else nothing.

    Args:
        node: owns the publisher.
    """

    def __init__(self, node: Node) -> None:
        self._publisher = node.create_publisher(Bool, "estop", latched())
        self._lock = threading.Lock()
        self._held = False
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        node.create_timer(REPEAT_SECONDS, self._repeat, clock=steady)

    @property
    def held(self) -> bool:
        """Whether it is held."""
        return self._held

    def press(self) -> None:
        """From now on the robot stands."""
        with self._lock:
            self._held = True
            self._publisher.publish(Bool(data=True))

    def release(self) -> None:
        """Lets go; the guard stays taken over until it is told to hand back."""
        with self._lock:
            self._held = False
            self._publisher.publish(Bool(data=False))

    def _repeat(self) -> None:
        with self._lock:
            if self._held:
                self._publisher.publish(Bool(data=True))
