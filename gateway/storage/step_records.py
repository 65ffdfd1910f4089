"""Steps in the database: plain functions on a connection; their caller says where a transaction begins and ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter, Connection, LargeBinary, Row, bindparam, delete, insert, literal, select, update

from gateway.storage.schema import segments, steps

__all__ = ["StepRow", "append_step", "copy_steps", "step_rows"]


@dataclass(frozen=True)
class StepRow:
    """One step of a segment.

    Attributes:
        segment: The segment's number.
        number: Its own, from 1.
        begun: Number of the step that began the object.
        revision: The session's, with it.
        prompts: A serialized ``sixpoint.v1.AnnotateRequest`` with its prompts only.
        model: Name of the model that answered.
        model_version: Its version.
        created: When, seconds since 1970, UTC.
        roi: The answer's ROI: its lower and upper corner and its size, three numbers each.
        threshold: Probability from which on a voxel belongs to the object.
        answer: The answer, zstd of uint8 [z, y, x].
    """

    segment: int
    number: int
    begun: int
    revision: int
    prompts: bytes
    model: str
    model_version: str
    created: float
    roi: tuple[tuple[float, ...], tuple[float, ...], tuple[int, ...]]
    threshold: float
    answer: bytes


# Answers are large, and of most steps only the prompts matter.
_STEP_WITHOUT_ANSWER = [
    literal(b"", LargeBinary).label(name) if name == "answer" else steps.c[name]
    for name in StepRow.__dataclass_fields__
]
_STEP = [steps.c[name] for name in StepRow.__dataclass_fields__]
# What every prompt runs is built once.
_ID: BindParameter[str] = bindparam("id_")
_SEGMENT: BindParameter[int] = bindparam("segment_")
_NUMBER: BindParameter[int] = bindparam("number_")
_REDOABLE = delete(steps).where(steps.c.session_id == _ID, steps.c.segment == _SEGMENT, steps.c.number >= _NUMBER)
_LAST_STEP = (
    update(segments)
    .where(segments.c.session_id == _ID, segments.c.number == _SEGMENT)
    .values(head=_NUMBER, length=_NUMBER)
)
_INSERT = insert(steps)


def step_rows(
    conn: Connection,
    session_id: str,
    *,
    segment: int | None = None,
    first: int = 1,
    last: int | None = None,
    answers: bool = True,
) -> list[StepRow]:
    """Steps by segment, then by number: of one segment or all, from ``first`` to ``last``; with empty answers if so."""
    columns = _STEP if answers else _STEP_WITHOUT_ANSWER
    where = [steps.c.session_id == session_id, steps.c.number >= first]
    if segment is not None:
        where.append(steps.c.segment == segment)
    if last is not None:
        where.append(steps.c.number <= last)
    return [
        _step(row) for row in conn.execute(select(*columns).where(*where).order_by(steps.c.segment, steps.c.number))
    ]


def append_step(conn: Connection, session_id: str, row: StepRow, *, redoable: bool) -> None:
    """Add a step after the segment's head, in place of all that could be redone; the segment must be there.

    Args:
        conn: The connection.
        session_id: Whose step it is.
        row: The step.
        redoable: Whether there are steps after the head.
    """
    place = {"id_": session_id, "segment_": row.segment, "number_": row.number}
    if redoable:
        conn.execute(_REDOABLE, place)
    conn.execute(_INSERT, {"session_id": session_id, **vars(row)})
    conn.execute(_LAST_STEP, place)


def copy_steps(conn: Connection, source: str, target: str, *, segment: int, last: int) -> None:
    """Give a session the steps that another's segment has up to ``last``; it has such a segment, without steps."""
    others = [column for column in steps.c if column.name != "session_id"]
    chosen = select(literal(target), *others).where(
        steps.c.session_id == source, steps.c.segment == segment, steps.c.number <= last
    )
    # The answers are large: they stay in the database.
    conn.execute(insert(steps).from_select(["session_id", *(column.name for column in others)], chosen))


def _step(row: Row[Any]) -> StepRow:
    lower, upper, size = row.roi
    return StepRow(**{**row._mapping, "roi": (tuple(lower), tuple(upper), tuple(size))})
