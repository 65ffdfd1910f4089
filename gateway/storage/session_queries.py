"""Queries on sessions, in SQL."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BindParameter, Connection, LargeBinary, Row, and_, bindparam, func, literal, or_, select

from gateway.core.sessions import Cursor, ModelUse, RequestOutcome, SegmentRow, SessionRow, StepRow
from gateway.storage.geometries import geometry_from_json
from gateway.storage.schema import images, requests, segments, sessions, steps
from gateway.storage.step_codec import decode_step
from sixpoint.errors import ImageNotFound
from sixpoint.geometry import Geometry

__all__ = ["SqlSessionReader"]

_SESSION = [sessions.c[name] for name in SessionRow.__dataclass_fields__]
_SEGMENT = [segments.c[name] for name in SegmentRow.__dataclass_fields__]
# Labelled, as the column of start_step has another name in the database.
_STEP = [column.label(column.key) for column in steps.c if column.key != "session_id"]
# Answers are large, and of most steps only the prompts are needed.
_STEP_WITHOUT_ANSWER = [
    literal(None, LargeBinary).label("answer") if column.key == "answer" else column for column in _STEP
]
# Statements of every prompt are built once.
_ID: BindParameter[str] = bindparam("id_")
_REQUEST: BindParameter[str] = bindparam("request_")
_FIND_SESSION = select(*_SESSION).where(sessions.c.id == _ID)
_FIND_REQUEST = select(requests.c.revision, requests.c.segment, requests.c.head).where(
    requests.c.session_id == _ID, requests.c.request_id == _REQUEST
)


class SqlSessionReader:
    """A :class:`gateway.core.sessions.repository.SessionReader` on a connection."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn

    def session(self, session_id: str) -> SessionRow | None:
        """The session of this id, open or ended."""
        row = self._conn.execute(_FIND_SESSION, {"id_": session_id}).one_or_none()
        return _session(row) if row else None

    def session_by_request(self, owner: str, request_id: str) -> SessionRow | None:
        """The session that an owner opened by a call with this request id."""
        query = select(*_SESSION).where(sessions.c.owner == owner, sessions.c.request_id == request_id)
        row = self._conn.execute(query).one_or_none()
        return _session(row) if row else None

    def segments(self, session_id: str) -> list[SegmentRow]:
        """The segments of a session, by number."""
        query = select(*_SEGMENT).where(segments.c.session_id == session_id).order_by(segments.c.number)
        return [SegmentRow(*row) for row in self._conn.execute(query)]

    def has_segment(self, session_id: str, number: int) -> bool:
        """Whether a session has a segment of this number."""
        query = select(segments.c.number).where(segments.c.session_id == session_id, segments.c.number == number)
        return self._conn.execute(query).one_or_none() is not None

    def steps(
        self,
        session_id: str,
        *,
        segment: int | None = None,
        first: int = 1,
        last: int | None = None,
        answers: bool = True,
    ) -> list[StepRow]:
        """Steps by segment, then by number; of one segment or all, from ``first`` to ``last``."""
        where = [steps.c.session_id == session_id, steps.c.number >= first]
        if segment is not None:
            where.append(steps.c.segment == segment)
        if last is not None:
            where.append(steps.c.number <= last)
        query = select(*(_STEP if answers else _STEP_WITHOUT_ANSWER)).where(*where)
        return [decode_step(row) for row in self._conn.execute(query.order_by(steps.c.segment, steps.c.number))]

    def request(self, session_id: str, request_id: str) -> RequestOutcome | None:
        """What the call with this request id changed, if it was carried out."""
        row = self._conn.execute(_FIND_REQUEST, {"id_": session_id, "request_": request_id}).one_or_none()
        return RequestOutcome(*row) if row else None

    def image_geometry(self, digest: str) -> Geometry:
        """The geometry of an image.

        Raises:
            ImageNotFound: The image was removed.
        """
        stored = self._conn.execute(select(images.c.geometry).where(images.c.digest == digest)).scalar_one_or_none()
        if stored is None:
            raise ImageNotFound("the session's image was removed; upload it again")
        return geometry_from_json(stored)

    def count_open(self, owner: str | None = None) -> int:
        """Number of open sessions, of one owner or of all."""
        query = select(func.count()).select_from(sessions).where(sessions.c.ended.is_(None))
        if owner is not None:
            query = query.where(sessions.c.owner == owner)
        return int(self._conn.execute(query).scalar_one())

    def list_open(self, owner: str, *, after: Cursor | None, limit: int) -> list[SessionRow]:
        """An owner's open sessions, the last used first, then by id."""
        where = and_(sessions.c.owner == owner, sessions.c.ended.is_(None))
        if after is not None:
            used, session_id = after
            where = and_(where, or_(sessions.c.used < used, and_(sessions.c.used == used, sessions.c.id > session_id)))
        query = select(*_SESSION).where(where).order_by(sessions.c.used.desc(), sessions.c.id).limit(limit)
        return [_session(row) for row in self._conn.execute(query)]

    def list_using(self, use: ModelUse) -> list[SessionRow]:
        """The open sessions of all owners that use a model, in no particular order."""
        head = and_(
            steps.c.session_id == segments.c.session_id,
            steps.c.segment == segments.c.number,
            steps.c.number == segments.c.head,
        )
        answered = [segments.c.session_id == sessions.c.id, steps.c.model == use.model]
        # A mask that the client sent has no model version.
        answered.append(steps.c.model_version == use.version if use.version else steps.c.model_version != "")
        shows = select(segments.c.number).join(steps, head).where(*answered).exists()
        columns = [*_SESSION, shows.label("shows")]
        query = select(*columns).where(sessions.c.ended.is_(None), or_(sessions.c.model == use.model, shows))
        # The assigned version is a hash of the session's id, which not every database can compute.
        return [
            _session(row)
            for row in self._conn.execute(query)
            if row.shows or (row.model == use.model and use.assigned(row.id))
        ]


def _session(row: Row[Any]) -> SessionRow:
    """The session of a row that has the columns of :data:`_SESSION`, and perhaps more."""
    values = {name: row._mapping[name] for name in SessionRow.__dataclass_fields__}
    return SessionRow(**values | {"expired": bool(row.expired)})
