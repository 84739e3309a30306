"""When a frame was captured: by its header's stamp, or by its arrival where that says nothing."""

from __future__ import annotations

from dataclasses import dataclass

from builtin_interfaces.msg import Time

from mobile_vla_ros.nodes.wiring.trajectory import NANOSECONDS, nanoseconds_of

STAMP_SOURCES = ("header", "receipt")


@dataclass(frozen=True)
class CaptureTime:
    """Which of a message's two times counts.

    Attributes:
        source: ``header`` (the camera's stamp) or ``receipt`` (when it arrived).
        offset: added to header stamps, seconds.
    """

    source: str = "header"
    offset: float = 0.0

    def nanoseconds(self, header: Time, received: int) -> int:
        """The capture time.

        Args:
            header: the message's stamp.
            received: its arrival, nanoseconds on the clock of the stamps.
        """
        if self.source == "receipt":
            return received
        return nanoseconds_of(header) + round(self.offset * NANOSECONDS)
