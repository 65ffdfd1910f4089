"""What the C library does with memory that is no longer used."""

from __future__ import annotations

import contextlib
import ctypes

__all__ = ["keep_freed_memory"]

# malloc.h's numbers of the two settings, of glibc.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
# The largest that it takes: larger arrays are given back to the system as soon as they are freed.
_MAX_HEAP_BLOCK = 32 * 2**20
# Of freed memory that lies at the end of what a thread has.
_MAX_FREE_TOP = 64 * 2**20


def keep_freed_memory() -> None:
    """Have glibc keep some freed memory for the next prompt, in place of giving it back after each.

    Every prompt needs the same few megabytes; to fetch them anew, page by page, took a fifth of its time. Elsewhere
    than on glibc nothing happens.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, _MAX_HEAP_BLOCK)
        mallopt(_TRIM_THRESHOLD, _MAX_FREE_TOP)
