"""What a server counts, as one line per second."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

from mobile_vla_ros.stats.percentiles import percentiles

# Enough for the tail of ten seconds at 50 frames/s.
SAMPLES = 500


class Figures:
    """Counters and recent durations of a server.

    Attributes:
        frames: received, all robots.
        passed_over: of those, replaced by newer ones or too late.
        refused_frames: of those, unreadable.
        model_restarts: times the model was started anew.
        bytes_in: of messages received.
        bytes_out: of messages sent.
    """

    def __init__(self) -> None:
        self.frames = self.passed_over = self.refused_frames = self.model_restarts = 0
        self.bytes_in = self.bytes_out = 0
        self.answers = 0
        self._model: deque[float] = deque(maxlen=SAMPLES)
        self._wait: deque[float] = deque(maxlen=SAMPLES)

    def answered(self, model_seconds: float, wait_seconds: float) -> None:
        """Counts a chunk that goes out."""
        self.answers += 1
        self._model.append(model_seconds)
        self._wait.append(wait_seconds)

    def line(self, robots: int, connections: int) -> dict[str, Any]:
        """Everything so far, as plain values; seconds where not counts."""
        return {
            "time": time.time(),
            "robots": robots,
            "connections": connections,
            "frames": self.frames,
            "answers": self.answers,
            "passed_over": self.passed_over,
            "refused_frames": self.refused_frames,
            "model_restarts": self.model_restarts,
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            **_tail("model_seconds", self._model),
            **_tail("wait_seconds", self._wait),
        }


def _tail(name: str, samples: deque[float]) -> dict[str, float | None]:
    found = percentiles(samples, (50, 99))
    return {f"{name}_{label}": value if samples else None for label, value in found.items()}
