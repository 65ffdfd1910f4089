"""How long an event loop is kept from its work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["StallWatch"]

_TICK_S = 0.002


class StallWatch:
    """Measures the largest stall of an event loop: how much later than planned a timer runs."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._due = 0.0
        self._largest = 0.0

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start to watch a loop; called on its thread."""
        self._loop = loop
        self._plan()

    def largest_stall(self, work: Callable[[], object], *, limit: float, attempts: int = 5) -> float:
        """Run work until the largest stall meanwhile is below a limit, and return the smallest of these, in seconds.

        A busy machine stalls every thread now and then; what the work itself causes comes each time.

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
        self._due = self._loop.time() + _TICK_S
        self._loop.call_at(self._due, self._tick)

    def _tick(self) -> None:
        assert self._loop is not None
        self._largest = max(self._largest, self._loop.time() - self._due)
        self._plan()
