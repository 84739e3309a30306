"""What the C library and the kernel are told about memory that holds weights."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

HUGE_PAGE = 2 * 2**20
MADV_HUGEPAGE = 14
MADV_COLLAPSE = 25


def return_freed_memory() -> None:
    """Tells glibc to return free heap pages; does nothing with another C library.

    Weights of a few megabytes that live only while a layer is converted come from the heap, and
    glibc keeps what is freed between longer-lived ones: for a full-size policy several gigabytes.
    """
    trim = _from_library("malloc_trim")
    if trim is not None:
        trim(0)


def use_huge_pages(address: int, size: int) -> None:
    """Asks the kernel to back memory by pages of 2 MiB instead of 4 KiB, now and in place.

    Reading weights of gigabytes then misses the processor's address cache less often. Only whole
    huge pages inside the range are touched. Where the kernel cannot (it is not Linux, older than
    6.1, or has no memory in one piece) everything stays as it is.

    Args:
        address: of the first byte.
        size: in bytes.
    """
    first = -(-address // HUGE_PAGE) * HUGE_PAGE
    length = (address + size) // HUGE_PAGE * HUGE_PAGE - first
    advise = _from_library("madvise")
    if length <= 0 or advise is None:
        return
    for advice in (MADV_HUGEPAGE, MADV_COLLAPSE):
        advise(ctypes.c_void_p(first), ctypes.c_size_t(length), advice)


def _from_library(name: str) -> Any:
    """A function of the C library; None where there is none, or this is not Linux."""
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), name, None)
