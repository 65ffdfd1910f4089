"""glibc's malloc: how much freed memory it keeps."""

from __future__ import annotations

import asyncio
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
# Bytes of freed memory that are returned soon, and later.
_MUCH, _LITTLE = 64 * 2**20, 16 * 2**20
_ROUND_S, _ROUNDS = 1.0, 30


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
        self._first = self._last = _unused()

    async def run(self) -> None:
        """Return freed memory again and again: what is much within a second, and less within half a minute.

        Other threads wait for memory meanwhile: 2 ms for 10 MiB that are returned.
        """
        while True:
            for _ in range(_ROUNDS):
                await asyncio.sleep(_ROUND_S)
                await asyncio.to_thread(self.trim, _MUCH)
            # What other threads freed during the last time counted as what was left.
            self._last = self._first
            await asyncio.to_thread(self.trim, _LITTLE)

    def trim(self, nbytes: int) -> None:
        """Return freed memory, if there are so many bytes more than after the last time.

        It blocks. Without glibc, it does nothing.
        """
        if _unused() < self._last + nbytes:
            return
        ctypes.CDLL(None).malloc_trim(0)
        self._last = _unused()


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
