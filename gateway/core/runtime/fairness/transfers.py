"""Images and other large contents on their way: in turns, and at a pace while others are answered."""

from __future__ import annotations

import asyncio

from gateway.core.runtime.fairness.byte_turns import ByteTurns
from gateway.core.runtime.fairness.pace import Pace

__all__ = ["Transfers"]


class Transfers:
    """What uploads and downloads of all edges share.

    Args:
        pace: Pace at which they pass.
        turns: Turns in which their parts pass; None for turns of their own.
    """

    def __init__(self, pace: Pace, *, turns: ByteTurns | None = None) -> None:
        self._pace = pace
        self._turns = turns or ByteTurns()

    async def keep_pace(self, nbytes: int) -> float:
        """Wait for the pace of the caller: before a part is sent, or after one was received.

        Args:
            nbytes: Bytes of the part.

        Returns:
            Seconds that the caller was held up.
        """
        if seconds := self._pace.count(nbytes):
            await asyncio.sleep(seconds)
        return seconds

    async def take_turn(self, nbytes: int) -> None:
        """Wait until it is the turn of a part: right before the event loop copies it.

        Args:
            nbytes: Bytes of the part.
        """
        await self._turns.wait(nbytes)
