"""Which rows of steps a session shows: its own, and those that it shares with the session it was forked from.

A row is stored once, under the session that made it, and never changes. Its number in a segment is the stored one minus
an offset: of its own rows the segment's, of shared rows that of their range.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, CompoundSelect, and_, exists, or_, select, union_all

from gateway.storage.schema import segments, sessions, shared_steps, steps
from gateway.storage.scopes import Scope

__all__ = ["Columns", "head_is_by", "is_shared", "is_shown_by_owner", "select_steps"]

_Offset: TypeAlias = ColumnElement[int]
Columns: TypeAlias = Callable[[_Offset], Sequence[ColumnElement[Any]]]
"""Columns or conditions of steps, as a function of the offset: the stored number minus the number in the segment."""


def select_steps(scope: Scope, session_id: str, columns: Columns, *, where: Columns) -> CompoundSelect[Any]:
    """Query for the steps that a session shows.

    Args:
        scope: Scope in which the query runs.
        session_id: Id of the session.
        columns: Columns to select.
        where: Further conditions. Those on numbers compare ``steps.number`` itself, so that the index is used.
    """
    offset = segments.c.number_offset
    own = (
        select(*columns(offset))
        .join_from(segments, steps, _of(segments.c.session_id, segments.c.number))
        .where(
            scope.of(segments),
            scope.of(steps),
            segments.c.session_id == session_id,
            steps.c.number > offset,
            *where(offset),
        )
    )
    offset = shared_steps.c.number_offset
    shared = (
        select(*columns(offset))
        .join_from(shared_steps, steps, _of(shared_steps.c.source_id, shared_steps.c.segment))
        .where(
            scope.of(shared_steps),
            scope.of(steps),
            shared_steps.c.session_id == session_id,
            _in_range(),
            *where(offset),
        )
    )
    return union_all(own, shared)


def head_is_by(scope: Scope, model: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether the step at a segment's head fulfils a condition; part of a query on ``sessions``."""
    own = (
        select(segments.c.number)
        .join_from(segments, steps, _of(segments.c.session_id, segments.c.number))
        .where(
            scope.of(segments),
            scope.of(steps),
            segments.c.head > 0,
            steps.c.number == segments.c.head + segments.c.number_offset,
        )
    )
    shared = (
        select(segments.c.number)
        .join_from(
            segments,
            shared_steps,
            and_(
                shared_steps.c.session_id == segments.c.session_id,
                shared_steps.c.segment == segments.c.number,
                segments.c.head.between(shared_steps.c.first, shared_steps.c.last),
            ),
        )
        .join(steps, _of(shared_steps.c.source_id, shared_steps.c.segment))
        .where(scope.of(segments), scope.of(shared_steps), scope.of(steps))
        .where(steps.c.number == segments.c.head + shared_steps.c.number_offset)
    )
    of_session = segments.c.session_id == sessions.c.id
    return or_(*(query.where(of_session, model).correlate(sessions).exists() for query in (own, shared)))


def is_shared(scope: Scope) -> ColumnElement[bool]:
    """Whether a row of ``steps`` is in a range that a session shares; part of a query on ``steps``."""
    return exists().where(
        scope.of(shared_steps),
        shared_steps.c.source_id == steps.c.session_id,
        shared_steps.c.segment == steps.c.segment,
        _in_range(),
    )


def is_shown_by_owner(scope: Scope) -> ColumnElement[bool]:
    """Whether a row of ``steps`` is one of its open session's own; part of a query on ``steps``."""
    return exists().where(
        scope.of(segments),
        scope.of(sessions),
        segments.c.session_id == steps.c.session_id,
        segments.c.number == steps.c.segment,
        steps.c.number > segments.c.number_offset,
        sessions.c.id == steps.c.session_id,
        sessions.c.ended.is_(None),
    )


def _of(session_id: ColumnElement[str], segment: ColumnElement[int]) -> ColumnElement[bool]:
    return and_(steps.c.session_id == session_id, steps.c.segment == segment)


def _in_range() -> ColumnElement[bool]:
    offset = shared_steps.c.number_offset
    return steps.c.number.between(shared_steps.c.first + offset, shared_steps.c.last + offset)
