"""Changes of sessions, in SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    bindparam,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from gateway.core.sessions import ROW_BYTES, EncodedStep, RequestOutcome, SegmentRow, SessionRow, StepRow, TurnRow
from gateway.storage.audited import AuditedWriter
from gateway.storage.schema import images, requests, segments, sessions, steps, turns
from gateway.storage.scopes import TENANT
from gateway.storage.sessions.request_ids import stored_request_id
from gateway.storage.sessions.session_queries import SqlSessionReader
from gateway.storage.sessions.step_codec import encode_step
from gateway.storage.sessions.step_sharing import drop_redoable, share_steps

__all__ = ["SqlSessionWriter"]

# Statements of every prompt are built once.
_ID: BindParameter[str] = bindparam("id_")
_SEGMENT: BindParameter[int] = bindparam("segment_")
_NUMBER: BindParameter[int] = bindparam("number_")
_ADVANCE = (
    update(sessions)
    .where(
        sessions.c.tenant == TENANT,
        sessions.c.id == _ID,
        sessions.c.revision == bindparam("revision_"),
        sessions.c.ended.is_(None),
    )
    .values(
        revision=sessions.c.revision + 1,
        used=bindparam("used_"),
        step_count=sessions.c.step_count + bindparam("steps_"),
        log_bytes=sessions.c.log_bytes + bindparam("bytes_"),
    )
)
_SET_LAST_STEP = (
    update(segments)
    .where(segments.c.tenant == TENANT, segments.c.session_id == _ID, segments.c.number == _SEGMENT)
    .values(head=_NUMBER, length=_NUMBER)
)
_OFFSET = (
    select(segments.c.number_offset)
    .where(segments.c.tenant == TENANT, segments.c.session_id == _ID, segments.c.number == _SEGMENT)
    .scalar_subquery()
)
_INSERT_STEP = insert(steps).values(session_id=_ID, segment=_SEGMENT, number=_NUMBER + _OFFSET)
_INSERT_REQUEST = insert(requests)


class SqlSessionWriter(AuditedWriter, SqlSessionReader):
    """A :class:`gateway.core.sessions.repository.SessionWriter` in a tenant's scope.

    Args:
        scope: The scope.
        audited: Whether entries are written to the audit log.
    """

    def encode_step(self, row: StepRow) -> EncodedStep:
        """A step as it is stored."""
        values = encode_step(row)
        return EncodedStep(row.segment, row.number, values, len(values["prompts"]) + len(values["answer"]))

    def insert_session(self, row: SessionRow, *, request_id: str | None) -> None:
        """Add a session, and the request id of the call that opened it."""
        stored = stored_request_id(request_id, tenant=self._scope.tenant) if request_id else None
        self._scope.execute(insert(sessions).values(**vars(row) | {"expired": int(row.expired)}, request_id=stored))

    def lock_session(self, session_id: str) -> SessionRow | None:
        """The session of this id, open or ended; until this transaction ends, no other one changes it."""
        # SQLite has one writer at a time anyway, and no such lock: SQLAlchemy leaves it out.
        self._scope.execute(select(sessions.c.id).where(*self._of_session(session_id)).with_for_update())
        return self.session(session_id)

    def set_turn(self, session_id: str, claim: TurnRow | None) -> None:
        """Set the claim to the next turn on a session; None for no claim."""
        self._scope.execute(delete(turns).where(self._scope.of(turns), turns.c.session_id == session_id))
        if claim is not None:
            self._scope.execute(insert(turns).values(session_id=session_id, **vars(claim)))

    def touch_session(self, session_id: str, *, now: float) -> None:
        """Set the time of last use of an open session."""
        self._scope.execute(
            update(sessions).where(*self._of_session(session_id), sessions.c.ended.is_(None)).values(used=now)
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
        return self._scope.execute(query, values).rowcount == 1

    def end_session(self, session_id: str, *, now: float) -> bool:
        """End a session; return whether it was open."""
        query = update(sessions).where(*self._of_session(session_id), sessions.c.ended.is_(None))
        return bool(self._scope.execute(query.values(ended=now)).rowcount)

    def insert_segment(self, session_id: str, row: SegmentRow) -> None:
        """Add a segment."""
        self._scope.execute(insert(segments).values(session_id=session_id, **vars(row)))

    def name_segments(self, session_id: str, names: Mapping[int, str]) -> None:
        """Name segments by number; add those that the session does not have."""
        if not names:
            return
        dialect = postgresql if self._scope.dialect == "postgresql" else sqlite
        query = dialect.insert(segments)
        key = [segments.c.session_id, segments.c.number]
        rows = [{"session_id": session_id, **vars(SegmentRow(number, name))} for number, name in names.items()]
        self._scope.execute(query.on_conflict_do_update(index_elements=key, set_={"name": query.excluded.name}), rows)

    def move_head(self, session_id: str, segment: int, head: int) -> None:
        """Make another step of a segment the last in force."""
        where = (self._scope.of(segments), segments.c.session_id == session_id, segments.c.number == segment)
        self._scope.execute(update(segments).where(*where).values(head=head))

    def append_step(self, session_id: str, step: EncodedStep) -> None:
        """Add a step after the head of its segment, which is the last step there is."""
        place = {"id_": session_id, "segment_": step.segment, "number_": step.number}
        self._scope.execute(_INSERT_STEP, {**place, **step.values})
        self._scope.execute(_SET_LAST_STEP, place)

    def drop_redoable(self, session_id: str, segment: int, *, after: int) -> int:
        """Drop the steps of a segment after one of them; return the bytes of the session's log that this released."""
        return drop_redoable(self._scope, session_id, segment, after=after)

    def share_steps(self, source: str, target: str, rows: Sequence[SegmentRow]) -> int:
        """Add segments to a new session, with the steps of another's up to their lengths; return the log's bytes."""
        added = share_steps(self._scope, source, target, rows) * ROW_BYTES
        nbytes = added + sum(len(row.name.encode()) for row in rows)
        self._scope.execute(update(sessions).where(*self._of_session(target)).values(log_bytes=nbytes))
        return nbytes

    def insert_requests(self, session_id: str, request_ids: Sequence[str], outcome: RequestOutcome) -> None:
        """Store what the calls with these request ids changed."""
        for request_id in request_ids:
            self._scope.execute(_INSERT_REQUEST, {"session_id": session_id, "request_id": request_id, **vars(outcome)})

    def touch_image(self, digest: str, *, now: float) -> bool:
        """Set an image's time of last use, so that it is not removed; return whether it exists."""
        query = update(images).where(self._scope.of(images), images.c.digest == digest)
        return bool(self._scope.execute(query.values(used=now)).rowcount)

    def _of_session(self, session_id: str) -> tuple[ColumnElement[bool], ...]:
        return self._scope.of(sessions), sessions.c.id == session_id
