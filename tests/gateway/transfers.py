"""Turns of one part in each iteration, and a pace that holds nobody up; both note what passed."""

from __future__ import annotations

from collections import Counter

from gateway.core.runtime.fairness import ByteTurns, Pace, Transfers, current_owner

__all__ = ["NotedTransfers"]


class NotedTransfers(Transfers):
    """Notes the bytes that passed.

    Args:
        seconds: For how long it says that it held each part up.

    Attributes:
        paced: Bytes that kept the pace, by owner.
        taken: Bytes that took their turn, by owner.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__(Pace(), turns=ByteTurns(1))
        self._seconds = seconds
        self.paced: Counter[str] = Counter()
        self.taken: Counter[str] = Counter()

    async def keep_pace(self, nbytes: int) -> float:
        """Note a part."""
        self.paced[current_owner()] += nbytes
        return self._seconds

    async def take_turn(self, nbytes: int) -> None:
        """Note a part."""
        self.taken[current_owner()] += nbytes
        await super().take_turn(nbytes)
