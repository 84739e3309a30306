"""Measured seconds by mode and stage."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Samples:
    """Seconds by mode and stage, with the device synchronised around each measurement.

    Attributes:
        seconds: mode -> stage -> list.
        recording: whether stages are kept; not during the warm-up.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.seconds: dict[str, dict[str, list[float]]] = {}
        self.recording = True

    @contextmanager
    def stage(self, mode: str, name: str) -> Iterator[None]:
        """Times the ``with`` block."""
        begin = self.now()
        yield
        self.add(mode, name, self.now() - begin)

    def add(self, mode: str, name: str, seconds: float) -> None:
        """Keeps what was measured elsewhere."""
        if self.recording:
            self.seconds.setdefault(mode, {}).setdefault(name, []).append(seconds)

    def now(self) -> float:
        """The clock, after everything that was asked of the device is done."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()
