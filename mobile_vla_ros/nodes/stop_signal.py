"""SIGINT and SIGTERM as a flag, so that a node can say its last words before the context ends."""

from __future__ import annotations

import signal
import threading

import rclpy
from rclpy.signals import SignalHandlerOptions


class StopSignal:
    """Set by the first SIGINT or SIGTERM; a second one ends the process as usual.

    rclpy's own handlers shut the context down at once, and then nothing can be published any
    more. Make one in the main thread.
    """

    def __init__(self) -> None:
        self._event = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._set)

    def is_set(self) -> bool:
        return self._event.is_set()

    def set(self) -> None:
        """Asks for the end from inside the program."""
        self._event.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Waits for the signal; True when it came."""
        return self._event.wait(seconds)

    def _set(self, number: int, _frame) -> None:
        self._event.set()
        signal.signal(number, signal.SIG_DFL)


def init_without_signals(args: list[str] | None) -> None:
    """`rclpy.init` that leaves the signals to `StopSignal`."""
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
