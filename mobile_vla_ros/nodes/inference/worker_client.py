"""The node's side of the model worker: start it, hand it frames, hear its chunks, end it."""

from __future__ import annotations

import contextlib
import os
import queue
import select
import signal
import socket
import subprocess
import sys
import threading

import numpy as np

from mobile_vla_ros.nodes.inference.messages import (
    MESSAGE_BYTES,
    ChunkAnswer,
    Failed,
    FramePassed,
    FrameRefused,
    FrameTaken,
    LoadOrder,
    Reach,
    Ready,
    Refused,
    pack,
    unpack,
)
from mobile_vla_ros.nodes.inference.model import Frame, ModelEvents
from mobile_vla_ros.nodes.inference.turns import FrameTurns
from mobile_vla_ros.nodes.inference.worker import SLOT_BYTES, SLOTS
from mobile_vla_ros.nodes.wiring.shared_frames import SharedFrames

WORKER_COMMAND = (sys.executable, "-m", "mobile_vla_ros.nodes.inference.worker")
LINK_COMMAND = (sys.executable, "-m", "mobile_vla_ros.nodes.inference.link")
# A killed process is gone in milliseconds unless the kernel holds it; nobody waits longer.
REAP_SECONDS = 0.5
# An image of 1920x1080 finds its pages ready.
TOUCHED_BYTES = 1920 * 1080 * 3


class ModelWorker:
    """A `Model` behind a process on this machine, and the newest frame for it.

    The process is a worker that has the policy itself, or a link to a server that has it.

    The worker gets a frame when it asks for work, that is when it has answered the one before; a
    frame that comes earlier waits in the second slot, where the next one replaces it. A link says
    that it took a frame before the answer comes, and may have the next. Nothing here waits for
    the worker: a stopped or hung one costs the caller nothing.

    Args:
        events: is told what happens.
        command: program and arguments of the worker process.
    """

    def __init__(self, events: ModelEvents, command: tuple[str, ...] = WORKER_COMMAND) -> None:
        self._events = events
        self._command = command
        self._slots = SharedFrames(SLOTS, SLOT_BYTES)
        self._slots.touch(TOUCHED_BYTES)
        self._lock = threading.Lock()
        self._process: subprocess.Popen | None = None
        # Killed, and not gone yet: whoever is not asked after stays defunct.
        self._dying: list[subprocess.Popen] = []
        self._channel: socket.socket | None = None
        self._ready = False
        self._last_words: Refused | Failed | None = None
        self._turns = FrameTurns(SLOTS)
        self.features_wanted = False
        """Whether the worker is to send each frame's feature along with its chunk."""
        self._orders: queue.SimpleQueue = queue.SimpleQueue()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        self._closed = False
        # The kernel ends the worker with the *thread* that started it, so one thread that lives
        # as long as this object starts them all.
        self._thread = threading.Thread(target=self._run, name="model worker", daemon=True)
        self._thread.start()

    def start(self, settings: dict) -> None:
        """Starts a worker, ending the one before, and lets it load what `settings` says."""
        self._order(settings)

    def stop(self) -> None:
        """Ends the worker by SIGKILL: it has nothing to save, and it may be deaf."""
        self._order(None)

    def offer(self, frame: Frame, data) -> None:
        """Copies a frame for the worker; an older one that still waits is forgotten.

        Args:
            frame: all about it but the pixels.
            data: buffer of its bytes; copied once, before this returns.

        Raises:
            ValueError: the image is larger than a slot.
        """
        source = np.frombuffer(data, np.uint8)
        if source.size > SLOT_BYTES:
            raise ValueError(f"an image of {source.size} bytes is larger than {SLOT_BYTES}")
        sent = None
        with self._lock:
            if not self._ready:
                return
            slot = self._turns.free_slot()
            self._turns.wait(slot, self._slots.fill(slot, source), frame)
            sent = self._send_next()
        if sent is not None:
            self._events.frame_sent(sent)

    @property
    def replaced(self) -> int:
        """Frames that a newer one replaced before the worker had time for them."""
        return self._turns.replaced

    @property
    def alive(self) -> bool:
        """Whether the thread behind it still works (the process may be down for a while)."""
        return self._thread.is_alive()

    @property
    def process_id(self) -> int | None:
        process = self._process
        return None if process is None else process.pid

    def close(self) -> None:
        """Ends the worker and the thread; returns within about a second whatever they do."""
        self._closed = True
        self._order(None)
        self._thread.join(2 * REAP_SECONDS)

    def _order(self, settings: dict | None) -> None:
        with self._lock:
            self._ready = False
        self._orders.put(settings)
        with contextlib.suppress(BlockingIOError):  # the pipe is full of wake-ups already
            os.write(self._wake_write, b"!")

    def _run(self) -> None:
        while not self._closed:
            watched = [self._wake_read]
            if self._channel is not None:
                watched.append(self._channel.fileno())
            patience = REAP_SECONDS if self._dying else None
            readable = select.select(watched, [], [], patience)[0]
            self._dying = [process for process in self._dying if process.poll() is None]
            if self._channel is not None and self._channel.fileno() in readable:
                self._receive()
            if self._wake_read in readable:
                os.read(self._wake_read, 4096)
                self._obey()
        self._end()

    def _obey(self) -> None:
        while not self._orders.empty():
            settings = self._orders.get()
            self._end()
            if settings is not None and not self._closed:
                self._begin(settings)

    def _begin(self, settings: dict) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        descriptors = (theirs.fileno(), self._slots.file)
        arguments = [f"--parent={os.getpid()}", f"--channel={descriptors[0]}"]
        arguments.append(f"--frames={descriptors[1]}")
        try:
            # A session of its own: the terminal's Ctrl-C reaches the node alone.
            self._process = subprocess.Popen(
                [*(LINK_COMMAND if settings.get("server") else self._command), *arguments],
                pass_fds=descriptors,
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr,
                # Threads that wait must not spin: on a busy machine a small model would take ten
                # times as long, and the node's own threads would starve.
                env={"OMP_WAIT_POLICY": "PASSIVE", **os.environ},
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            self._events.worker_failed(f"the model worker cannot be started: {error}")
            return
        finally:
            theirs.close()
        self._last_words = None
        with self._lock:
            self._channel = ours
            self._turns.clear()
        ours.send(pack(LoadOrder(settings)))

    def _end(self) -> None:
        with self._lock:
            self._ready = False
            self._turns.clear()
            channel, self._channel = self._channel, None
        process, self._process = self._process, None
        if channel is not None:
            channel.close()
        if process is None:
            return
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it ends by itself just now
                os.killpg(process.pid, signal.SIGKILL)
        # When the kernel holds it (a device driver, say), it dies as soon as that lets go.
        try:
            process.wait(REAP_SECONDS)
        except subprocess.TimeoutExpired:
            self._dying.append(process)

    def _receive(self) -> None:
        assert self._channel is not None
        try:
            packet = self._channel.recv(MESSAGE_BYTES)
        except BlockingIOError:
            return
        except ConnectionError:
            packet = b""
        if not packet:
            self._bury()
            return
        answer = unpack(packet)
        if isinstance(answer, Ready):
            with self._lock:
                self._ready = self._orders.empty()
            self._events.worker_ready(vars(answer))
        elif isinstance(answer, Reach):
            self._events.out_of_reach(answer.reason, answer.message)
        elif isinstance(answer, Refused | Failed):
            self._last_words = answer
        else:
            self._take(answer)

    def _take(self, answer: ChunkAnswer | FrameRefused | FramePassed | FrameTaken) -> None:
        """An answer about one frame: its slot is free, and the next one may go."""
        sent = None
        with self._lock:
            frame = self._turns.answered(answer)
            if frame is None:
                return
            if self._ready:
                sent = self._send_next()
        if isinstance(answer, ChunkAnswer):
            more = {"feature": answer.feature, "feature_distance": answer.feature_distance}
            self._events.chunk_came(frame, answer.chunk, answer.seconds, more)
        elif isinstance(answer, FrameRefused):
            self._events.frame_refused(frame, answer.message, answer.picture)
        elif isinstance(answer, FramePassed):
            self._events.frame_passed(frame)
        if sent is not None:
            self._events.frame_sent(sent)

    def _send_next(self) -> Frame | None:
        """Hands the waiting frame over, if the worker has none; the lock is held."""
        order = self._turns.next_order(self.features_wanted)
        if order is None or self._channel is None:
            return None
        try:
            self._channel.send(pack(order))
        except OSError:
            self._turns.not_sent()
            return None  # it has just died: the thread hears of that by itself
        return order.frame

    def _bury(self) -> None:
        process = self._process
        assert process is not None
        status: int | None
        try:
            status = process.wait(REAP_SECONDS)
        except subprocess.TimeoutExpired:
            status = None
        words = self._last_words
        self._end()
        if isinstance(words, Refused):
            self._events.worker_refused(words.message)
        elif words is not None:
            self._events.worker_failed(f"the model failed: {words.message}")
        else:
            self._events.worker_failed(f"the model worker ended with {_ending(status)}")


def _ending(status: int | None) -> str:
    if status is None:
        return "its channel closed"
    if status < 0:
        return f"signal {signal.Signals(-status).name}"
    return f"exit status {status}"
