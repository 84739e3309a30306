"""When a message arrived, on a node's own clock."""

from __future__ import annotations

from typing import Any

# No message waits longer than this between its arrival and its callback, s.
LONGEST_WAIT = 10.0


def arrival(info: Any, now: float) -> float:
    """When a message arrived, s.

    Args:
        info: as rclpy gives it beside the message.
        now: the node's clock, s.
    """
    arrived = info["received_timestamp"] * 1e-9
    # The middleware stamps with the system's clock; a simulated clock is another one, and not
    # every middleware stamps at all.
    return arrived if is_stamped(info, now) else now


def is_stamped(info: Any, now: float) -> bool:
    """Whether the middleware stamps messages, with the clock that the node goes by."""
    return 0.0 <= now - info["received_timestamp"] * 1e-9 < LONGEST_WAIT
