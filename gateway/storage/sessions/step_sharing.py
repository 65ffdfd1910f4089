"""Share steps between a session and its forks: point to rows, keep those in use, delete the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from sqlalchemy import (
    ColumnElement,
    and_,
    case,
    delete,
    exists,
    func,
    insert,
    literal,
    select,
    tuple_,
    update,
)

from gateway.core.sessions import SegmentRow
from gateway.storage.schema import requests, segments, sessions, shared_steps, steps
from gateway.storage.scopes import Scope
from gateway.storage.sessions.visible_steps import is_shared, is_shown_by_owner

__all__ = ["delete_unused", "drop_redoable", "has_own_history", "share_steps"]

_KEY = (steps.c.session_id, steps.c.segment, steps.c.number)
# What is deleted in one transaction: on SQLite all other writers wait for it, a second for 100 MiB on a busy machine.
_MAX_DELETED = 1000
_MAX_DELETED_BYTES = 8 * 2**20
_SIZE = func.length(steps.c.prompts) + func.length(steps.c.answer)


def share_steps(scope: Scope, source: str, target: str, rows: Sequence[SegmentRow]) -> int:
    """Add segments to a new session, with the steps of another session's segments up to their lengths.

    Args:
        scope: Scope in a transaction that holds the lock on the other session.
        source: Id of the other session.
        target: Id of the new session.
        rows: Segments of the new session.

    Returns:
        Number of rows added.
    """
    if not rows:
        return 0
    scope.execute(insert(segments), [{"session_id": target, **vars(row)} for row in rows])
    length = (scope.of(segments), segments.c.session_id == target, segments.c.number == shared_steps.c.segment)
    columns = [column.name for column in shared_steps.c]
    shared = (
        select(
            shared_steps.c.tenant,
            literal(target),
            shared_steps.c.segment,
            shared_steps.c.first,
            case((shared_steps.c.last < segments.c.length, shared_steps.c.last), else_=segments.c.length),
            shared_steps.c.source_id,
            shared_steps.c.number_offset,
        )
        .join_from(shared_steps, segments, and_(*length))
        .where(scope.of(shared_steps), shared_steps.c.session_id == source, shared_steps.c.first <= segments.c.length)
    )
    scope.execute(insert(shared_steps).from_select(columns, shared))
    theirs = segments.alias()
    first = (
        select(func.coalesce(func.max(shared_steps.c.last), 0) + 1)
        .where(scope.of(shared_steps), shared_steps.c.session_id == source, shared_steps.c.segment == theirs.c.number)
        .scalar_subquery()
    )
    own = (
        select(
            theirs.c.tenant,
            literal(target),
            theirs.c.number,
            first,
            segments.c.length,
            theirs.c.session_id,
            theirs.c.number_offset,
        )
        .join_from(theirs, segments, and_(segments.c.session_id == target, segments.c.number == theirs.c.number))
        .where(scope.of(theirs), scope.of(segments), theirs.c.session_id == source, segments.c.length >= first)
    )
    scope.execute(insert(shared_steps).from_select(columns, own))
    ranges = select(func.count()).select_from(shared_steps)
    ranges = ranges.where(scope.of(shared_steps), shared_steps.c.session_id == target)
    return len(rows) + int(scope.execute(ranges).scalar_one())


def drop_redoable(scope: Scope, session_id: str, segment: int, *, after: int) -> int:
    """Drop the steps of a segment after one of them; rows that a fork shares stay for the fork.

    Where they are many, some rows are deleted later: with the next steps that are dropped, or with the session.

    Returns:
        Bytes of the session's log that this released.
    """
    place = (scope.of(segments), segments.c.session_id == session_id, segments.c.number == segment)
    offset, length = scope.execute(select(segments.c.number_offset, segments.c.length).where(*place)).one()
    ranges = (scope.of(shared_steps), shared_steps.c.session_id == session_id, shared_steps.c.segment == segment)
    sources = set(scope.scalars(select(shared_steps.c.source_id).where(*ranges, shared_steps.c.last > after)))
    if sources:
        scope.execute(delete(shared_steps).where(*ranges, shared_steps.c.first > after))
        scope.execute(update(shared_steps).where(*ranges, shared_steps.c.last > after).values(last=after))
    in_use = scope.execute(
        select(func.max(shared_steps.c.last)).where(
            scope.of(shared_steps),
            shared_steps.c.source_id == session_id,
            shared_steps.c.segment == segment,
            shared_steps.c.number_offset == offset,
        )
    ).scalar_one()
    own = (
        scope.of(steps),
        steps.c.session_id == session_id,
        steps.c.segment == segment,
        steps.c.number > offset + after,
    )
    released, more = _delete_some(scope, *own, ~is_shared(scope))
    if more or (in_use is not None and in_use > after):
        # The next step cannot have the number of a row that a fork shares, or that is deleted later: this session goes
        # on under higher ones, and shares its own steps so far.
        first = scope.execute(select(func.coalesce(func.max(shared_steps.c.last), 0) + 1).where(*ranges)).scalar_one()
        if first <= after:
            values = {"session_id": session_id, "segment": segment, "first": first, "last": after}
            scope.execute(insert(shared_steps).values(**values, source_id=session_id, number_offset=offset))
        scope.execute(update(segments).where(*place).values(number_offset=offset + length))
    if offset:
        # What was left to be deleted later.
        sources.add(session_id)
    if sources:
        released += delete_unused(scope, sources)[0]
    return released[session_id]


def delete_unused(scope: Scope, session_ids: Collection[str]) -> tuple[Counter[str], bool]:
    """Delete some steps of sessions that no session shows any more, and the emptied segments of those that ended.

    Returns:
        Bytes that this released of each session's log, and whether there may be more to delete.
    """
    unused = (scope.of(steps), steps.c.session_id.in_(session_ids), ~is_shared(scope), ~is_shown_by_owner(scope))
    released, more = _delete_some(scope, *unused)
    has_steps = exists().where(
        scope.of(steps), steps.c.session_id == segments.c.session_id, steps.c.segment == segments.c.number
    )
    ended = exists().where(scope.of(sessions), sessions.c.id == segments.c.session_id, sessions.c.ended.is_not(None))
    of_sessions = (scope.of(segments), segments.c.session_id.in_(session_ids))
    scope.execute(delete(segments).where(*of_sessions, ended, ~_is_source(scope), ~has_steps))
    ended_sessions = update(sessions).where(
        scope.of(sessions), sessions.c.id.in_(session_ids), sessions.c.ended.is_not(None)
    )
    if more:
        scope.execute(ended_sessions.values(step_count=1))
    else:
        # What a session counts for segments and requests is released, too.
        left = select(func.coalesce(func.sum(_SIZE), 0)).where(scope.of(steps), steps.c.session_id == sessions.c.id)
        scope.execute(ended_sessions.values(step_count=0, log_bytes=left.scalar_subquery()))
    return released, more


def has_own_history(scope: Scope) -> ColumnElement[bool]:
    """Whether a session has what nobody needs once it has ended; part of a query on ``sessions``."""
    unshared = exists().where(scope.of(segments), segments.c.session_id == sessions.c.id, ~_is_source(scope))
    asked = exists().where(scope.of(requests), requests.c.session_id == sessions.c.id)
    shares = exists().where(scope.of(shared_steps), shared_steps.c.session_id == sessions.c.id)
    # The count of an ended session is set to 0 once all of its steps are deleted that nobody shares.
    return (sessions.c.step_count > 0) | unshared | asked | shares


def _delete_some(scope: Scope, *where: ColumnElement[bool]) -> tuple[Counter[str], bool]:
    """Delete steps, as many as one transaction may.

    Returns:
        Bytes that this released of each session's log, and whether there are more.
    """
    rows = scope.execute(select(*_KEY, _SIZE).where(*where).limit(_MAX_DELETED + 1)).all()
    chosen: list[tuple[str, int, int]] = []
    nbytes = 0
    for session_id, segment, number, size in rows[:_MAX_DELETED]:
        nbytes += size
        if chosen and nbytes > _MAX_DELETED_BYTES:
            break
        chosen.append((session_id, segment, number))
    released: Counter[str] = Counter()
    if chosen:
        # Another transaction may have deleted some of them meanwhile: their bytes are released once.
        deleted = delete(steps).where(scope.of(steps), tuple_(*_KEY).in_(chosen)).returning(steps.c.session_id, _SIZE)
        for session_id, size in scope.execute(deleted):
            released[session_id] += size
    for session_id, size in released.items():
        _release(scope, session_id, size)
    return released, len(rows) > len(chosen)


def _is_source(scope: Scope) -> ColumnElement[bool]:
    """Whether a session shares steps of a segment; part of a query on ``segments``."""
    return exists().where(
        scope.of(shared_steps),
        shared_steps.c.source_id == segments.c.session_id,
        shared_steps.c.segment == segments.c.number,
    )


def _release(scope: Scope, session_id: str, nbytes: int) -> None:
    if nbytes:
        query = update(sessions).where(scope.of(sessions), sessions.c.id == session_id)
        scope.execute(query.values(log_bytes=sessions.c.log_bytes - nbytes))
