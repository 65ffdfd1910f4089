"""A budget that owners share: who waits for a part of it is served in turns by owner."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from gateway.core.runtime.fairness.owner import current_owner

__all__ = ["FairBudget"]

_PATIENCE_S = 2.0
# A person clicks again within seconds.
_LINGER_S = 5.0


@dataclass(eq=False)
class _Waiting:
    """A call that waits.

    Attributes:
        amount: Part of the budget that it needs.
        since: Time since which it waits, seconds.
        on_admit: Function called once it is admitted.
        admitted: Future that is done once it is admitted.
    """

    amount: int
    since: float
    on_admit: Callable[[], None]
    admitted: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


@dataclass(eq=False)
class _Account:
    """What an owner uses and waits for.

    Attributes:
        turn: Number of the admission that was the owner's last; at first, one that is right before the last one of all.
        running: Number of its running calls.
        used: Part of the budget that they use.
        waiting: Its waiting calls, in the order in which they came.
    """

    turn: int
    running: int = 0
    used: int = 0
    waiting: deque[_Waiting] = field(default_factory=deque)


class FairBudget:
    """A budget for running calls.

    The next call admitted is that of the owner with the fewest running calls, and among equals of the one served
    longest ago. An owner alone may use the whole budget. Beside others it may exceed an equal share with one call
    only, also while another owner pauses for a few seconds: otherwise that owner's next call would wait for all that
    was admitted in the pause.

    The calls of one owner are admitted in their order. Smaller ones may pass a large one that does not fit yet, until
    it has waited for two seconds, so that neither kind starves. A call that needs more than the whole budget runs
    alone.

    Args:
        limit: The budget.
        newcomers: Part of the budget that only owners without a running call may use.
        linger: Seconds for which an owner without calls keeps its share.
        now: Function that returns the time in seconds.
    """

    def __init__(
        self,
        limit: int,
        *,
        newcomers: int = 0,
        linger: float = _LINGER_S,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limit = limit
        """The budget, which may change."""
        self._newcomers = newcomers
        self._linger = linger
        self._now = now
        self._used = 0
        # Even numbers, so that a newcomer comes between the last owner served and all that were served before.
        self._turn = 0
        self._accounts: dict[str, _Account] = {}
        # Owners that have calls waiting, and since when others have none, the first to be forgotten first.
        self._queued: dict[str, _Account] = {}
        self._idle: dict[str, float] = {}

    @property
    def used(self) -> int:
        """Part of the budget that running calls use."""
        return self._used

    @property
    def crowded(self) -> bool:
        """Whether calls wait."""
        return bool(self._queued)

    @property
    def waiting(self) -> int:
        """Number of calls that wait."""
        return sum(len(account.waiting) for account in self._queued.values())

    @contextlib.asynccontextmanager
    async def reserve(self, amount: int, *, on_admit: Callable[[], None] = lambda: None) -> AsyncIterator[None]:
        """Wait for a part of the budget, and use it within the context.

        Args:
            amount: The part.
            on_admit: Function called at the moment in which the wait ends, before the waiting task goes on.
        """
        owner, amount = current_owner(), min(amount, self.limit)
        account = self._accounts.setdefault(owner, _Account(self._turn - 1))
        self._idle.pop(owner, None)
        waiting = _Waiting(amount, self._now(), on_admit)
        account.waiting.append(waiting)
        self._queued[owner] = account
        self._admit()
        try:
            if not waiting.admitted.done():
                await waiting.admitted
            yield
        finally:
            if waiting.admitted.done() and not waiting.admitted.cancelled():
                self._used -= amount
                account.used -= amount
                account.running -= 1
            else:
                account.waiting.remove(waiting)
            self._settle(owner, account)
            self._admit()

    def _settle(self, owner: str, account: _Account) -> None:
        """Note whether an owner has calls that wait, or none at all."""
        if not account.waiting:
            self._queued.pop(owner, None)
            if not account.running:
                self._idle.pop(owner, None)
                self._idle[owner] = self._now()

    def _admit(self) -> None:
        """Admit the waiting calls whose turn it is."""
        while self._idle:
            owner, since = next(iter(self._idle.items()))
            if self._now() - since < self._linger:
                break
            del self._idle[owner], self._accounts[owner]
        while (found := self._next()) is not None:
            owner, waiting = found
            account = self._accounts[owner]
            account.waiting.remove(waiting)
            self._turn += 2
            account.turn = self._turn
            account.running += 1
            account.used += waiting.amount
            self._used += waiting.amount
            self._settle(owner, account)
            waiting.on_admit()
            waiting.admitted.set_result(None)

    def _next(self) -> tuple[str, _Waiting] | None:
        share = self.limit // max(1, len(self._accounts))
        for owner, account in sorted(self._queued.items(), key=lambda item: (item[1].running, item[1].turn)):
            for waiting in account.waiting:
                if waiting.admitted.cancelled():
                    continue
                if self._used and self._used + waiting.amount > self.limit:
                    if self._now() - waiting.since > _PATIENCE_S:
                        # Nobody may pass this call any more.
                        return None
                elif account.running and (
                    account.used + waiting.amount > share or self._used + waiting.amount > self.limit - self._newcomers
                ):
                    break
                else:
                    return owner, waiting
        return None
