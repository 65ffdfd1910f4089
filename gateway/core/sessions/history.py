"""The log of a session's segments: where a call starts from, and the step that it adds.

The database is the truth: any gateway process on it continues any session. A change is one transaction that goes from
one revision to the next, so that of two processes only one can make it. What was read or computed before is used only
while the database still stands at the same revision.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from weakref import WeakValueDictionary

from gateway.core.sessions.records import RequestOutcome, SegmentRow, SessionRow, StepRow
from gateway.core.sessions.repository import SessionReader, SessionRepository, SessionWriter
from gateway.core.sessions.segment_state import SegmentState, SegmentStateCache, read_state
from sixpoint.errors import FailedPrecondition, SessionExpired, SessionNotFound, StaleRevision
from sixpoint.prompts import Prompt

__all__ = ["SegmentHistory", "Snapshot", "advance_revision", "check_revision", "open_row"]


@dataclass(frozen=True, eq=False)
class Snapshot:
    """What a call on a segment starts from.

    Attributes:
        row: The session.
        segment: The segment; head and length are 0 for one that is new.
        state: Where it stands.
        done: What the call did, when one with its id was carried out before.
    """

    row: SessionRow
    segment: SegmentRow
    state: SegmentState
    outcome: RequestOutcome | None


class SegmentHistory:
    """Reads and writes what was shown and answered.

    Args:
        repository: Transactions of sessions.
        hot: What is kept at hand of it.
        now: The clock, seconds since 1970.
    """

    def __init__(
        self, *, repository: SessionRepository, cache: SegmentStateCache, now: Callable[[], float] = time.time
    ) -> None:
        self._repository = repository
        self._cache = cache
        self._now = now
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def lock(self, session_id: str) -> asyncio.Lock:
        """Held while a change is made: those of one session are made one after the other, in the order of the calls."""
        return self._locks.setdefault(session_id, asyncio.Lock())

    def cached(self, session_id: str, segment: int, *, revision: int | None) -> Snapshot | None:
        """What a call on a segment starts from, if it is at hand: nobody has asked the database whether it holds.

        Whoever starts from it has to :meth:`append`, and on any error to :meth:`load` and look again.

        Args:
            session_id: The session.
            segment: Number of the segment.
            revision: The session's, for which the call was made; without one, it may have been carried out before.
        """
        hot, row = self._cache.get(session_id, segment), self._cache.row(session_id)
        if hot is None or row is None or not hot.revision == row.revision == revision:
            return None
        return Snapshot(row, hot.segment, hot.state, None)

    async def load(self, session_id: str, segment: int, *, request_ids: Sequence[str] = ()) -> Snapshot:
        """What a call on a segment starts from; call it while holding :meth:`lock`.

        Args:
            session_id: The session.
            segment: Number of the segment.
            request_ids: The ids of the calls that the call joins; empty for one without.

        Raises:
            SessionNotFound: As of :meth:`get`.
            FailedPrecondition: When some of the joined calls were carried out before, and others were not.
            InternalError: When a stored answer is damaged.
        """
        hot = self._cache.get(session_id, segment)

        def work(records: SessionReader) -> Snapshot:
            row = open_row(records.session(session_id))
            done = [records.request(session_id, key) if key else None for key in request_ids]
            if any(done) and not all(done):
                raise FailedPrecondition("some of these calls were carried out before: make them one by one")
            last = done[-1] if done else None
            if hot is not None and hot.revision == row.revision:
                return Snapshot(row, hot.segment, hot.state, last)
            known = {one.number: one for one in records.segments(session_id)}
            one = known.get(segment, SegmentRow(segment))
            return Snapshot(row, one, _read(records, row, segment, one.head), last)

        loaded = await self._repository.read(work)
        self.remember(loaded.row, loaded.segment, loaded.state)
        return loaded

    async def state_at(self, session_id: str, segment: int, step: int) -> SegmentState:
        """Where a segment stood after a step; the step must be there."""
        return await self._repository.read(
            lambda records: _read(records, open_row(records.session(session_id)), segment, step)
        )

    async def append(
        self, loaded: Snapshot, prompts: Sequence[Prompt], state: SegmentState, *, request_ids: Sequence[str] = ()
    ) -> tuple[SessionRow, SegmentRow]:
        """Add a step after the segment's head; the session and the segment after it.

        Args:
            loaded: Where the segment stood.
            prompts: What the step showed.
            state: Where it stands with the step.
            request_ids: The ids of the calls that it answers; empty for one without.

        Raises:
            StaleRevision: When the session is no longer as it was loaded, or the call was carried out before.
            SessionNotFound: When it was closed meanwhile.
        """
        row, one, now = loaded.row, loaded.segment, self._now()
        keys = [key for key in request_ids if key]
        after = replace(one, head=one.head + 1, length=one.head + 1)
        step = _step(prompts, state, segment=after, revision=row.revision + 1, now=now)

        def work(records: SessionWriter) -> None:
            advance_revision(records, row, now=now)
            if any(records.request(row.id, key) for key in keys):
                raise StaleRevision("this call was carried out before: look at the session again")
            if not one.length and not records.has_segment(row.id, one.number):
                records.insert_segment(row.id, one)
            records.append_step(row.id, step, redoable=one.length > one.head)
            records.insert_requests(row.id, keys, _done(row, after))

        await self._repository.write(work)
        return self._changed(row, after, state, now=now)

    async def move_head(
        self, loaded: Snapshot, head: int, state: SegmentState, *, request_ids: Sequence[str] = ()
    ) -> tuple[SessionRow, SegmentRow]:
        """Make another step the last in force; the session and the segment after it.

        Raises:
            StaleRevision: When the session is no longer as it was loaded.
            SessionNotFound: When it was closed meanwhile.
        """
        row, now = loaded.row, self._now()
        after = replace(loaded.segment, head=head)

        def work(records: SessionWriter) -> None:
            advance_revision(records, row, now=now)
            records.move_head(row.id, after.number, head)
            records.insert_requests(row.id, [key for key in request_ids if key], _done(row, after))

        await self._repository.write(work)
        return self._changed(row, after, state, now=now)

    def remember(self, row: SessionRow, segment: SegmentRow, state: SegmentState) -> None:
        """Keep at hand where a segment stands at the session's present revision; call it while holding :meth:`lock`."""
        self._cache.put(row, previous_revision=row.revision, segment=segment, state=state)

    def _changed(
        self, row: SessionRow, segment: SegmentRow, state: SegmentState, *, now: float
    ) -> tuple[SessionRow, SegmentRow]:
        after = replace(row, revision=row.revision + 1, used=now)
        self._cache.put(after, previous_revision=row.revision, segment=segment, state=state)
        return after, segment


def check_revision(row: SessionRow, revision: int | None) -> None:
    """Refuse a change that was made for another revision.

    Raises:
        StaleRevision: Naming both.
    """
    if revision is not None and revision != row.revision:
        raise StaleRevision(
            f"the session is at revision {row.revision}, the call was made for {revision}: look at it again first "
            "(GetSession; session.refresh() in the SDK)"
        )


def open_row(row: SessionRow | None) -> SessionRow:
    """The session, if it is there and open.

    Raises:
        SessionExpired: When it was idle for too long.
        SessionNotFound: When it never was, or was closed.
    """
    if row is not None and row.ended is None:
        return row
    if row is not None and row.expired:
        raise SessionExpired("the session was idle for too long and was closed; open a new one")
    raise SessionNotFound("no session has this id; open one first")


def advance_revision(records: SessionWriter, row: SessionRow, *, now: float, model: str | None = None) -> None:
    """Go to the next revision from the one that ``row`` says.

    Raises:
        StaleRevision: When the session is not there any more.
        SessionNotFound: When it was closed meanwhile.
    """
    if not records.advance(row.id, revision=row.revision, now=now, model=model):
        check_revision(open_row(records.session(row.id)), row.revision)


def _step(prompts: Sequence[Prompt], state: SegmentState, *, segment: SegmentRow, revision: int, now: float) -> StepRow:
    """The step that led to a state, as it is stored; it is the segment's last one."""
    return StepRow(
        segment=segment.number,
        number=segment.head,
        start_step=state.start_step,
        revision=revision,
        prompts=tuple(prompts),
        model=state.model,
        model_version=state.version,
        created=now,
        threshold=state.threshold,
        prediction=state.prediction,
    )


def _done(row: SessionRow, segment: SegmentRow) -> RequestOutcome:
    return RequestOutcome(row.revision + 1, segment.number, segment.head)


def _read(records: SessionReader, row: SessionRow, segment: int, step: int) -> SegmentState:
    """Where a segment stood after a step: what was shown since the step that began the object, and the last answer."""
    if not step:
        return SegmentState()
    last = records.steps(row.id, segment=segment, first=step, last=step)[0]
    shown = records.steps(row.id, segment=segment, first=last.start_step, last=step, answers=False)
    return read_state([one.prompts for one in shown], last, geometry=records.image_geometry(row.image_digest))
