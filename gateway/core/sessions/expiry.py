"""The end of sessions that nobody uses, whosever they are."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from gateway.core.sessions.repository import SessionMaintenance, SessionUpkeep
from gateway.core.sessions.state_cache import SegmentStateCache

__all__ = ["SessionExpiry"]

# How long an ended session is remembered, to answer "expired" rather than "unknown".
_TOMBSTONE_S = 7 * 86400.0
# Sessions whose histories are deleted in one transaction: on SQLite all other writers wait for it.
_DELETED_AT_ONCE = 50


class SessionExpiry:
    """Ends sessions, of all tenants.

    Args:
        maintenance: Transactions on the sessions of all tenants.
        cache: States of the segments used last.
        idle: Seconds after which an unused session ends.
        now: Clock, in seconds since 1970.
    """

    def __init__(
        self,
        *,
        maintenance: SessionMaintenance,
        cache: SegmentStateCache,
        idle: float,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._maintenance = maintenance
        self._cache = cache
        self._idle = idle
        self._now = now

    async def count_open(self) -> int:
        """Count the open sessions."""
        return await self._maintenance.read(lambda records: records.count_open_of_all())

    async def run(self, *, every: float) -> int:
        """End the sessions that were idle for too long, and delete what ended sessions left.

        Args:
            every: Seconds between two such calls, about.

        Returns:
            Number of sessions that ended.
        """
        self._cache.expire()

        def work(records: SessionUpkeep) -> tuple[int, float]:
            now = self._now()
            return _end_idle(records, now=now, every=every, idle=self._idle), now

        ended, now = await self._maintenance.write(work)
        while await self._maintenance.write(partial(_delete_ended, now=now)):
            pass
        return ended


def _end_idle(records: SessionUpkeep, *, now: float, every: float, idle: float) -> int:
    """End the sessions that were idle for too long.

    Idle time counts only while a gateway looks at the clock: after a time without one, or when the clock jumped, all
    times of last use move along.

    Args:
        records: Queries and changes of the transaction.
        now: Time of the call, seconds since 1970.
        every: Seconds between two calls, about.
        idle: Seconds after which an unused session ends.

    Returns:
        Number of sessions that ended.
    """
    before = records.tick(now=now)
    gap = 0.0 if before is None else now - before
    # The clocks of several gateways differ a little, and a transaction waits a moment for its turn: that is no jump.
    if abs(gap) > 10 * every + 1:
        records.shift_last_use(gap, now=now)
    return records.end_idle(unused_since=now - idle, now=now)


def _delete_ended(records: SessionUpkeep, *, now: float) -> bool:
    """Delete the histories of some ended sessions, and old sessions altogether.

    Returns:
        Whether there may be more to delete.
    """
    return records.delete_ended(before=now, tombstones_before=now - _TOMBSTONE_S, limit=_DELETED_AT_ONCE)
