"""How long an event loop is kept from its work."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from benchmarks.servers.processor_waits import ProcessorWaits

__all__ = ["StallWatch"]

_TICK_S = 0.002


class StallWatch:
    """Measures the largest stall of an event loop: how much later than planned a timer runs.

    What the machine's other work takes is no stall: the time in which the loop's thread, or one that keeps the
    interpreter from it, could have run and got no processor. The loop's own work counts in full.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._due = self._worked = 0.0
        self._waits = ProcessorWaits()
        self._largest = 0.0

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start to watch a loop; called on its thread."""
        self._loop = loop
        self._plan()

    def largest_stall(self, work: Callable[[], object], *, limit: float, attempts: int = 5) -> float:
        """Run work until the largest stall meanwhile is below a limit, and return the smallest of these, in seconds.

        Now and then something else stalls a thread; what the work itself causes comes each time.

        Args:
            work: Function to run on the calling thread.
            limit: Seconds below which a stall needs no second attempt.
            attempts: How often to run it at most.
        """
        stalls: list[float] = []
        while len(stalls) < attempts and min(stalls, default=limit) >= limit:
            self._largest = 0.0
            work()
            # A stall is noted when it ends: wait for the loop.
            assert self._loop is not None
            asyncio.run_coroutine_threadsafe(asyncio.sleep(2 * _TICK_S), self._loop).result(30)
            stalls.append(self._largest)
        return min(stalls)

    def _plan(self) -> None:
        assert self._loop is not None
        self._waits.refresh()
        self._worked = time.thread_time()
        self._due = self._loop.time() + _TICK_S
        self._loop.call_at(self._due, self._tick)

    def _tick(self) -> None:
        assert self._loop is not None
        late = self._loop.time() - self._due
        if late > self._largest:
            own = min(late, time.thread_time() - self._worked)
            self._largest = max(self._largest, own, late - self._waits.seconds())
        self._plan()
