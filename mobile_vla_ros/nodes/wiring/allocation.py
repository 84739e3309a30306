"""Memory for pictures: kept between two of them instead of asked of the system for each."""

from __future__ import annotations

import contextlib
import ctypes

# Of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
# Bytes. Larger single pieces go back at once; so does what lies free beyond the second.
LARGEST_KEPT = 32 << 20
FREE_KEPT = 64 << 20


def keep_large_pieces() -> None:
    """Lets the process keep the memory of raw pictures that it frees.

    A raw 720p picture is 2.8 MB, taken and freed several times for each frame. By default the C
    library gives such pieces back to the system, and every page of the next picture is made anew:
    some 2,000 page faults and 3 ms for a frame. Where it has another C library nothing is done.
    """
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_MMAP_THRESHOLD, LARGEST_KEPT)
        library.mallopt(_TRIM_THRESHOLD, FREE_KEPT)
