"""Changes of sessions, in SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    bindparam,
    case,
    delete,
    exists,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from gateway.core.sessions import ROW_BYTES, EncodedStep, RequestOutcome, SegmentRow, SessionRow, StepRow, TurnRow
from gateway.storage.schema import clock, images, requests, segments, sessions, shared_steps, steps, turns
from gateway.storage.session_queries import SqlSessionReader
from gateway.storage.step_codec import encode_step
from gateway.storage.step_sharing import delete_unused, drop_redoable, has_own_history, share_steps

__all__ = ["SqlSessionWriter"]

# Statements of every prompt are built once.
_ID: BindParameter[str] = bindparam("id_")
_SEGMENT: BindParameter[int] = bindparam("segment_")
_NUMBER: BindParameter[int] = bindparam("number_")
_ADVANCE = (
    update(sessions)
    .where(sessions.c.id == _ID, sessions.c.revision == bindparam("revision_"), sessions.c.ended.is_(None))
    .values(
        revision=sessions.c.revision + 1,
        used=bindparam("used_"),
        step_count=sessions.c.step_count + bindparam("steps_"),
        log_bytes=sessions.c.log_bytes + bindparam("bytes_"),
    )
)
_SET_LAST_STEP = (
    update(segments)
    .where(segments.c.session_id == _ID, segments.c.number == _SEGMENT)
    .values(head=_NUMBER, length=_NUMBER)
)
_OFFSET = (
    select(segments.c.number_offset)
    .where(segments.c.session_id == _ID, segments.c.number == _SEGMENT)
    .scalar_subquery()
)
_INSERT_STEP = insert(steps).values(session_id=_ID, segment=_SEGMENT, number=_NUMBER + _OFFSET)
_INSERT_REQUEST = insert(requests)


class SqlSessionWriter(SqlSessionReader):
    """A :class:`gateway.core.sessions.repository.SessionWriter` on a connection."""

    def encode_step(self, row: StepRow) -> EncodedStep:
        """A step as it is stored."""
        values = encode_step(row)
        return EncodedStep(row.segment, row.number, values, len(values["prompts"]) + len(values["answer"]))

    def insert_session(self, row: SessionRow, *, request_id: str | None) -> None:
        """Add a session, and the request id of the call that opened it."""
        self._conn.execute(insert(sessions).values(**vars(row) | {"expired": int(row.expired)}, request_id=request_id))

    def lock_session(self, session_id: str) -> SessionRow | None:
        """The session of this id, open or ended; until this transaction ends, no other one changes it."""
        # SQLite has one writer at a time anyway, and no such lock: SQLAlchemy leaves it out.
        self._conn.execute(select(sessions.c.id).where(sessions.c.id == session_id).with_for_update())
        return self.session(session_id)

    def set_turn(self, session_id: str, claim: TurnRow | None) -> None:
        """Set the claim to the next turn on a session; None for no claim."""
        self._conn.execute(delete(turns).where(turns.c.session_id == session_id))
        if claim is not None:
            self._conn.execute(insert(turns).values(session_id=session_id, **vars(claim)))

    def touch_session(self, session_id: str, *, now: float) -> None:
        """Set the time of last use of an open session."""
        self._conn.execute(
            update(sessions).where(sessions.c.id == session_id, sessions.c.ended.is_(None)).values(used=now)
        )

    def advance(
        self,
        session_id: str,
        *,
        revision: int,
        now: float,
        model: str | None = None,
        added_steps: int = 0,
        added_bytes: int = 0,
    ) -> bool:
        """Go from ``revision`` to the next one; return whether the session was open and at ``revision``."""
        query = _ADVANCE if model is None else _ADVANCE.values(model=model)
        added = {"steps_": added_steps, "bytes_": added_bytes}
        values = {"id_": session_id, "revision_": revision, "used_": now, **added}
        return self._conn.execute(query, values).rowcount == 1

    def end_session(self, session_id: str, *, now: float) -> None:
        """End a session, if it is open."""
        self._conn.execute(
            update(sessions).where(sessions.c.id == session_id, sessions.c.ended.is_(None)).values(ended=now)
        )

    def end_idle(self, *, unused_since: float, now: float) -> int:
        """End all open sessions last used before a time, as expired; return their number."""
        where = (sessions.c.ended.is_(None), sessions.c.used < unused_since)
        return self._conn.execute(update(sessions).where(*where).values(ended=now, expired=1)).rowcount

    def delete_ended(self, *, before: float, tombstones_before: float, limit: int) -> bool:
        """Delete some steps of up to ``limit`` ended sessions; when none is left, old sessions altogether.

        Returns:
            Whether there may be more to delete.
        """
        query = select(sessions.c.id).where(sessions.c.ended < before, has_own_history()).limit(limit)
        ended = self._conn.scalars(query).all()
        sources = self._conn.scalars(select(shared_steps.c.source_id).where(shared_steps.c.session_id.in_(ended))).all()
        for table in (shared_steps, requests):
            self._conn.execute(delete(table).where(table.c.session_id.in_(ended)))
        _, more = delete_unused(self._conn, {*ended, *sources})
        if len(ended) < limit:
            # The record of a session whose steps others share stays, too.
            empty = ~exists().where(segments.c.session_id == sessions.c.id)
            self._conn.execute(delete(sessions).where(sessions.c.ended < tombstones_before, empty))
        return more or len(ended) == limit

    def tick(self, *, now: float) -> float | None:
        """Store that a gateway looked at the clock; return when one did before, None the first time."""
        before = self._conn.execute(select(clock.c.ticked).where(clock.c.id == 1).with_for_update())
        ticked = before.scalar_one_or_none()
        if ticked is None:
            self._conn.execute(insert(clock).values(id=1, ticked=now))
        else:
            self._conn.execute(update(clock).where(clock.c.id == 1).values(ticked=now))
        return ticked

    def shift_last_use(self, seconds: float, *, now: float) -> None:
        """Add seconds to all times of last use, of sessions and images, but not beyond ``now``."""
        self._conn.execute(
            update(sessions).where(sessions.c.ended.is_(None)).values(used=_capped(sessions.c.used + seconds, now))
        )
        self._conn.execute(update(images).values(used=_capped(images.c.used + seconds, now)))

    def insert_segment(self, session_id: str, row: SegmentRow) -> None:
        """Add a segment."""
        self._conn.execute(insert(segments).values(session_id=session_id, **vars(row)))

    def name_segments(self, session_id: str, names: Mapping[int, str]) -> None:
        """Name segments by number; add those that the session does not have."""
        if not names:
            return
        dialect = postgresql if self._conn.dialect.name == "postgresql" else sqlite
        query = dialect.insert(segments)
        key = [segments.c.session_id, segments.c.number]
        rows = [{"session_id": session_id, **vars(SegmentRow(number, name))} for number, name in names.items()]
        self._conn.execute(query.on_conflict_do_update(index_elements=key, set_={"name": query.excluded.name}), rows)

    def move_head(self, session_id: str, segment: int, head: int) -> None:
        """Make another step of a segment the last in force."""
        where = (segments.c.session_id == session_id, segments.c.number == segment)
        self._conn.execute(update(segments).where(*where).values(head=head))

    def append_step(self, session_id: str, step: EncodedStep) -> None:
        """Add a step after the head of its segment, which is the last step there is."""
        place = {"id_": session_id, "segment_": step.segment, "number_": step.number}
        self._conn.execute(_INSERT_STEP, {**place, **step.values})
        self._conn.execute(_SET_LAST_STEP, place)

    def drop_redoable(self, session_id: str, segment: int, *, after: int) -> int:
        """Drop the steps of a segment after one of them; return the bytes of the session's log that this released."""
        return drop_redoable(self._conn, session_id, segment, after=after)

    def share_steps(self, source: str, target: str, rows: Sequence[SegmentRow]) -> int:
        """Add segments to a new session, with the steps of another's up to their lengths; return the log's bytes."""
        added = share_steps(self._conn, source, target, rows) * ROW_BYTES
        nbytes = added + sum(len(row.name.encode()) for row in rows)
        self._conn.execute(update(sessions).where(sessions.c.id == target).values(log_bytes=nbytes))
        return nbytes

    def insert_requests(self, session_id: str, request_ids: Sequence[str], outcome: RequestOutcome) -> None:
        """Store what the calls with these request ids changed."""
        for request_id in request_ids:
            self._conn.execute(_INSERT_REQUEST, {"session_id": session_id, "request_id": request_id, **vars(outcome)})

    def touch_image(self, digest: str, *, now: float) -> bool:
        """Set an image's time of last use, so that it is not removed; return whether it exists."""
        return bool(self._conn.execute(update(images).where(images.c.digest == digest).values(used=now)).rowcount)


def _capped(moment: ColumnElement[float], latest: float) -> ColumnElement[float]:
    return case((moment > latest, latest), else_=moment)
