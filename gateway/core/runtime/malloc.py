"""glibc's malloc: how much freed memory it keeps."""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path

__all__ = ["FreedMemory", "keep_freed_memory"]

# Numbers of the options in glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
# The largest threshold that glibc accepts: larger arrays are returned to the system as soon as they are freed.
_MAX_HEAP_BLOCK = 32 * 2**20
# Freed bytes that stay at the top of a heap.
_MAX_FREE_TOP = 64 * 2**20
# Bytes of freed memory that are worth to be returned.
_GATHERED = 16 * 2**20


def keep_freed_memory() -> None:
    """Make glibc keep some freed memory for the next prompt instead of returning it to the system.

    Every prompt needs the same few megabytes: getting them back page by page took a fifth of a prompt's time. Without
    glibc, this does nothing.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, _MAX_HEAP_BLOCK)
        mallopt(_TRIM_THRESHOLD, _MAX_FREE_TOP)
        # One heap for all threads: malloc_trim returns nothing from the end of another thread's heap.
        mallopt(_ARENA_MAX, 1)


class FreedMemory:
    """Returns freed memory to the system, once much of it has gathered.

    glibc keeps freed blocks that lie between others, and in the heaps of threads: 1.4 GiB after 200 uploads at once.
    """

    def __init__(self) -> None:
        self._kept = _unused()

    def trim(self) -> None:
        """Return freed memory, if there is much more than after the last time. Blocks; without glibc, does nothing."""
        if _unused() < self._kept + _GATHERED:
            return
        ctypes.CDLL(None).malloc_trim(0)
        self._kept = _unused()


class _Mallinfo(ctypes.Structure):
    """glibc's ``struct mallinfo2``."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in [
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        ]
    )


def _unused() -> int:
    """Bytes resident that are neither mapped from files nor given out by malloc; 0 where the system does not say."""
    try:
        mallinfo = ctypes.CDLL(None).mallinfo2
        _, resident, shared, *_ = Path("/proc/self/statm").read_text().split()
    except (OSError, AttributeError):
        return 0
    mallinfo.restype = _Mallinfo
    info = mallinfo()
    return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE") - int(info.uordblks) - int(info.hblkhd)
