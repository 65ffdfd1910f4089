"""The history of segments: where a call starts from, and the step that it adds.

The database is the truth: any gateway process on it continues any session. A change is one transaction that goes from
one revision to the next, so that only one of two processes can make it. What was read or computed before is used only
while the database is still at the same revision.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from weakref import WeakValueDictionary

from gateway.core.access import Action, AuditEntry, Principal, check_may_change
from gateway.core.sessions.log_quota import LogQuota
from gateway.core.sessions.records import ROW_BYTES, RequestOutcome, SegmentRow, SessionRow, TurnRow
from gateway.core.sessions.repository import SessionReader, SessionRepository, SessionWriter
from gateway.core.sessions.segment_state import SegmentState, read_state, record_step
from gateway.core.sessions.state_cache import SegmentStateCache
from gateway.core.sessions.turns import Turns
from gateway.core.sessions.validation import LOOK, advance_revision, require_open
from sixpoint.errors import FailedPrecondition, StaleRevision
from sixpoint.prompts import Prompt

__all__ = ["SegmentHistory", "Snapshot"]


@dataclass(frozen=True, eq=False)
class Snapshot:
    """What a call on a segment starts from.

    Attributes:
        principal: Who makes the call.
        row: Record of the session.
        segment: Record of the segment; head and length are 0 for a new one.
        state: State of the segment.
        outcome: What this call changed when it was carried out before; None if it was not.
        claim: Claim of a gateway to the next turn on the session; None without one.
    """

    principal: Principal
    row: SessionRow
    segment: SegmentRow
    state: SegmentState
    outcome: RequestOutcome | None
    claim: TurnRow | None = None


class SegmentHistory:
    """Loads the states of segments, and adds steps.

    Args:
        repository: Transactions of sessions.
        cache: States of the segments used last.
        quota: Limits of the logs.
        now: Clock, in seconds since 1970.
    """

    def __init__(
        self,
        *,
        repository: SessionRepository,
        cache: SegmentStateCache,
        quota: LogQuota,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._repository = repository
        self._cache = cache
        self._quota = quota
        self._now = now
        self.turns = Turns(repository=repository, now=now)
        # By tenant and id: nobody waits for calls on another tenant's session, which would tell of it.
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    def lock(self, session_id: str, principal: Principal) -> asyncio.Lock:
        """The lock to hold while a session is changed: changes take turns in the order of the calls.

        They are all of the session's owner, or of admins: other callers are refused, as far as the session is cached,
        before they wait.

        Raises:
            PermissionDenied: The session is another one's, and the caller is no admin.
        """
        row = self._cache.row(session_id)
        if row is not None and row.tenant == principal.tenant:
            check_may_change(principal, owner=row.owner)
        return self._locks.setdefault((principal.tenant, session_id), asyncio.Lock())

    def cached(self, session_id: str, segment: int, *, principal: Principal, revision: int | None) -> Snapshot | None:
        """What a call on a segment starts from, if it is cached; the database may have moved on meanwhile.

        A call that starts from it has to :meth:`append`; after any error it has to :meth:`load` and check again.

        Args:
            session_id: Id of the session.
            segment: Number of the segment.
            principal: Who makes the call.
            revision: Revision that the call was made for. Without one the result is None: the call may have been
                carried out before.
        """
        cached, row = self._cache.get(session_id, segment), self._cache.row(session_id)
        if (
            cached is None
            or row is None
            or row.tenant != principal.tenant
            or not cached.revision == row.revision == revision
        ):
            return None
        return Snapshot(principal, row, cached.segment, cached.state, None)

    async def load(
        self, session_id: str, segment: int, *, principal: Principal, request_ids: Sequence[str] = ()
    ) -> Snapshot:
        """Load what a call on a segment starts from, while holding :meth:`lock`.

        Args:
            session_id: Id of the session.
            segment: Number of the segment.
            principal: Who makes the call.
            request_ids: Request ids of the calls that are answered as one; empty for a call without.

        Raises:
            SessionExpired: The session was idle for too long.
            SessionNotFound: There is no such session, or it was closed.
            FailedPrecondition: Some of the joined calls were carried out before, and others were not.
            InternalError: A stored answer is damaged.
        """
        cached = self._cache.get(session_id, segment)

        def work(records: SessionReader) -> Snapshot:
            row = require_open(records.session(session_id))
            outcomes = [records.request(session_id, key) if key else None for key in request_ids]
            if any(outcomes) and not all(outcomes):
                raise FailedPrecondition("some of these calls were carried out before: repeat them one by one")
            outcome, claim = outcomes[-1] if outcomes else None, records.turn(session_id)
            if cached is not None and cached.revision == row.revision:
                return Snapshot(principal, row, cached.segment, cached.state, outcome, claim)
            segments = {segment_row.number: segment_row for segment_row in records.segments(session_id)}
            current = segments.get(segment, SegmentRow(segment))
            return Snapshot(principal, row, current, read_state(records, row, segment, current.head), outcome, claim)

        snapshot = await self._repository.read(work, tenant=principal.tenant)
        self.remember(snapshot.row, snapshot.segment, snapshot.state)
        return snapshot

    async def state_at(self, row: SessionRow, segment: int, step: int) -> SegmentState:
        """Load the state of a segment of a session after a step, which must exist."""
        return await self._repository.read(
            lambda records: read_state(records, require_open(records.session(row.id)), segment, step),
            tenant=row.tenant,
        )

    async def check_room(self, snapshot: Snapshot) -> None:
        """Refuse one more step before any work is done for it.

        Raises:
            ResourceExhausted: The session has too many steps, or logs take too many bytes.
        """
        segment = snapshot.segment
        await self._quota.check_step(snapshot.row, replaced=segment.length - segment.head)

    async def append(
        self, snapshot: Snapshot, prompts: Sequence[Prompt], state: SegmentState, *, request_ids: Sequence[str] = ()
    ) -> tuple[SessionRow, SegmentRow]:
        """Add a step after the segment's head.

        Args:
            snapshot: What the call started from.
            prompts: Prompts of the step.
            state: State of the segment after the step.
            request_ids: Request ids of the calls that the step answers; empty for a call without.

        Returns:
            The records of the session and the segment after the step.

        Raises:
            StaleRevision: The session has changed since the snapshot, or the call was carried out before.
            SessionNotFound: The session was closed meanwhile.
        """
        row, before, now = snapshot.row, snapshot.segment, self._now()
        keys = [key for key in request_ids if key]
        after = replace(before, head=before.head + 1, length=before.head + 1)
        step = record_step(prompts, state, segment=after, revision=row.revision + 1, now=now)
        redoable = before.length - before.head

        def work(records: SessionWriter) -> int:
            encoded = records.encode_step(step)
            nbytes = encoded.nbytes + ROW_BYTES * len(keys)
            advance_revision(records, row, now=now, added_steps=1 - redoable, added_bytes=nbytes)
            if any(records.request(row.id, key) for key in keys):
                raise StaleRevision(f"this call was carried out before. Look at the session again: {LOOK}")
            if not before.length and not records.has_segment(row.id, before.number):
                records.insert_segment(row.id, before)
            released = records.drop_redoable(row.id, before.number, after=before.head) if redoable else 0
            records.append_step(row.id, encoded)
            records.insert_requests(row.id, keys, _outcome(row, after))
            records.audit(AuditEntry(snapshot.principal, Action.ANNOTATE, row.id))
            return nbytes - released

        added = await self._repository.write(work, tenant=row.tenant)
        return self._changed(row, after, state, now=now, added_steps=1 - redoable, added_bytes=added)

    async def move_head(
        self, snapshot: Snapshot, head: int, state: SegmentState, *, request_ids: Sequence[str] = ()
    ) -> tuple[SessionRow, SegmentRow]:
        """Make another step the last in force.

        Args:
            snapshot: What the call started from.
            head: Number of the step; 0 for none.
            state: State of the segment after that step.
            request_ids: Request ids of the call; empty for a call without.

        Returns:
            The records of the session and the segment after the change.

        Raises:
            StaleRevision: The session has changed since the snapshot.
            SessionNotFound: The session was closed meanwhile.
            ResourceExhausted: The call has request ids, which are stored, and the session's log takes too many bytes.
        """
        row, now = snapshot.row, self._now()
        after = replace(snapshot.segment, head=head)
        keys = [key for key in request_ids if key]
        added = ROW_BYTES * len(keys)
        if keys:
            self._quota.check_session(row)

        def work(records: SessionWriter) -> None:
            advance_revision(records, row, now=now, added_bytes=added)
            records.move_head(row.id, after.number, head)
            records.insert_requests(row.id, keys, _outcome(row, after))
            records.audit(AuditEntry(snapshot.principal, Action.MOVE_HEAD, row.id))

        await self._repository.write(work, tenant=row.tenant)
        return self._changed(row, after, state, now=now, added_bytes=added)

    def remember(self, row: SessionRow, segment: SegmentRow, state: SegmentState) -> None:
        """Cache a segment's state at the session's current revision, while holding :meth:`lock`."""
        self._cache.put(row, previous_revision=row.revision, segment=segment, state=state)

    def _changed(
        self,
        row: SessionRow,
        segment: SegmentRow,
        state: SegmentState,
        *,
        now: float,
        added_steps: int = 0,
        added_bytes: int = 0,
    ) -> tuple[SessionRow, SegmentRow]:
        self._quota.add(row, added_bytes)
        step_count, log_bytes = row.step_count + added_steps, row.log_bytes + added_bytes
        after = replace(row, revision=row.revision + 1, used=now, step_count=step_count, log_bytes=log_bytes)
        self._cache.put(after, previous_revision=row.revision, segment=segment, state=state)
        return after, segment


def _outcome(row: SessionRow, segment: SegmentRow) -> RequestOutcome:
    return RequestOutcome(row.revision + 1, segment.number, segment.head)
