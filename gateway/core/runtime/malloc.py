"""Settings of glibc's malloc."""

from __future__ import annotations

import contextlib
import ctypes

__all__ = ["keep_freed_memory"]

# Numbers of the two options in glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
# The largest threshold that glibc accepts: larger arrays are returned to the system as soon as they are freed.
_MAX_HEAP_BLOCK = 32 * 2**20
# Freed bytes that stay at the top of a heap.
_MAX_FREE_TOP = 64 * 2**20


def keep_freed_memory() -> None:
    """Make glibc keep some freed memory for the next prompt instead of returning it to the system.

    Every prompt needs the same few megabytes: getting them back page by page took a fifth of a prompt's time. Without
    glibc, this does nothing.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, _MAX_HEAP_BLOCK)
        mallopt(_TRIM_THRESHOLD, _MAX_FREE_TOP)
