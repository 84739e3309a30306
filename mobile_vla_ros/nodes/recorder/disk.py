"""The recorder's end of the writer process: orders go out, answers come in, nothing waits."""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from mobile_vla_ros.episodes.recorded_row import Counts, Label, Row
from mobile_vla_ros.episodes.recording import RecordingError
from mobile_vla_ros.nodes.recorder.orders import (
    DiscardOrder,
    EpisodeOrder,
    FinishOrder,
    RecoverOrder,
    RingOrder,
    RowOrder,
    Wrote,
)
from mobile_vla_ros.nodes.recorder.ring import FrameRing
from mobile_vla_ros.nodes.wiring.images import ImageFormat


class Disk:
    """Starts the writer process and is the sink of a `Recording`.

    Images are handed to `offer` as (ImageFormat or None for a JPEG, bytes). A thread copies them
    to the shared memory, with the interpreter's lock released, and sends all orders in turn; so
    the caller neither copies nor waits. Small orders cannot fill the socket: there are at most as
    many rows under way as the ring has slots.

    Args:
        order: makes the `EpisodeOrder` of an episode; called at its start.
        queue_frames: slots of the ring, the longest queue there can be.
    """

    def __init__(
        self, order: Callable[[int, Label], EpisodeOrder], queue_frames: int = 60
    ) -> None:
        self._order = order
        self._queue_frames = queue_frames
        self._ring = FrameRing()
        self.longest_queue = 0
        self.clock_set = 0.0
        """Seconds by which the clock was set in this episode."""
        self.started = time.monotonic()
        self._connection, theirs = _socket_pair()
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "mobile_vla_ros.nodes.recorder.disk_process",
                str(theirs),
                str(self._ring.file),
            ],
            pass_fds=(theirs, self._ring.file),
            # HDF5 and OpenCV need no more: the rest of the machine has work to do.
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENCV_FOR_THREADS_NUM": "1"},
        )
        os.close(theirs)
        self._orders: queue.SimpleQueue[tuple[Any, Any]] = queue.SimpleQueue()
        self._sender = threading.Thread(target=self._send_orders, name="disk", daemon=True)
        self._sender.start()

    @property
    def process_id(self) -> int:
        return self._process.pid

    @property
    def queued(self) -> int:
        """Rows handed over and not yet written."""
        return self._ring.slots - self._ring.free

    @property
    def slot_bytes(self) -> int:
        """The largest image that fits."""
        return self._ring.slot_bytes

    def make_room(self, image_bytes: int) -> None:
        """Sizes the slots; between episodes only, when no row is under way.

        Raises:
            RecordingError: there is not so much memory.
        """
        if image_bytes > self._ring.slot_bytes and not self.queued:
            try:
                self._ring.resize(self._queue_frames, image_bytes)
            except (OSError, ValueError, OverflowError) as error:
                raise RecordingError(
                    f"a queue of {self._queue_frames} images of {image_bytes / 1e6:.1f} MB cannot"
                    f" be had ({getattr(error, 'strerror', None) or error}): lower the parameter"
                    " queue_frames"
                ) from error
            self._send(RingOrder(self._ring.slots, self._ring.slot_bytes))

    def recover(self, directory: str) -> None:
        """Has interrupted files in the directory finished; `Recovered` answers follow."""
        self._send(RecoverOrder(directory))

    # The sink of a Recording

    def begin(self, episode: int, label: Label) -> None:
        self.longest_queue, self.clock_set = 0, 0.0
        self._send(self._order(episode, label))

    def offer(self, row: Row, image: tuple[ImageFormat | None, Any], counts: Counts) -> bool:
        form, data = image
        if len(data) > self._ring.slot_bytes:
            return False
        slot = self._ring.reserve()
        if slot is None:
            return False
        self.longest_queue = max(self.longest_queue, self.queued)
        values = {
            "action": row.action,
            "event": row.event,
            "image_stamp": row.image_stamp,
            "received_stamp": row.received_stamp,
            "action_stamp": row.action_stamp,
            "odom": row.odom,
            "taken_over": row.taken_over,
        }
        self._send(RowOrder(row.episode, slot, len(data), form, values, counts), data)
        return True

    def finish(self, episode: int, counts: Counts, complete: bool, outcome: str) -> None:
        facts = {"clock_set": self.clock_set} if self.clock_set else {}
        self._send(FinishOrder(episode, complete, outcome, counts, facts))

    def discard(self, episode: int) -> None:
        self._send(DiscardOrder(episode))

    def _send(self, order: Any, data: Any = None) -> None:
        self._orders.put((order, data))

    def _send_orders(self) -> None:
        """The thread: until None is ordered."""
        while True:
            order, data = self._orders.get()
            if order is None:
                return
            if data is not None:
                self._ring.fill(order.slot, data)
            # A process that has ended is noticed in `answers`, whoever was talking to it.
            with contextlib.suppress(OSError):
                self._connection.send(order)

    # Answers

    def answers(self, wait: float = 0.0) -> list[Any]:
        """What the process has said since the last call.

        Raises:
            EOFError: the process has ended.
        """
        found: list[Any] = []
        while self._connection.poll(wait if not found else 0.0):
            try:
                answer = self._connection.recv()
            except OSError as error:
                raise EOFError from error
            if isinstance(answer, Wrote):
                self._ring.release(answer.slot)
            found.append(answer)
        return found

    def close(self, seconds: float = 10.0) -> bool:
        """Lets the process finish what it has and end; False when it had to be left running."""
        self._send(None)
        self._sender.join(seconds)
        self._connection.close()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        self._ring.close()
        return True


def _socket_pair() -> tuple[Connection, int]:
    """Our end, and the descriptor of the other, with room for many small messages."""
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    return Connection(ours.detach()), theirs.detach()
