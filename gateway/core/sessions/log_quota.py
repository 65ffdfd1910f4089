"""Quotas of the logs of sessions: steps and bytes of one session, bytes of an owner's sessions and of all."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from gateway.core.sessions.records import SessionRow
from gateway.core.sessions.repository import SessionMaintenance
from sixpoint.errors import ResourceExhausted

__all__ = ["LogLimits", "LogQuota", "enforce"]

# The sums over all sessions take milliseconds: they are read this often, and what this process adds is added to them.
_FRESH_S = 5.0


@dataclass(frozen=True)
class LogLimits:
    """Limits of the logs of sessions. The call that reaches a limit of bytes may exceed it by its own step.

    Attributes:
        steps: Steps of one session, those included that it shares with the session it was forked from.
        session: Bytes of one session.
        owner: Bytes of one owner's sessions; 0 for no limit.
        total: Bytes of all sessions.
    """

    steps: int = 10_000
    session: int = 2 * 2**30
    owner: int = 16 * 2**30
    total: int = 64 * 2**30


class LogQuota:
    """Checks sessions against the limits before a call does any work.

    Args:
        limits: The limits.
        maintenance: Transactions on the sessions of all tenants.
        now: Clock, in seconds, that never goes back.
    """

    def __init__(
        self, limits: LogLimits, *, maintenance: SessionMaintenance, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._limits = limits
        self._maintenance = maintenance
        self._now = now
        # By tenant and owner.
        self._owners: dict[tuple[str, str], int] = {}
        self._total = 0
        self._read_at: float | None = None

    async def check_step(self, row: SessionRow, *, replaced: int) -> None:
        """Refuse one more step.

        Args:
            row: Record of the session.
            replaced: Number of redoable steps that the step replaces.

        Raises:
            ResourceExhausted: A limit is reached.
        """
        if row.step_count - replaced >= self._limits.steps:
            raise ResourceExhausted(
                f"the session has {row.step_count} steps, which is the limit (SIXPOINT_SESSION_STEPS); undo steps that "
                "you do not need, or open a new session"
            )
        self.check_session(row)
        enforce(await self.refusal(row.tenant, row.owner))

    def check_session(self, row: SessionRow) -> None:
        """Refuse what makes the log of a session longer.

        Raises:
            ResourceExhausted: The limit for one session is reached.
        """
        if row.log_bytes >= self._limits.session:
            raise ResourceExhausted(
                f"the session's log takes {row.log_bytes} bytes, and the limit is {self._limits.session} "
                "(SIXPOINT_SESSION_LOG_BYTES); go on in a fork of it, or open a new session"
            )

    async def refusal(self, tenant: str, owner: str) -> ResourceExhausted | None:
        """Return the error for what makes the logs of an owner's sessions longer, if a limit is reached.

        To :func:`enforce` once it is known that the call was not carried out before.
        """
        if self._read_at is None or self._now() - self._read_at > _FRESH_S:
            # Set first: calls that come meanwhile go on with the former sums.
            self._read_at = self._now()
            self._owners = await self._maintenance.read(lambda records: records.log_bytes_by_owner())
            self._total = sum(self._owners.values())
        owned = self._owners.get((tenant, owner), 0)
        if self._limits.owner and owned >= self._limits.owner:
            return ResourceExhausted(
                f"the logs of your sessions take {owned} bytes, and the limit for one owner is {self._limits.owner} "
                "(SIXPOINT_OWNER_LOG_BYTES); close sessions that you do not need"
            )
        if self._total >= self._limits.total:
            return ResourceExhausted(
                f"the logs of all sessions take the {self._limits.total} bytes that they may (SIXPOINT_LOG_BYTES); "
                "close sessions, or wait until some expire",
                retry_after=60.0,
            )
        return None

    def add(self, row: SessionRow, nbytes: int) -> None:
        """Count bytes that this process added to a session, until the sums are read again."""
        account = (row.tenant, row.owner)
        self._owners[account] = self._owners.get(account, 0) + nbytes
        self._total += nbytes


def enforce(refusal: ResourceExhausted | None) -> None:
    """Raise the error that :meth:`LogQuota.refusal` returned, if any."""
    if refusal:
        raise refusal
