"""Sessions in the database: plain functions on a connection; their caller says where a transaction begins and ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Row,
    and_,
    bindparam,
    case,
    delete,
    exists,
    insert,
    or_,
    select,
    update,
)

from gateway.storage.schema import clock, images, requests, segments, sessions
from sixpoint.errors import ImageNotFound
from sixpoint.geometry import Geometry

__all__ = [
    "SESSION_COLUMNS",
    "Request",
    "SegmentRow",
    "SessionRow",
    "advance",
    "create",
    "end",
    "end_idle",
    "find",
    "find_by_request",
    "find_request",
    "forget_ended",
    "has_segment",
    "image_geometry",
    "insert_segment",
    "move_head",
    "note_requests",
    "rename_segment",
    "segment_rows",
    "session_row",
    "shift",
    "tick",
    "touch",
    "touch_image",
]


@dataclass(frozen=True)
class SessionRow:
    """A session as it is stored; times are seconds since 1970, UTC.

    Attributes:
        id: Its id.
        owner: Whose it is.
        image_digest: Its image.
        model: Its model.
        revision: Number of its changes.
        created: When it was opened.
        used: When it was last used.
        ended: When it ended; None while it is open.
        expired: Whether it ended by itself.
    """

    id: str
    owner: str
    image_digest: str
    model: str
    revision: int
    created: float
    used: float
    ended: float | None
    expired: bool


@dataclass(frozen=True)
class SegmentRow:
    """One segment: its number and name, the last step in force, and the last step there is; 0 for none."""

    number: int
    name: str = ""
    head: int = 0
    length: int = 0


@dataclass(frozen=True)
class Request:
    """A call that changed a session: its revision after it, the segment, and its last step in force."""

    revision: int
    segment: int
    head: int


SESSION_COLUMNS = [sessions.c[name] for name in SessionRow.__dataclass_fields__]
"""What :func:`session_row` reads."""
# What every prompt runs is built once.
_ID: BindParameter[str] = bindparam("id_")
_REQUEST: BindParameter[str] = bindparam("request_")
_FIND = select(*SESSION_COLUMNS).where(sessions.c.id == _ID)
_FIND_REQUEST = select(requests.c.revision, requests.c.segment, requests.c.head).where(
    requests.c.session_id == _ID, requests.c.request_id == _REQUEST
)
_ADVANCE = (
    update(sessions)
    .where(sessions.c.id == _ID, sessions.c.revision == bindparam("revision_"), sessions.c.ended.is_(None))
    .values(revision=sessions.c.revision + 1, used=bindparam("used_"))
)
_REQUEST_INSERT = insert(requests)


def touch_image(conn: Connection, digest: str, *, now: float) -> bool:
    """Mark an image as used now, so that nobody removes it; whether it is there."""
    done = conn.execute(update(images).where(images.c.digest == digest).values(used=now))
    return bool(done.rowcount)


def image_geometry(conn: Connection, digest: str) -> Geometry:
    """Where an image's voxels lie.

    Raises:
        ImageNotFound: When it is not here.
    """
    found = conn.execute(select(images.c.geometry).where(images.c.digest == digest)).scalar_one_or_none()
    if found is None:
        raise ImageNotFound("the session's image is gone; upload it again")
    return Geometry(**{name: tuple(values) for name, values in found.items()})


def create(conn: Connection, row: SessionRow, *, request_id: str | None) -> None:
    """Insert a session."""
    values = {name: getattr(row, name) for name in SessionRow.__dataclass_fields__}
    conn.execute(insert(sessions).values(**values | {"expired": int(row.expired), "request_id": request_id}))


def session_row(row: Row[Any]) -> SessionRow:
    """A session from a row that has :data:`SESSION_COLUMNS`, and perhaps more."""
    values = {name: row._mapping[name] for name in SessionRow.__dataclass_fields__}
    return SessionRow(**{**values, "expired": bool(row.expired)})


def find(conn: Connection, session_id: str) -> SessionRow | None:
    """The session of this id, open or not."""
    row = conn.execute(_FIND, {"id_": session_id}).one_or_none()
    return session_row(row) if row else None


def find_by_request(conn: Connection, owner: str, request_id: str) -> SessionRow | None:
    """The session that a call with this id opened."""
    where = and_(sessions.c.owner == owner, sessions.c.request_id == request_id)
    row = conn.execute(select(*SESSION_COLUMNS).where(where)).one_or_none()
    return session_row(row) if row else None


def touch(conn: Connection, session_id: str, *, now: float) -> None:
    """Mark a session as used now."""
    conn.execute(update(sessions).where(sessions.c.id == session_id, sessions.c.ended.is_(None)).values(used=now))


def advance(conn: Connection, session_id: str, *, revision: int, now: float, model: str | None = None) -> bool:
    """Go to the next revision, if the session is open and stands at ``revision``; whether it did."""
    query = _ADVANCE if model is None else _ADVANCE.values(model=model)
    return conn.execute(query, {"id_": session_id, "revision_": revision, "used_": now}).rowcount == 1


def end(conn: Connection, session_id: str, *, now: float) -> None:
    """Close a session, if it is open."""
    conn.execute(update(sessions).where(sessions.c.id == session_id, sessions.c.ended.is_(None)).values(ended=now))


def end_idle(conn: Connection, *, unused_since: float, now: float) -> int:
    """Close the sessions that were not used since then; how many."""
    where = (sessions.c.ended.is_(None), sessions.c.used < unused_since)
    return conn.execute(update(sessions).where(*where).values(ended=now, expired=1)).rowcount


def forget_ended(conn: Connection, *, before: float, tombstones_before: float, most: int) -> bool:
    """Remove the logs of sessions that ended before one moment, and every trace of those before another.

    Args:
        conn: The connection.
        before: Logs go of sessions that ended before it.
        tombstones_before: Of those before it, all goes.
        most: Logs of at most so many sessions go at once: they are large, and others wait to write meanwhile.

    Returns:
        Whether there may be more.
    """
    kept = or_(*(exists().where(table.c.session_id == sessions.c.id) for table in (segments, requests)))
    old = conn.scalars(select(sessions.c.id).where(sessions.c.ended < before, kept).limit(most)).all()
    for table in (segments, requests):
        conn.execute(delete(table).where(table.c.session_id.in_(old)))
    if len(old) < most:
        conn.execute(delete(sessions).where(sessions.c.ended < tombstones_before))
    return len(old) == most


def tick(conn: Connection, *, now: float) -> float | None:
    """Note that a gateway looked at the clock; when one did before, None for the first time."""
    before = conn.execute(select(clock.c.ticked).where(clock.c.id == 1).with_for_update()).scalar_one_or_none()
    if before is None:
        conn.execute(insert(clock).values(id=1, ticked=now))
    else:
        conn.execute(update(clock).where(clock.c.id == 1).values(ticked=now))
    return before


def shift(conn: Connection, seconds: float, *, now: float) -> None:
    """Move all times of last use, up to now: a span in which nobody could use anything does not count."""
    conn.execute(
        update(sessions).where(sessions.c.ended.is_(None)).values(used=_at_most(sessions.c.used + seconds, now))
    )
    conn.execute(update(images).values(used=_at_most(images.c.used + seconds, now)))


def segment_rows(conn: Connection, session_id: str) -> list[SegmentRow]:
    """A session's segments, by number."""
    columns = [segments.c[name] for name in SegmentRow.__dataclass_fields__]
    query = select(*columns).where(segments.c.session_id == session_id).order_by(segments.c.number)
    return [SegmentRow(*row) for row in conn.execute(query)]


def has_segment(conn: Connection, session_id: str, number: int) -> bool:
    """Whether a session has a segment of this number."""
    where = (segments.c.session_id == session_id, segments.c.number == number)
    return conn.execute(select(segments.c.number).where(*where)).one_or_none() is not None


def insert_segment(conn: Connection, session_id: str, row: SegmentRow) -> None:
    """Add a segment."""
    values = {name: getattr(row, name) for name in SegmentRow.__dataclass_fields__}
    conn.execute(insert(segments).values(session_id=session_id, **values))


def rename_segment(conn: Connection, session_id: str, number: int, name: str) -> None:
    """Name a segment; add it when it is not there."""
    where = (segments.c.session_id == session_id, segments.c.number == number)
    if not conn.execute(update(segments).where(*where).values(name=name)).rowcount:
        insert_segment(conn, session_id, SegmentRow(number, name))


def move_head(conn: Connection, session_id: str, segment: int, head: int) -> None:
    """Say which of a segment's steps is the last in force."""
    where = (segments.c.session_id == session_id, segments.c.number == segment)
    conn.execute(update(segments).where(*where).values(head=head))


def find_request(conn: Connection, session_id: str, request_id: str) -> Request | None:
    """What a call with this id did, if it was carried out."""
    row = conn.execute(_FIND_REQUEST, {"id_": session_id, "request_": request_id}).one_or_none()
    return Request(*row) if row else None


def note_requests(conn: Connection, session_id: str, request_ids: Sequence[str], done: Request) -> None:
    """Remember what the calls with these ids did."""
    for request_id in request_ids:
        conn.execute(_REQUEST_INSERT, {"session_id": session_id, "request_id": request_id, **vars(done)})


def _at_most(moment: ColumnElement[float], most: float) -> ColumnElement[float]:
    return case((moment > most, most), else_=moment)
