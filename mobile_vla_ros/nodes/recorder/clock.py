"""The recorder's time: the node's clock, going on evenly through an episode when that is set."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rclpy.node import Node

from mobile_vla_ros.episodes.set_clock import SetClock
from mobile_vla_ros.nodes.wiring.arrival import arrival, is_stamped


class RecorderClock:
    """Tells when things happened, on a time that nobody sets while it matters.

    Args:
        node: whose clock it reads; only in the node's callbacks.
        was_set: called with the seconds when the clock has been set.
    """

    def __init__(self, node: Node, was_set: Callable[[float], None]) -> None:
        self._clock: Any = node.get_clock()  # a ROSClock, which rclpy's types do not say
        self._was_set = was_set
        self._even = SetClock()

    @property
    def offset(self) -> float:
        """What even time is ahead of the node's clock as it is now, s."""
        return self._even.offset

    def now(self) -> float:
        """Even time, s: the node's clock as it was before somebody set it."""
        return self._read() + self._even.offset

    def even(self, stamp: float) -> float:
        """A stamp of the node's clock as it is now, in even time, s."""
        return stamp + self._even.offset

    def arrival(self, info: Any) -> float:
        """When a message arrived, in even time, s (``info`` as rclpy gives it beside it)."""
        return self.even(arrival(info, self._read()))

    def sent(self, info: Any) -> float | None:
        """When a message was sent by its sender's clock, in even time, s; None: not known."""
        if not is_stamped(info, self._read()):
            return None
        return self.even(info["source_timestamp"] * 1e-9)

    def settle(self) -> float:
        """Lets even time be the node's clock again; returns what that adds to earlier times, s."""
        self._read()
        offset, self._even.offset = self._even.offset, 0.0
        return -offset

    def _read(self) -> float:
        clock = self._clock.now().nanoseconds * 1e-9
        steady = time.clock_gettime(time.CLOCK_BOOTTIME)
        step = self._even.look(clock, steady, simulated=self._clock.ros_time_is_active)
        if step:
            self._was_set(step)
        return clock
