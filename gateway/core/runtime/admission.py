"""Admission: limit the calls that run or wait, and the memory of those that run."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

from gateway.core.runtime.fairness import FairBudget, Place, Places
from sixpoint.errors import ResourceExhausted

__all__ = ["Admission"]

# Weight of the past in the running mean of a call's seconds.
_DECAY = 0.9
_GIB = 2**30


class Admission:
    """Places for calls, and a memory budget for those that run, both shared by owners.

    Waiting calls are admitted in turns by owner: see :class:`FairBudget`. When all places are taken, the owner with the
    most of them gives way: see :class:`Places`.

    Args:
        budget: Bytes for all running calls together.
        max_active: Number of calls that may run or wait at once, including those that wait for their session.
        owner_active: Number of them that may be of one owner; None for all.
        newcomers: Bytes of the budget that only owners without a running call may use.
        activity: What the calls do, as the start of the error message.
        settings: Names of the settings that set ``max_active`` and ``owner_active``.
        now: Function that returns the time in seconds.
    """

    def __init__(
        self,
        *,
        budget: int,
        max_active: int,
        owner_active: int | None = None,
        newcomers: int = 0,
        activity: str = "prompts are being answered",
        settings: tuple[str, str] = ("SIXPOINT_MAX_PROMPTS", "SIXPOINT_OWNER_PROMPTS"),
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._now = now
        self._mean_s = 0.2
        self._limit = budget
        self._budget = FairBudget(budget, newcomers=newcomers, now=now)
        self._places = Places(
            max_active,
            owner_limit=owner_active,
            activity=activity,
            settings=settings,
            retry_after=lambda: self._mean_s * self._places.taken / 4,
        )
        # The places of the tasks that have one, until they get memory.
        self._waiting: dict[asyncio.Task[object] | None, Place] = {}

    @property
    def active(self) -> int:
        """Number of calls that run or wait."""
        return self._places.taken

    @contextlib.asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Count a call among those that run or wait.

        Raises:
            ResourceExhausted: When there are too many, or the call has to make room for another owner's while it waits;
                the error says when to try again.
        """
        async with self._places.take() as place:
            task = asyncio.current_task()
            self._waiting[task] = place
            try:
                yield
            finally:
                self._waiting.pop(task, None)

    @property
    def crowded(self) -> bool:
        """Whether calls wait for memory."""
        return self._budget.crowded

    @property
    def waiting(self) -> int:
        """Number of calls that wait for memory."""
        return self._budget.waiting

    @property
    def used(self) -> int:
        """Bytes that running calls have reserved."""
        return self._budget.used

    def check(self, nbytes: int, *, what: str) -> None:
        """Refuse what needs more than the whole budget.

        Args:
            nbytes: Bytes that it needs.
            what: What needs them, as the start of the error message.

        Raises:
            ResourceExhausted: When it needs more.
        """
        if nbytes > self._limit:
            raise ResourceExhausted(
                f"{what} would take {nbytes / _GIB:.1f} GiB of memory, and the limit is {self._limit / _GIB:.1f} GiB "
                "(SIXPOINT_PROMPT_MEMORY_BYTES); crop the image to the part to annotate"
            )

    @contextlib.asynccontextmanager
    async def memory(self, nbytes: int) -> AsyncIterator[None]:
        """Wait for the memory that a call needs, and reserve it while the call runs."""
        place = self._waiting.get(asyncio.current_task())
        async with self._budget.reserve(nbytes, on_admit=place.start if place else lambda: None):
            started = self._now()
            try:
                yield
            finally:
                self._mean_s = _DECAY * self._mean_s + (1 - _DECAY) * (self._now() - started)
