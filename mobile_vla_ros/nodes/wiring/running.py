"""The one way to start a node and to end it: arguments, signals, threads, last words."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import rclpy
from rclpy._rclpy_pybind11 import RCLError
from rclpy.exceptions import InvalidHandle
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

from mobile_vla_ros.errors import InputError
from mobile_vla_ros.nodes.wiring.allocation import keep_large_pieces
from mobile_vla_ros.nodes.wiring.enclave import enclave_arguments
from mobile_vla_ros.nodes.wiring.given import Given
from mobile_vla_ros.nodes.wiring.middleware import initialise
from mobile_vla_ros.nodes.wiring.parameters import ParameterError
from mobile_vla_ros.nodes.wiring.program import Program

# SIGHUP comes when the terminal goes: a window that is closed, an ssh connection that is lost.
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Ctrl-C in a terminal reaches a node twice: from the terminal, and from the launch file.
ECHO_SECONDS = 1.0
# Exit statuses: a thread or the work failed; the node cannot work with what it was given.
FAILED = 1
UNUSABLE = 2
NAMESAKES_PERIOD = 2.0
# After a failed request; one that keeps failing must not take the whole processor.
RETRY_SECONDS = 0.01


class StopSignal:
    """Set by the first of `ENDINGS`; one that comes later than an echo ends the process.

    SIGHUP stays ignored where it is (nohup).

    rclpy's own handlers shut the context down at once, and then nothing can be published any
    more. Make one in the main thread.
    """

    def __init__(self) -> None:
        self._event = threading.Event()
        self._first: float | None = None
        self.failed = False
        for number in ENDINGS:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._set)

    def is_set(self) -> bool:
        return self._event.is_set()

    def set(self) -> None:
        """Asks for the end from inside the program."""
        self._event.set()

    def fail(self) -> None:
        """Asks for the end because something the node needs has failed: exit status 1."""
        self.failed = True
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


class Life:
    """What a node does between its start and its end; a node replaces what it needs."""

    def beside(self) -> tuple[Node, ...]:
        """Further nodes, each of which gets an executor of its own."""
        return ()

    def work(self, stop: StopSignal) -> int:
        """The main thread's part, while callbacks run in another; returns the exit status.

        Raises:
            InputError: it cannot be done; exit status 1 with this sentence.
        """
        stop.wait()
        return 0

    def last_words(self) -> None:
        """Said at once when the end has come, while callbacks still run."""

    def close(self) -> None:
        """What is left to do when no callback runs any more."""


def run_node(
    program: Program,
    make: Callable[[StopSignal], Any],
    arguments: list[str] | None = None,
    *,
    end_within: float | None = None,
) -> int:
    """Runs one node from its first word to its last; the body of every `main`.

    Args:
        program: what it says of itself.
        make: makes the node (an rclpy `Node` with a `Life`); what it raises as InputError ends the
            program with status 2.
        arguments: of the command line, without the program's name; None: the process's own.
        end_within: s after its work within which the process ends, whatever hangs; None: never.

    Returns:
        exit status: that of the node's work; 1 where the work or a callback failed, 2 where the
        node cannot work with what it was given.
    """
    given = Given.of(sys.argv[1:] if arguments is None else arguments)
    if given.asks_for_help:
        print(program.manual(), end="")
        return 0
    stop = StopSignal()
    node = None
    try:
        given.check()
        keep_large_pieces()
        keys = enclave_arguments(program.node, given.ros, os.environ)
        initialise([*given.ros, *keys])
        node = make(stop)
        _check_given(program, given, node)
    except InputError as error:
        _complain(program, error)
        if node is not None:
            node.last_words()
            node.close()
        rclpy.try_shutdown()
        return UNUSABLE
    return _live(program, node, stop, end_within)


def _check_given(program: Program, given: Given, node) -> None:
    for stray in given.astray(node, [parameter.name for parameter in program.parameters]):
        if program.strict and stray.meant:
            raise ParameterError(f"not started: {stray.sentence}")
        node.get_logger().warning(stray.sentence)


def _live(program: Program, node, stop: StopSignal, end_within: float | None) -> int:
    nodes = (*node.beside(), node)
    spinning = [_Spinning(one, stop) for one in nodes]
    for one in spinning:
        one.start()
    status = FAILED
    try:
        status = node.work(stop)
    except InputError as error:
        _complain(program, error)
    finally:
        stop.set()
        status = status or (FAILED if stop.failed else 0)
        timer = threading.Timer(end_within or 0.0, os._exit, (status,))
        timer.daemon = True
        if end_within is not None:
            timer.start()
        node.last_words()
        for one in spinning:
            one.end()
        node.close()
        stop.ignore_from_now()
        for each in nodes:
            each.destroy_node()
        rclpy.try_shutdown()
        timer.cancel()
    return status


def _complain(program: Program, error: InputError) -> None:
    print(f"{program.node}: {error}", file=sys.stderr)


class _Spinning:
    """A node's callbacks, in a thread with an executor of their own."""

    def __init__(self, node: Node, stop: StopSignal) -> None:
        self._node = node
        self._stop = stop
        self._ending = threading.Event()
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(node)
        self._threads = [
            threading.Thread(target=self._spin, name="executor", daemon=True),
            threading.Thread(target=self._look_for_namesakes, name="namesakes", daemon=True),
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Returns when no callback runs any more, or after a second."""
        self._ending.set()
        self._executor.shutdown(timeout_sec=0.5)
        for thread in self._threads:
            if thread.is_alive():
                thread.join(0.5)

    def _spin(self) -> None:
        try:
            while not self._ending.is_set():
                try:
                    self._executor.spin()
                    return
                except ExternalShutdownException:
                    return
                except RCLError as error:
                    # Such as a transition asked for at the wrong time: rclpy lets it end the
                    # executor, and the node with it.
                    self._node.get_logger().error(f"a request failed: {error}")
                    self._ending.wait(RETRY_SECONDS)
        finally:
            if not self._ending.is_set():
                # Without its callbacks a node cannot keep its promises: an end that is seen.
                self._stop.fail()

    def _look_for_namesakes(self) -> None:
        mine = self._node.get_fully_qualified_name()
        known = 1
        while not self._ending.wait(NAMESAKES_PERIOD):
            try:
                everyone = self._node.get_node_names_and_namespaces()
            except (RCLError, InvalidHandle):
                return  # the context has ended
            count = sum(f"{space.rstrip('/')}/{name}" == mine for name, space in everyone)
            if count > max(known, 1):
                self._node.get_logger().warning(
                    f"a second node of this name, {mine}, runs; end one (a killed one is listed"
                    " for some seconds more)"
                )
            elif count <= 1 < known:
                self._node.get_logger().info(f"no second node {mine} is left")
            known = count
