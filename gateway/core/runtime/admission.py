"""Who may work now: prompts wait in a line of limited length for a budget of memory."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from sixpoint.errors import ResourceExhausted

__all__ = ["Admission"]

_PATIENCE_S = 2.0
_MIN_RETRY_S = 1.0
# How much of the past the mean time of a prompt remembers.
_MEMORY = 0.9


@dataclass(eq=False)
class _Waiting:
    """Somebody in the line: the bytes that it needs, since when it waits, and what wakes it."""

    nbytes: int
    since: float
    admitted: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Admission:
    """A budget of bytes for running prompts, and a line of limited length in front of it.

    First come, first served, except that smaller ones pass a large one that does not fit yet, until it has waited for
    two seconds: neither starves the other. One that is larger than the whole budget runs alone.

    Args:
        budget: Bytes for all running prompts together.
        most: Prompts that may run or wait at once, those waiting for their session included.
        what: What to call them.
        setting: Which setting says how many may be at once.
        now: The clock, seconds.
    """

    def __init__(
        self,
        *,
        budget: int,
        max_active: int,
        activity: str = "prompts are being answered",
        setting: str = "SIXPOINT_MAX_PROMPTS",
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._activity = activity
        self._setting = setting
        self._budget = budget
        self._max_active = max_active
        self._now = now
        self._used = 0
        self._active = 0
        self._line: deque[_Waiting] = deque()
        self._mean_s = 0.2

    @property
    def active(self) -> int:
        """Prompts that run or wait."""
        return self._active

    @contextlib.asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """A place among those that run or wait.

        Raises:
            ResourceExhausted: When there is none; after how long one may be free is said.
        """
        if self._active >= self._max_active:
            raise ResourceExhausted(
                f"{self._active} {self._activity} or wait, which is the limit ({self._setting}); try again",
                retry_after=max(_MIN_RETRY_S, self._mean_s * self._active / 4),
            )
        self._active += 1
        try:
            yield
        finally:
            self._active -= 1

    @contextlib.asynccontextmanager
    async def memory(self, nbytes: int) -> AsyncIterator[None]:
        """Wait for the memory that a prompt needs, and hold it."""
        nbytes = min(nbytes, self._budget)
        if self._line or self._used + nbytes > self._budget:
            await self._wait(_Waiting(nbytes, self._now()))
        else:
            self._used += nbytes
        started = self._now()
        try:
            yield
        finally:
            self._mean_s = _MEMORY * self._mean_s + (1 - _MEMORY) * (self._now() - started)
            self._used -= nbytes
            self._admit()

    async def _wait(self, waiting: _Waiting) -> None:
        self._line.append(waiting)
        self._admit()
        try:
            await waiting.admitted
        except asyncio.CancelledError:
            if waiting in self._line:
                self._line.remove(waiting)
            elif waiting.admitted.done() and not waiting.admitted.cancelled():
                # Admitted and cancelled in the same moment: the memory goes to the next.
                self._used -= waiting.nbytes
            self._admit()
            raise

    def _admit(self) -> None:
        """Let in whoever fits, in the order of the line."""
        for waiting in list(self._line):
            if waiting.admitted.cancelled():
                self._line.remove(waiting)
            elif self._used + waiting.nbytes <= self._budget:
                self._line.remove(waiting)
                self._used += waiting.nbytes
                waiting.admitted.set_result(None)
            elif self._now() - waiting.since > _PATIENCE_S:
                # It has been passed long enough.
                return
