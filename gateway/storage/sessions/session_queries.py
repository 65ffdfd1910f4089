"""Queries on sessions, in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    LargeBinary,
    Row,
    and_,
    bindparam,
    func,
    literal,
    or_,
    select,
    tuple_,
)

from gateway.core.sessions import (
    Cursor,
    ModelUse,
    RequestOutcome,
    SegmentRow,
    SessionRow,
    StepCursor,
    StepRow,
    TurnRow,
)
from gateway.storage.geometries import geometry_from_json
from gateway.storage.schema import images, requests, segments, sessions, steps, turns
from gateway.storage.scopes import TENANT, TenantScope
from gateway.storage.sessions.request_ids import stored_request_id
from gateway.storage.sessions.step_codec import decode_step
from gateway.storage.sessions.visible_steps import head_is_by, select_steps
from sixpoint.errors import ImageNotFound
from sixpoint.geometry import Geometry

__all__ = ["COUNT_OPEN", "SqlSessionReader"]

_SESSION = [sessions.c[name] for name in SessionRow.__dataclass_fields__]
_SEGMENT = [segments.c[name] for name in SegmentRow.__dataclass_fields__]
# Statements of every prompt are built once.
_ID: BindParameter[str] = bindparam("id_")
_REQUEST: BindParameter[str] = bindparam("request_")
_FIND_SESSION = select(*_SESSION).where(sessions.c.tenant == TENANT, sessions.c.id == _ID)
_FIND_TURN = select(turns.c.holder, turns.c.until).where(turns.c.tenant == TENANT, turns.c.session_id == _ID)
COUNT_OPEN = select(func.count()).select_from(sessions).where(sessions.c.ended.is_(None))
"""Query for the number of open sessions of all tenants."""
_FIND_REQUEST = select(requests.c.revision, requests.c.segment, requests.c.head).where(
    requests.c.tenant == TENANT, requests.c.session_id == _ID, requests.c.request_id == _REQUEST
)


class SqlSessionReader:
    """A :class:`gateway.core.sessions.repository.SessionReader` in a tenant's scope."""

    def __init__(self, scope: TenantScope) -> None:
        self._scope = scope

    def session(self, session_id: str) -> SessionRow | None:
        """The session of this id, open or ended."""
        row = self._scope.execute(_FIND_SESSION, {"id_": session_id}).one_or_none()
        return _session(row) if row else None

    def session_by_request(self, owner: str, request_id: str) -> SessionRow | None:
        """The session that an owner opened by a call with this request id."""
        stored = stored_request_id(request_id, tenant=self._scope.tenant)
        of_call = (sessions.c.owner == owner, sessions.c.request_id == stored)
        query = select(*_SESSION).where(self._scope.of(sessions), *of_call)
        row = self._scope.execute(query).one_or_none()
        return _session(row) if row else None

    def segments(self, session_id: str) -> list[SegmentRow]:
        """The segments of a session, by number."""
        query = select(*_SEGMENT).where(self._scope.of(segments), segments.c.session_id == session_id)
        return [SegmentRow(*row) for row in self._scope.execute(query.order_by(segments.c.number))]

    def segments_of(self, session_ids: Sequence[str]) -> dict[str, list[SegmentRow]]:
        """The segments of several sessions, by number."""
        of_sessions = (self._scope.of(segments), segments.c.session_id.in_(session_ids))
        query = select(segments.c.session_id, *_SEGMENT).where(*of_sessions)
        by_session: dict[str, list[SegmentRow]] = {session_id: [] for session_id in session_ids}
        for session_id, *values in self._scope.execute(query.order_by(segments.c.session_id, segments.c.number)):
            by_session[session_id].append(SegmentRow(*values))
        return by_session

    def has_segment(self, session_id: str, number: int) -> bool:
        """Whether a session has a segment of this number."""
        place = (segments.c.session_id == session_id, segments.c.number == number)
        query = select(segments.c.number).where(self._scope.of(segments), *place)
        return self._scope.execute(query).one_or_none() is not None

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

        def where(offset: ColumnElement[int]) -> list[ColumnElement[bool]]:
            conditions = [steps.c.number >= first + offset]
            if segment is not None:
                conditions.append(steps.c.segment == segment)
            if last is not None:
                conditions.append(steps.c.number <= last + offset)
            return conditions

        query = select_steps(
            self._scope, session_id, _step_columns if answers else _columns_without_answer, where=where
        )
        return [decode_step(row) for row in self._scope.execute(query.order_by("segment", "number"))]

    def step_page(
        self, session_id: str, *, segment: int | None, after: StepCursor, limit: int, max_bytes: int
    ) -> list[StepRow]:
        """Steps behind a place, by segment, then by number, without their answers."""

        def where(offset: ColumnElement[int]) -> list[ColumnElement[bool]]:
            place = tuple_(steps.c.segment, steps.c.number - offset)
            conditions = [steps.c.segment >= after[0], place > tuple_(*map(literal, after))]
            return conditions if segment is None else [steps.c.segment == segment, *conditions]

        def until(offset: ColumnElement[int]) -> list[ColumnElement[bool]]:
            return [*where(offset), tuple_(steps.c.segment, steps.c.number - offset) <= tuple_(*map(literal, end))]

        sizes = (
            select_steps(self._scope, session_id, _size_columns, where=where).order_by("segment", "number").limit(limit)
        )
        total = 0
        end = after
        for row in self._scope.execute(sizes):
            total += row.size
            if end != after and total > max_bytes:
                break
            end = (row.segment, row.number)
        query = select_steps(self._scope, session_id, _columns_without_answer, where=until).order_by(
            "segment", "number"
        )
        return [decode_step(row) for row in self._scope.execute(query)] if end != after else []

    def turn(self, session_id: str) -> TurnRow | None:
        """The claim to the next turn on a session, if there is one."""
        row = self._scope.execute(_FIND_TURN, {"id_": session_id}).one_or_none()
        return TurnRow(*row) if row else None

    def request(self, session_id: str, request_id: str) -> RequestOutcome | None:
        """What the call with this request id changed, if it was carried out."""
        row = self._scope.execute(_FIND_REQUEST, {"id_": session_id, "request_": request_id}).one_or_none()
        return RequestOutcome(*row) if row else None

    def image_geometry(self, digest: str) -> Geometry:
        """The geometry of an image.

        Raises:
            ImageNotFound: The image was removed.
        """
        query = select(images.c.geometry).where(self._scope.of(images), images.c.digest == digest)
        stored = self._scope.execute(query).scalar_one_or_none()
        if stored is None:
            raise ImageNotFound("the session's image was removed; upload it again")
        return geometry_from_json(stored)

    def count_open(self, owner: str | None = None) -> int:
        """Number of open sessions of the tenant, of one owner or of all."""
        query = select(func.count()).select_from(sessions).where(self._scope.of(sessions), sessions.c.ended.is_(None))
        if owner is not None:
            query = query.where(sessions.c.owner == owner)
        return int(self._scope.execute(query).scalar_one())

    def count_open_of_all(self) -> int:
        """Number of open sessions of all tenants."""
        return int(self._scope.execute(COUNT_OPEN).scalar_one())

    def list_open(self, owner: str, *, after: Cursor | None, limit: int) -> list[SessionRow]:
        """An owner's open sessions, the last used first, then by id."""
        where = and_(self._scope.of(sessions), sessions.c.owner == owner, sessions.c.ended.is_(None))
        if after is not None:
            used, session_id = after
            where = and_(where, or_(sessions.c.used < used, and_(sessions.c.used == used, sessions.c.id > session_id)))
        query = select(*_SESSION).where(where).order_by(sessions.c.used.desc(), sessions.c.id).limit(limit)
        return [_session(row) for row in self._scope.execute(query)]

    def list_using(self, use: ModelUse) -> list[SessionRow]:
        """The tenant's open sessions that use a model, in no particular order."""
        # A mask that the client sent has no model version.
        version = steps.c.model_version == use.version if use.version else steps.c.model_version != ""
        shows = head_is_by(self._scope, and_(steps.c.model == use.model, version))
        columns = [*_SESSION, shows.label("shows")]
        is_open = (self._scope.of(sessions), sessions.c.ended.is_(None))
        query = select(*columns).where(*is_open, or_(sessions.c.model == use.model, shows))
        # The assigned version is a hash of the session's id, which not every database can compute.
        return [
            _session(row)
            for row in self._scope.execute(query)
            if row.shows or (row.model == use.model and use.assigned(row.id))
        ]


def _step_columns(offset: ColumnElement[int]) -> list[ColumnElement[Any]]:
    # Labelled, as the column of start_step has another name in the database.
    columns = [column.label(column.key) for column in steps.c if column.key not in ("tenant", "session_id", "number")]
    return [*columns, (steps.c.number - offset).label("number")]


def _columns_without_answer(offset: ColumnElement[int]) -> list[ColumnElement[Any]]:
    """Columns of a step but for the answer, which is large: of most steps only the prompts are needed."""
    nothing = literal(None, LargeBinary).label("answer")
    return [nothing if column.key == "answer" else column for column in _step_columns(offset)]


def _size_columns(offset: ColumnElement[int]) -> list[ColumnElement[Any]]:
    number = (steps.c.number - offset).label("number")
    return [steps.c.segment.label("segment"), number, func.length(steps.c.prompts).label("size")]


def _session(row: Row[Any]) -> SessionRow:
    """The session of a row that has the columns of :data:`_SESSION`, and perhaps more."""
    values = {name: row._mapping[name] for name in SessionRow.__dataclass_fields__}
    return SessionRow(**values | {"expired": bool(row.expired)})
