"""The end of sessions that nobody uses."""

from __future__ import annotations

from gateway.core.sessions.repository import SessionWriter

__all__ = ["delete_ended", "end_idle"]

# How long an ended session is remembered, to answer "expired" rather than "unknown".
_TOMBSTONE_S = 7 * 86400.0
# Sessions whose histories are deleted in one transaction: on SQLite all other writers wait for it.
_DELETED_AT_ONCE = 50


def end_idle(records: SessionWriter, *, now: float, every: float, idle: float) -> int:
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


def delete_ended(records: SessionWriter, *, now: float) -> bool:
    """Delete the histories of some ended sessions, and old sessions altogether.

    Returns:
        Whether there may be more to delete.
    """
    return records.delete_ended(before=now, tombstones_before=now - _TOMBSTONE_S, limit=_DELETED_AT_ONCE)
