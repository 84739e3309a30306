"""What a node says of itself on /diagnostics: texts and numbers under one name."""

from __future__ import annotations

import math
from collections import deque

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from mobile_vla_ros.stats.percentiles import percentiles

# Enough for the percentiles of a minute at 10 frames/s.
SAMPLES = 600


class Percentiles:
    """The latest `SAMPLES` durations of something, for its median and its tail."""

    def __init__(self) -> None:
        self._samples: deque[float] = deque(maxlen=SAMPLES)

    def see(self, seconds: float) -> None:
        self._samples.append(seconds)

    def at(self, *percents: int) -> list[float]:
        """Percentiles in seconds; NaN when nothing was seen."""
        return list(percentiles(list(self._samples), percents).values())


def status_message(
    stamp, name: str, level: bytes, summary: str, values: dict[str, object]
) -> DiagnosticArray:
    """One status with its values as texts; a number that is not known is an empty text."""
    pairs = [KeyValue(key=key, value=_text(value)) for key, value in values.items()]
    status = DiagnosticStatus(name=name, level=level, message=summary, values=pairs)
    message = DiagnosticArray(status=[status])
    message.header.stamp = stamp
    return message


def _text(value: object) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.5f}"
    return str(value)
