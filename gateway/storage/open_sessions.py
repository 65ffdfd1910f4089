"""The sessions that are open: how many, whose, and which of them use a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, and_, func, or_, select

from gateway.storage.schema import segments, sessions, steps
from gateway.storage.session_records import SESSION_COLUMNS, SessionRow, session_row

__all__ = ["Place", "Use", "count_open", "list_open", "list_using"]

Place = tuple[float, str]
"""A session's place in a list: when it was used, and its id."""


@dataclass(frozen=True)
class Use:
    """The use of a model by a session: its answer is the present one of a segment, or it would get the next prompt.

    Attributes:
        model: The model's name.
        version: One of its versions; empty: any.
        given: Whether a session of the model, by its id, would be given that version.
    """

    model: str
    version: str
    given: Callable[[str], bool]


def count_open(conn: Connection, owner: str | None = None) -> int:
    """Number of open sessions, of one owner or of all."""
    query = select(func.count()).select_from(sessions).where(sessions.c.ended.is_(None))
    if owner is not None:
        query = query.where(sessions.c.owner == owner)
    return int(conn.execute(query).scalar_one())


def list_open(conn: Connection, owner: str, *, after: Place | None, most: int) -> list[SessionRow]:
    """An owner's open sessions, the last used first.

    Args:
        conn: The connection.
        owner: Whose.
        after: The place of the last one of the page before.
        most: How many at most.
    """
    where = and_(sessions.c.owner == owner, sessions.c.ended.is_(None))
    if after is not None:
        used, last = after
        where = and_(where, or_(sessions.c.used < used, and_(sessions.c.used == used, sessions.c.id > last)))
    query = select(*SESSION_COLUMNS).where(where).order_by(sessions.c.used.desc(), sessions.c.id).limit(most)
    return [session_row(row) for row in conn.execute(query)]


def list_using(conn: Connection, use: Use) -> list[SessionRow]:
    """The open sessions, of all owners, that use a model, in no order."""
    present = and_(
        steps.c.session_id == segments.c.session_id,
        steps.c.segment == segments.c.number,
        steps.c.number == segments.c.head,
    )
    answered = [segments.c.session_id == sessions.c.id, steps.c.model == use.model]
    # A mask that was brought along no version answered.
    answered.append(steps.c.model_version == use.version if use.version else steps.c.model_version != "")
    shows = select(segments.c.number).join(steps, present).where(*answered).exists()
    columns = [*SESSION_COLUMNS, shows.label("shows")]
    query = select(*columns).where(sessions.c.ended.is_(None), or_(sessions.c.model == use.model, shows))
    # Which version a session is given is a hash of its id: not every database can compute that.
    return [
        session_row(row) for row in conn.execute(query) if row.shows or (row.model == use.model and use.given(row.id))
    ]
