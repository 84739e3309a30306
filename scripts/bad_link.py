"""A network link between two namespaces, as bad as asked for: two TUN devices, and us between.

Every packet passes through this process, which loses, delays, reorders, doubles, holds back and
throttles as `Trouble` says; it may change at any time. Works on every kernel with TUN devices (no
netem is needed). Needs root and `ip`.
"""

from __future__ import annotations

import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import threading
import time
from dataclasses import dataclass

_TUNSETIFF = 0x400454CA
_IFF_TUN = 0x0001
_IFF_NO_PI = 0x1000
MTU = 1500
# A Wi-Fi access point keeps about so many packets for one station.
QUEUED_PACKETS = 1000


@dataclass(frozen=True)
class Trouble:
    """What the link does to packets; the same in both directions unless said.

    Attributes:
        delay: s that every packet takes.
        jitter: s by which that is more or less, at random; packets may overtake each other.
        loss: share of packets that are lost, one by one.
        burst: share of packets at which a burst of losses begins, ...
        burst_length: ... and how many it takes on average.
        duplicate: share of packets that come twice.
        rate: bytes per second; 0 for any.
        ordered: packets keep their order, as on most Wi-Fi.
        multicast: False: packets to groups are lost, as many wireless networks do.
    """

    delay: float = 0.0
    jitter: float = 0.0
    loss: float = 0.0
    burst: float = 0.0
    burst_length: float = 8.0
    duplicate: float = 0.0
    rate: float = 0.0
    ordered: bool = False
    multicast: bool = True


class _Direction:
    """One way through the link."""

    def __init__(self, into: int, seed: int) -> None:
        self.into = into
        self.random = random.Random(seed)
        self.bytes = 0
        self.packets = 0
        self.mode = "open"  # open | cut | held
        self._bursting = 0
        self._free_at = 0.0
        self._last_due = 0.0
        self._held: list[bytes] = []

    def due_times(self, size: int, trouble: Trouble, now: float) -> list[float]:
        """When a packet comes out: never, once or twice."""
        draw = self.random.random
        if self._bursting > 0:
            self._bursting -= 1
            return []
        if trouble.burst and draw() < trouble.burst:
            self._bursting = int(self.random.expovariate(1 / trouble.burst_length))
            return []
        if trouble.loss and draw() < trouble.loss:
            return []
        start = now
        if trouble.rate:
            start = max(now, self._free_at)
            if start - now > QUEUED_PACKETS * MTU / trouble.rate:
                return []
            self._free_at = start + size / trouble.rate
        due = start + trouble.delay
        if trouble.jitter:
            due = max(start, due + self.random.uniform(-trouble.jitter, trouble.jitter))
        if trouble.ordered:
            due = self._last_due = max(due, self._last_due)
        return [due, due] if trouble.duplicate and draw() < trouble.duplicate else [due]

    def hold(self, packet: bytes) -> None:
        if len(self._held) < QUEUED_PACKETS:
            self._held.append(packet)

    def let_go(self) -> list[bytes]:
        held, self._held = self._held, []
        return held


class BadLink:
    """The link, running in a thread of its own; ``with BadLink(...) as link``.

    Args:
        ends: (namespace, address) of both ends; the namespaces must be there.
        seed: of what is lost and when.
    """

    def __init__(self, ends: tuple[tuple[str, str], tuple[str, str]], seed: int = 0) -> None:
        self._ends = ends
        self._seed = seed
        self._trouble = Trouble()
        self._lock = threading.Lock()
        self._queue: list[tuple[float, int, int, bytes]] = []
        self._count = 0
        self._ending = threading.Event()

    def __enter__(self) -> BadLink:
        self._files = [_open_tun(f"badlink{index}") for index in range(2)]
        for index, (namespace, address) in enumerate(self._ends):
            device = f"badlink{index}"
            for words in (
                f"link set {device} netns {namespace}",
                f"-n {namespace} addr add {address}/24 dev {device}",
                f"-n {namespace} link set {device} mtu {MTU} up multicast on",
                f"-n {namespace} route add 224.0.0.0/4 dev {device}",
            ):
                subprocess.run(["ip", *words.split()], check=True)
        self._ways = [
            _Direction(self._files[1], 2 * self._seed),
            _Direction(self._files[0], 2 * self._seed + 1),
        ]
        self._thread = threading.Thread(target=self._run, name="bad link", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._ending.set()
        self._thread.join(2.0)
        for file in self._files:
            os.close(file)

    def be(self, trouble: Trouble) -> None:
        """Another network from now on."""
        with self._lock:
            self._trouble = trouble

    def mode(self, mode: str, ways: str = "both") -> None:
        """`open`; `cut`: everything is lost; `held`: kept, and delivered at once when it opens.

        Args:
            mode: which.
            ways: `both`, `up` (what the first end sends) or `down`.
        """
        chosen = {"both": self._ways, "up": self._ways[:1], "down": self._ways[1:]}[ways]
        with self._lock:
            for way in chosen:
                way.mode = mode
                if mode == "open":
                    for packet in way.let_go():
                        self._push(time.monotonic(), way.into, packet)

    def sent_bytes(self) -> int:
        """Bytes that the first end has sent so far."""
        return self._ways[0].bytes

    def _run(self) -> None:
        while not self._ending.is_set():
            with self._lock:
                self._deliver()
                wait = self._queue[0][0] - time.monotonic() if self._queue else 0.05
            ready = select.select(self._files, [], [], min(max(wait, 0.0), 0.05))[0]
            for file in ready:
                packet = os.read(file, 65536)
                with self._lock:
                    self._take(self._ways[self._files.index(file)], packet)

    def _take(self, way: _Direction, packet: bytes) -> None:
        way.bytes += len(packet)
        way.packets += 1
        group = packet[0] >> 4 == 4 and packet[16] >> 4 == 0xE  # an IPv4 destination of 224/4
        if way.mode == "cut" or (group and not self._trouble.multicast):
            return
        if way.mode == "held":
            way.hold(packet)
            return
        for due in way.due_times(len(packet), self._trouble, time.monotonic()):
            self._push(due, way.into, packet)

    def _push(self, due: float, into: int, packet: bytes) -> None:
        self._count += 1
        heapq.heappush(self._queue, (due, self._count, into, packet))

    def _deliver(self) -> None:
        now = time.monotonic()
        while self._queue and self._queue[0][0] <= now:
            _, _, into, packet = heapq.heappop(self._queue)
            try:
                os.write(into, packet)
            except OSError:
                return  # that end has just gone


def _open_tun(name: str) -> int:
    file = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(file, _TUNSETIFF, struct.pack("16sH", name.encode(), _IFF_TUN | _IFF_NO_PI))
    return file
