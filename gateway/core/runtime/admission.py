"""Admission: limit the calls that run or wait, and the memory of those that run."""

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
# Weight of the past in the running mean of a call's seconds.
_DECAY = 0.9
_GIB = 2**30


@dataclass(eq=False)
class _Waiting:
    """A call that waits for memory.

    Attributes:
        nbytes: Bytes that the call needs.
        since: Time on the admission's clock since which it waits, seconds.
        admitted: Future that is done once the call may run.
    """

    nbytes: int
    since: float
    admitted: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Admission:
    """A memory budget for running calls, with a queue of limited length.

    Calls run in the order in which they came. Smaller ones may pass a large one that does not fit yet, until it has
    waited for two seconds, so that neither kind starves. A call that needs more than the whole budget runs alone.

    Args:
        budget: Bytes for all running calls together.
        max_active: Number of calls that may run or wait at once, including those that wait for their session.
        activity: What the calls do, as the start of the error message.
        setting: Name of the setting that sets ``max_active``.
        now: Function that returns the time in seconds.
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
        self._queue: deque[_Waiting] = deque()
        self._mean_s = 0.2

    @property
    def active(self) -> int:
        """Number of calls that run or wait."""
        return self._active

    @contextlib.asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Count a call among those that run or wait.

        Raises:
            ResourceExhausted: When there are too many; the error says when to try again.
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

    @property
    def crowded(self) -> bool:
        """Whether calls wait for memory."""
        return bool(self._queue)

    @property
    def used(self) -> int:
        """Bytes that running calls have reserved."""
        return self._used

    def check(self, nbytes: int, *, what: str) -> None:
        """Refuse what needs more than the whole budget.

        Args:
            nbytes: Bytes that it needs.
            what: What needs them, as the start of the error message.

        Raises:
            ResourceExhausted: When it needs more.
        """
        if nbytes > self._budget:
            raise ResourceExhausted(
                f"{what} would take {nbytes / _GIB:.1f} GiB of memory, and the limit is {self._budget / _GIB:.1f} GiB "
                "(SIXPOINT_PROMPT_MEMORY_BYTES); crop the image to the part to annotate"
            )

    @contextlib.asynccontextmanager
    async def memory(self, nbytes: int) -> AsyncIterator[None]:
        """Wait for the memory that a call needs, and reserve it while the call runs."""
        nbytes = min(nbytes, self._budget)
        if self._queue or self._used + nbytes > self._budget:
            await self._wait(_Waiting(nbytes, self._now()))
        else:
            self._used += nbytes
        started = self._now()
        try:
            yield
        finally:
            self._mean_s = _DECAY * self._mean_s + (1 - _DECAY) * (self._now() - started)
            self._used -= nbytes
            self._admit()

    async def _wait(self, waiting: _Waiting) -> None:
        self._queue.append(waiting)
        self._admit()
        try:
            await waiting.admitted
        except asyncio.CancelledError:
            if waiting in self._queue:
                self._queue.remove(waiting)
            elif waiting.admitted.done() and not waiting.admitted.cancelled():
                # Admitted and cancelled at the same moment: the memory goes to the next call.
                self._used -= waiting.nbytes
            self._admit()
            raise

    def _admit(self) -> None:
        """Admit the waiting calls that fit, in their order."""
        for waiting in list(self._queue):
            if waiting.admitted.cancelled():
                self._queue.remove(waiting)
            elif self._used + waiting.nbytes <= self._budget:
                self._queue.remove(waiting)
                self._used += waiting.nbytes
                waiting.admitted.set_result(None)
            elif self._now() - waiting.since > _PATIENCE_S:
                # Nobody may pass this call any more.
                return
