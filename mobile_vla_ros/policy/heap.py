"""Giving freed memory back to the system, where the C library would keep it."""

from __future__ import annotations

import ctypes
import sys


def return_freed_memory() -> None:
    """Tells glibc to return free heap pages; does nothing with another C library.

    Weights of a few megabytes that live only while a layer is converted come from the heap, and
    glibc keeps what is freed between longer-lived ones: for a full-size policy several gigabytes.
    """
    if not sys.platform.startswith("linux"):
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
