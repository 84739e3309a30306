"""The process that writes episodes, so that nothing in the recorder node waits for a disk.

Started by `mobile_vla_ros.nodes.recorder.disk`. A raw 720p row holds the interpreter's lock of
the process that writes it for tens of milliseconds, which a thread cannot hide. Orders come in
over a socket, pixels through shared memory. It ignores the signals of a terminal or a service
manager and ends when the other end of the socket does: until then there may be frames to write.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from datetime import datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from mobile_vla_ros.episodes import EpisodeWriter, find_episodes, unique_path
from mobile_vla_ros.episodes.plan import count_by_name
from mobile_vla_ros.episodes.recorded_row import Counts
from mobile_vla_ros.episodes.recovery import recover_folder
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.nodes.recorder.orders import (
    Began,
    DiscardOrder,
    DiskReport,
    Ended,
    EpisodeOrder,
    FinishOrder,
    Recovered,
    RecoverOrder,
    RingOrder,
    RowOrder,
    Wrote,
)
from mobile_vla_ros.nodes.wiring.images import ImageError, to_rgb
from mobile_vla_ros.nodes.wiring.shared_frames import SharedFrames

# Below this much free space recording stops: a disk without a byte left harms more than us.
RESERVE = 32 * 1024 * 1024
REPORT_PERIOD = 1.0
NICENESS = 5


class EpisodeDisk:
    """Carries out the orders, one episode at a time; answers go to `send`."""

    def __init__(
        self,
        send: Callable[[Any], None],
        slots: Callable[[], np.ndarray],
        now: Callable[[], datetime] = datetime.now,
    ) -> None:
        self._send = send
        self._slots = slots
        self._now = now
        self._writer: EpisodeWriter | None = None
        self._episode = 0
        self._told: Path | None = None
        self._counts = Counts()
        self._directory = Path(".")
        self._counted: dict[str, int] = {}

    def order(self, order: Any) -> None:
        """Carries out one order."""
        if isinstance(order, RowOrder):
            self._row(order)
        elif isinstance(order, EpisodeOrder):
            self._begin(order)
        elif isinstance(order, FinishOrder):
            self._finish(order)
        elif isinstance(order, DiscardOrder):
            self._discard(order)
        elif isinstance(order, RecoverOrder):
            self._recover(order)
        else:
            raise TypeError(f"unknown order {order!r}")

    def report(self) -> None:
        """Says how much room there is and what has been recorded."""
        place = self._directory
        while not place.exists() and place != place.parent:
            place = place.parent
        free = shutil.disk_usage(place).free
        self._send(DiskReport(free, dict(self._counted), _resident_bytes()))

    def sender_lost(self) -> None:
        """The node has gone without a word: what came from it is finished as not complete."""
        if self._writer is not None:
            self._close(False, "", self._counts, "the recorder ended")

    def _begin(self, order: EpisodeOrder) -> None:
        self._episode, self._counts = order.episode, Counts()
        self._directory = Path(order.directory)
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self._directory).free
            if free < order.needed_bytes + RESERVE:
                raise InputError(
                    f"{order.directory} has {free / 1e9:.2f} GB left and this episode needs"
                    f" {(order.needed_bytes + RESERVE) / 1e9:.2f} GB: make room or use another"
                    " directory"
                )
            path = unique_path(self._directory, self._now(), order.scenario)
            self._writer = EpisodeWriter(
                path, scenario=order.scenario, instruction=order.instruction, **order.writer
            )
        except (InputError, OSError) as error:
            self._send(Ended(order.episode, "", 0, 0, 0, 0.0, _sentence(error)))
            return
        self._told = None
        self._tell_path()

    def _tell_path(self) -> None:
        """Says where the episode goes, and again when another recorder has taken the name."""
        assert self._writer is not None
        if self._writer.path != self._told:
            self._told = self._writer.path
            self._send(Began(self._episode, str(self._told)))

    def _row(self, order: RowOrder) -> None:
        begin = time.monotonic()
        if self._writer is not None and order.episode == self._episode:
            before, self._counts = self._counts, order.counts
            pixels = self._slots()[order.slot, : order.size]
            try:
                if (before.dropped, before.lost) != (order.counts.dropped, order.counts.lost):
                    # For whoever has to recover the file if this process is killed.
                    self._writer.count(dropped=order.counts.dropped, lost=order.counts.lost)
                if shutil.disk_usage(self._directory).free < RESERVE:
                    raise OSError(28, f"less than {RESERVE // 2**20} MB are left on the disk")
                if order.form is None:
                    rows = self._writer.append(jpeg=pixels.tobytes(), **order.values)
                else:
                    rows = self._writer.append(image=to_rgb(order.form, pixels), **order.values)
                self._tell_path()
            except ImageError:
                rows = self._writer.rows  # one picture less, which the count at the end says
            except (InputError, OSError) as error:
                self._send(Wrote(order.episode, order.slot, self._writer.rows, 0.0))
                self._close(False, "", order.counts, f"recording stopped: {_sentence(error)}")
                return
        else:
            # Rows of an episode that has failed or was refused: their slots go back.
            rows = 0
        self._send(Wrote(order.episode, order.slot, rows, time.monotonic() - begin))

    def _finish(self, order: FinishOrder) -> None:
        if self._writer is not None and order.episode == self._episode:
            self._close(order.complete, order.outcome, order.counts, "", order.facts)

    def _close(
        self,
        complete: bool,
        outcome: str,
        counts: Counts,
        error: str,
        facts: dict[str, Any] | None = None,
    ) -> None:
        begin = time.monotonic()
        writer, self._writer = self._writer, None
        assert writer is not None
        rows = writer.rows
        path = ""
        size = 0
        dropped = counts.received - rows
        # Leaving the block closes a file that could not be finished; it stays as it is.
        with writer:
            try:
                finished = writer.finish(
                    outcome=outcome,
                    complete=complete,
                    frames_received=counts.received,
                    frames_dropped=dropped,
                    frames_lost=counts.lost,
                    attributes=facts or {},
                )
                path, size = str(finished), finished.stat().st_size
            except (InputError, OSError) as problem:
                error = "; ".join(filter(None, [error, _sentence(problem)]))
        self._recount()
        took = time.monotonic() - begin
        self._send(Ended(self._episode, path, rows, size, dropped, took, error))

    def _discard(self, order: DiscardOrder) -> None:
        if self._writer is None or order.episode != self._episode:
            return
        writer, self._writer = self._writer, None
        writer.discard()
        self._send(Ended(order.episode, "", 0, 0, 0, 0.0))

    def _recover(self, order: RecoverOrder) -> None:
        self._directory = Path(order.directory)
        if self._directory.is_dir():
            for found in recover_folder(self._directory):
                self._send(Recovered(str(found.path or ""), found.note))
        self._recount()
        self.report()

    def _recount(self) -> None:
        found = find_episodes(self._directory) if self._directory.is_dir() else []
        self._counted = count_by_name(found)


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error)


def _resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """The program: its two arguments are inherited descriptors, a socket and the ring."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    # Frames can wait here, in the queue; in the node and the camera they cannot.
    os.nice(NICENESS)
    connection = Connection(int(sys.argv[1]))
    frames = SharedFrames(file=int(sys.argv[2]))

    def send(answer: Any) -> None:
        try:
            connection.send(answer)
        except OSError:
            # The node has gone; reading will say so, after the orders that are still waiting.
            return

    disk = EpisodeDisk(send, lambda: frames.pixels)
    reported = 0.0
    while True:
        try:
            order = connection.recv() if connection.poll(REPORT_PERIOD) else None
        except (EOFError, ConnectionResetError):
            disk.sender_lost()
            return
        if isinstance(order, RingOrder):
            frames.map(order.slots, order.slot_bytes)
        elif order is not None:
            disk.order(order)
        if time.monotonic() - reported >= REPORT_PERIOD:
            reported = time.monotonic()
            disk.report()


if __name__ == "__main__":
    main()
