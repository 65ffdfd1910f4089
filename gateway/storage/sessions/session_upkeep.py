"""What a gateway does on its own with the sessions of all tenants, in SQL."""

from __future__ import annotations

from sqlalchemy import ColumnElement, case, delete, exists, func, insert, select, update

from gateway.storage.dataset_tables import saved_annotations
from gateway.storage.schema import clock, images, requests, segments, sessions, shared_steps
from gateway.storage.scopes import AllTenants
from gateway.storage.sessions.session_queries import COUNT_OPEN
from gateway.storage.sessions.step_sharing import delete_unused, has_own_history

__all__ = ["SqlSessionUpkeep"]


class SqlSessionUpkeep:
    """A :class:`gateway.core.sessions.repository.SessionUpkeep` in the scope of all tenants."""

    def __init__(self, scope: AllTenants) -> None:
        self._scope = scope

    def count_open_of_all(self) -> int:
        """Number of open sessions."""
        return int(self._scope.execute(COUNT_OPEN).scalar_one())

    def log_bytes_by_owner(self) -> dict[tuple[str, str], int]:
        """Bytes of the logs of each tenant's and owner's sessions, those of ended sessions included."""
        account = (sessions.c.tenant, sessions.c.owner)
        query = select(*account, func.sum(sessions.c.log_bytes)).where(sessions.c.log_bytes > 0).group_by(*account)
        return {(tenant, owner): int(nbytes) for tenant, owner, nbytes in self._scope.execute(query)}

    def end_idle(self, *, unused_since: float, now: float) -> int:
        """End all open sessions last used before a time, as expired; return their number."""
        where = (sessions.c.ended.is_(None), sessions.c.used < unused_since)
        return self._scope.execute(update(sessions).where(*where).values(ended=now, expired=1)).rowcount

    def delete_ended(self, *, before: float, tombstones_before: float, limit: int) -> bool:
        """Delete some steps of up to ``limit`` ended sessions; when none is left, old sessions altogether.

        Sessions that annotations were saved from stay, with their steps.

        Returns:
            Whether there may be more to delete.
        """
        # What an annotation was saved from stays.
        saved = exists().where(saved_annotations.c.session_id == sessions.c.id)
        query = (
            select(sessions.c.id).where(sessions.c.ended < before, has_own_history(self._scope), ~saved).limit(limit)
        )
        ended = self._scope.scalars(query).all()
        sources = self._scope.scalars(
            select(shared_steps.c.source_id).where(shared_steps.c.session_id.in_(ended))
        ).all()
        for table in (shared_steps, requests):
            self._scope.execute(delete(table).where(table.c.session_id.in_(ended)))
        _, more = delete_unused(self._scope, {*ended, *sources})
        if len(ended) < limit:
            # The record of a session whose steps others share stays, too.
            empty = ~exists().where(segments.c.session_id == sessions.c.id)
            self._scope.execute(delete(sessions).where(sessions.c.ended < tombstones_before, empty, ~saved))
        return more or len(ended) == limit

    def tick(self, *, now: float) -> float | None:
        """Store that a gateway looked at the clock; return when one did before, None the first time."""
        before = self._scope.execute(select(clock.c.ticked).where(clock.c.id == 1).with_for_update())
        ticked = before.scalar_one_or_none()
        if ticked is None:
            self._scope.execute(insert(clock).values(id=1, ticked=now))
        else:
            self._scope.execute(update(clock).where(clock.c.id == 1).values(ticked=now))
        return ticked

    def shift_last_use(self, seconds: float, *, now: float) -> None:
        """Add seconds to all times of last use, of sessions and images, but not beyond ``now``."""
        self._scope.execute(
            update(sessions).where(sessions.c.ended.is_(None)).values(used=_capped(sessions.c.used + seconds, now))
        )
        self._scope.execute(update(images).values(used=_capped(images.c.used + seconds, now)))


def _capped(moment: ColumnElement[float], latest: float) -> ColumnElement[float]:
    return case((moment > latest, latest), else_=moment)
