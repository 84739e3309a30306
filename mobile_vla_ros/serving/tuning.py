"""TCP for small messages that must not be late: Linux's options for thin streams.

A lost packet of a stream that sends little is found by a timer, which starts at 200 ms and doubles
each time; and most kernels take every loss for a full queue and send less. These options make the
timer start at 40 ms and not double, and let BBR, which measures the link instead, set the pace.
What a kernel does not know stays as it was.

BBR takes the pauses between two pictures for a slow network, more so with every loss: on a link of
40 ms that loses 5 % it sent at 2 MB/s at first and at 0.15 MB/s after a minute, so that a picture
of ten packets took two round trips more. `begin_afresh`, before each picture, has it measure anew.
"""

from __future__ import annotations

import contextlib
import socket
import sys
from typing import Any

# From linux/tcp.h; Python's socket module does not have them all.
_TCP_THIN_LINEAR_TIMEOUTS = 16
_TCP_RTO_MAX_MS = 44
_TCP_RTO_MIN_US = 45
_BBR = b"bbr"
_NAME_BYTES = 16
_OPTIONS: tuple[tuple[int, int | bytes], ...] = (
    (socket.TCP_NODELAY, 1),
    (_TCP_THIN_LINEAR_TIMEOUTS, 1),
    (_TCP_RTO_MIN_US, 40_000),
    (_TCP_RTO_MAX_MS, 1_000),
    (socket.TCP_CONGESTION, _BBR),
)


def hurry(connection: Any) -> None:
    """Sets the options on a connected socket; None is passed over.

    Args:
        connection: anything with ``setsockopt``.
    """
    if connection is None or not sys.platform.startswith("linux"):
        return
    for option, value in _OPTIONS:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, option, value)


def begin_afresh(connection: Any) -> None:
    """Lets BBR forget what it has measured; any other congestion control stays as it is.

    Args:
        connection: a connected socket, or anything with its options; None is passed over.
    """
    if connection is None or not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(OSError):  # it has ended: whoever reads from it hears so
        name = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, _NAME_BYTES)
        if name.rstrip(b"\0") == _BBR:
            # To set what is set already changes nothing.
            for other in (b"reno", _BBR):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, other)
