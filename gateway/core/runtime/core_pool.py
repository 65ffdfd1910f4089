"""Run the two halves of a prompt's work in parallel while there are idle cores."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["CorePool"]

_First = TypeVar("_First")
_Second = TypeVar("_Second")


class CorePool:
    """Runs two functions in parallel while there are idle cores, and one after the other otherwise.

    The work is mostly compiled code that releases the GIL.

    Args:
        count: Number of cores; None for those that this process may use.
        active: Function that returns the number of active prompts. With fewer than two cores per prompt, no core
            counts as idle: Triton needs them.
    """

    def __init__(self, count: int | None = None, *, active: Callable[[], int] = lambda: 1) -> None:
        count = len(os.sched_getaffinity(0)) if count is None else count
        self._count = count
        self._active = active
        # The first of the two functions runs on the caller's thread.
        self._helpers = ThreadPoolExecutor(max(1, count // 2), thread_name_prefix="core")
        self._idle = threading.Semaphore(count)

    def run_pair(self, first: Callable[[], _First], second: Callable[[], _Second], /) -> tuple[_First, _Second]:
        """Return the results of two functions; if both fail, raise the error of ``first``."""
        taken = 0
        if 2 * self._active() > self._count:
            return first(), second()
        while taken < 2 and self._idle.acquire(blocking=False):
            taken += 1
        try:
            if taken < 2:
                return first(), second()
            running = self._helpers.submit(second)
            try:
                result = first()
            finally:
                # Wait for the second half: its input may not exist any longer once this has returned.
                running.exception()
            return result, running.result()
        finally:
            for _ in range(taken):
                self._idle.release()

    def close(self) -> None:
        """Wait for the running functions, and stop the threads."""
        self._helpers.shutdown()
