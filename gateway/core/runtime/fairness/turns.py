"""Turns: a limited number of calls wait, and a few of them run at once."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from gateway.core.runtime.fairness.budget import FairBudget
from gateway.core.runtime.fairness.places import Places

__all__ = ["Turns"]


class Turns:
    """Takes short calls in turns by owner.

    Args:
        at_once: Number of calls that run at once.
        places: Places of the calls that run or wait.
        newcomers: Number of those that run which only owners without a running call may begin, for calls that may take
            long.
    """

    def __init__(self, at_once: int, places: Places, *, newcomers: int = 0) -> None:
        self._running = FairBudget(at_once, newcomers=newcomers)
        self._places = places

    @contextlib.asynccontextmanager
    async def take(self) -> AsyncIterator[None]:
        """Wait for the call's turn, and run within the context.

        Raises:
            ResourceExhausted: When too many calls wait.
        """
        async with self._places.take() as place, self._running.reserve(1, on_admit=place.start):
            yield
