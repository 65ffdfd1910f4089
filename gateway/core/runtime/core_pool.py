"""Cores that are idle, lent to a prompt that is alone: its work is done in two halves, side by side."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["CorePool"]

_One = TypeVar("_One")
_Other = TypeVar("_Other")


class CorePool:
    """Does two pieces of work side by side while there are idle cores, and in turn when there are none.

    The work is compiled code for the most part, which holds no lock of Python's.

    Args:
        count: Cores; None: those that this process may use.
        active: How many prompts there are now. With less than two cores for each none is idle: Triton works for others.
    """

    def __init__(self, count: int | None = None, *, active: Callable[[], int] = lambda: 1) -> None:
        count = len(os.sched_getaffinity(0)) if count is None else count
        self._count = count
        self._active = active
        # Of each two that work side by side, one is the caller's own thread.
        self._helpers = ThreadPoolExecutor(max(1, count // 2), thread_name_prefix="core")
        self._idle = threading.Semaphore(count)

    def run_pair(self, first: Callable[[], _One], second: Callable[[], _Other], /) -> tuple[_One, _Other]:
        """The results of both; when both fail, the error of ``first``."""
        taken = 0
        if 2 * self._active() > self._count:
            return first(), second()
        while taken < 2 and self._idle.acquire(blocking=False):
            taken += 1
        try:
            if taken < 2:
                return first(), second()
            helped = self._helpers.submit(second)
            try:
                result = first()
            finally:
                # What the other half reads may be gone once this has returned.
                helped.exception()
            return result, helped.result()
        finally:
            for _ in range(taken):
                self._idle.release()

    def close(self) -> None:
        """Wait for what is running."""
        self._helpers.shutdown()
