"""SIGINT, SIGTERM and SIGHUP as a flag, so that a node can say its last words before it ends."""

from __future__ import annotations

import os
import signal
import threading
import time

import rclpy
from rclpy.signals import SignalHandlerOptions

# SIGHUP comes when the terminal goes: a window that is closed, an ssh connection that is lost.
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Ctrl-C in a terminal reaches a node twice: from the terminal, and from the launch file.
ECHO_SECONDS = 1.0


class StopSignal:
    """Set by the first of `ENDINGS`; one that comes later than an echo ends the process.

    SIGHUP stays ignored where it is (nohup).

    rclpy's own handlers shut the context down at once, and then nothing can be published any
    more. Make one in the main thread.
    """

    def __init__(self) -> None:
        self._event = threading.Event()
        self._first: float | None = None
        for number in ENDINGS:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._set)

    def is_set(self) -> bool:
        return self._event.is_set()

    def set(self) -> None:
        """Asks for the end from inside the program."""
        self._event.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Waits for the signal; True when it came."""
        return self._event.wait(seconds)

    def ignore_from_now(self) -> None:
        """Lets the rest of the end go undisturbed: the last words are said."""
        for number in ENDINGS:
            signal.signal(number, signal.SIG_IGN)

    def _set(self, number: int, _frame) -> None:
        self._event.set()
        now = time.monotonic()
        if self._first is None:
            self._first = now
        elif now - self._first > ECHO_SECONDS:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


def init_without_signals(args: list[str] | None) -> None:
    """`rclpy.init` that leaves the signals to `StopSignal`."""
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
