"""How long threads of this process wait for a processor that other programs have."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path

__all__ = ["ProcessorWaits"]

# So long the waits of all threads are not read again: there may be many.
_READ_S = 0.02
_THREADS = Path("/proc/self/task")


class ProcessorWaits:
    """The time in which the threads of this process could have run, and got no processor.

    Zero where the system does not tell it; from the kernel's ``schedstat``, in seconds.
    """

    def __init__(self) -> None:
        self._read_at = 0.0
        self._before: dict[int, float] = {}

    def refresh(self) -> None:
        """Count from now on, if the last reading is old."""
        if time.monotonic() - self._read_at > _READ_S:
            self._before, self._read_at = _waits(), time.monotonic()

    def seconds(self) -> float:
        """Seconds since the last reading: of the calling thread, and of the other one that waited longest.

        That one may have kept the interpreter from the calling thread while it waited.
        """
        waits = {thread: seconds - self._before.get(thread, 0.0) for thread, seconds in _waits().items()}
        here = waits.pop(threading.get_native_id(), 0.0)
        return here + max(waits.values(), default=0.0)


def _waits() -> dict[int, float]:
    """Seconds that each thread of this process has waited; nothing where that is not told."""
    waits = {}
    for thread in _THREADS.iterdir() if _THREADS.is_dir() else ():
        # A thread may have ended.
        with contextlib.suppress(OSError, ValueError, IndexError):
            waits[int(thread.name)] = int((thread / "schedstat").read_text().split()[1]) / 1e9
    return waits
