"""Turns on a session among gateways: a call that another gateway overtook goes first."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

from gateway.core.sessions.records import TurnRow
from gateway.core.sessions.repository import SessionRepository, SessionWriter
from sixpoint.errors import SixpointError

__all__ = ["Turn", "Turns"]

# Longer than most prompts take. A gateway that was killed holds up the others for no longer.
_CLAIM_S = 10.0
_POLL_S = 0.02


class Turns:
    """The turns of one gateway.

    A gateway that computes faster than another one would overtake it as long as it has calls. The one that lost a race
    claims the next turn in the database; the others see the claim when they load the session, and wait.

    Args:
        repository: Transactions of sessions.
        now: Clock, in seconds since 1970.
    """

    def __init__(self, *, repository: SessionRepository, now: Callable[[], float] = time.time) -> None:
        self._repository = repository
        self._now = now
        self._holder = secrets.token_hex(16)

    @asynccontextmanager
    async def take(self, session_id: str, *, tenant: str) -> AsyncIterator[Turn]:
        """Take part in the turns of a session for the duration of a call, while holding the session's lock.

        Args:
            session_id: Id of the session.
            tenant: Name of the session's tenant.
        """
        turn = Turn(session_id, tenant, self)
        try:
            yield turn
        finally:
            if turn.claimed:
                # Shielded: others would wait for a call that was cancelled.
                await asyncio.shield(self._give_up(session_id, tenant))

    async def wait(self, claim: TurnRow | None) -> bool:
        """Wait a moment if a claim is another gateway's; return whether it was."""
        if claim is None or claim.holder == self._holder or claim.until < self._now():
            return False
        await asyncio.sleep(_POLL_S)
        return True

    async def claim(self, session_id: str, *, tenant: str) -> None:
        """Claim the next turn, unless another gateway has claimed it."""
        await self._repository.write(partial(self._claim, session_id=session_id), tenant=tenant)

    async def _give_up(self, session_id: str, tenant: str) -> None:
        # The claim ends by itself; the call has its result, or an error that says more.
        with suppress(SixpointError):
            await self._repository.write(partial(self._release, session_id=session_id), tenant=tenant)

    def _claim(self, records: SessionWriter, *, session_id: str) -> None:
        now = self._now()
        claim = records.turn(session_id)
        if claim is None or claim.holder == self._holder or claim.until < now:
            records.set_turn(session_id, TurnRow(self._holder, now + _CLAIM_S))

    def _release(self, records: SessionWriter, *, session_id: str) -> None:
        claim = records.turn(session_id)
        if claim is not None and claim.holder == self._holder:
            records.set_turn(session_id, None)


class Turn:
    """A call's part in the turns of a session.

    Attributes:
        claimed: Whether the call was overtaken, and has claimed a turn.
    """

    def __init__(self, session_id: str, tenant: str, turns: Turns) -> None:
        self._session_id = session_id
        self._tenant = tenant
        self._turns = turns
        self.claimed = False

    async def wait(self, claim: TurnRow | None) -> bool:
        """Wait a moment if the claim that was loaded with the session is another gateway's; return whether it was."""
        return await self._turns.wait(claim)

    async def overtaken(self) -> None:
        """Claim the next turn, after another gateway changed the session first."""
        self.claimed = True
        await self._turns.claim(self._session_id, tenant=self._tenant)
