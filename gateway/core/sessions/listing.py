"""Lists of open sessions, and of the steps of a session, page by page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.core.sessions.records import Cursor, ModelUse, SegmentRow, SessionRow, StepCursor, StepRow
from gateway.core.sessions.repository import SessionReader
from sixpoint.errors import InvalidArgument, Violation

__all__ = [
    "Session",
    "SessionPage",
    "StepPage",
    "check_page_size",
    "list_page",
    "list_steps",
    "parse_page_token",
    "parse_step_token",
]

_DEFAULT_SIZE = 100
_MAX_SIZE = 1000
# A page ends early when it is large: gRPC's clients take messages of 4 MiB, unless told otherwise.
_MAX_BYTES = 2**21
# Estimate of the bytes of a session in a message; a segment takes an eighth, besides its name.
_ROW_BYTES = 200
# Digits of a segment and of a step.
_MAX_TOKEN = 14
# Sessions whose segments are read at once.
_READ_AT_ONCE = 50


@dataclass(frozen=True)
class Session:
    """A session with its segments.

    Attributes:
        row: Record of the session.
        segments: Records of its segments, by number.
        expires: Time when the session ends unless it is used, seconds since 1970.
    """

    row: SessionRow
    segments: tuple[SegmentRow, ...]
    expires: float


@dataclass(frozen=True)
class SessionPage:
    """A page of an owner's open sessions.

    Attributes:
        sessions: Sessions, the last used first.
        next_token: Token of the next page; empty after the last page.
        total: Number of the owner's sessions on all pages.
        total_all_owners: Number of all owners' sessions.
    """

    sessions: tuple[Session, ...]
    next_token: str
    total: int
    total_all_owners: int


@dataclass(frozen=True)
class StepPage:
    """A page of a session's steps.

    Attributes:
        steps: Steps by segment, then by number, without predictions, and whether each is in force.
        next_token: Token of the next page; empty after the last page.
    """

    steps: Sequence[tuple[StepRow, bool]]
    next_token: str


def check_page_size(size: int, *, default: int = _DEFAULT_SIZE) -> int:
    """The number of entries on a page; 0 asks for the default.

    Raises:
        InvalidArgument: The size is out of range.
    """
    if not 0 <= size <= _MAX_SIZE:
        raise InvalidArgument(
            f"page size {size}; expected 1 to {_MAX_SIZE}, or 0 for {default}",
            violations=(Violation("page_size", f"0 to {_MAX_SIZE}"),),
        )
    return size or default


def parse_page_token(token: str) -> Cursor | None:
    """The cursor in a page token; None for an empty token, which asks for the first page.

    Raises:
        InvalidArgument: The token is not one that this server gave.
    """
    if not token:
        return None
    used, _, session_id = token.partition(" ")
    try:
        return float(used), session_id
    except ValueError:
        raise _unknown_token() from None


def parse_step_token(token: str) -> StepCursor:
    """The cursor in a page token of steps; (0, 0) for an empty token, which asks for the first page.

    Raises:
        InvalidArgument: The token is not one that this server gave.
    """
    if not token:
        return 0, 0
    segment, _, number = token.partition(" ")
    # More digits than a number of a step has are no token, and no number that a database takes.
    if not (segment.isdecimal() and number.isdecimal() and len(token) <= _MAX_TOKEN):
        raise _unknown_token()
    return int(segment), int(number)


def list_page(
    records: SessionReader, owner: str, *, limit: int, after: Cursor | None, use: ModelUse | None, idle: float
) -> SessionPage:
    """A page of an owner's open sessions.

    Args:
        records: Queries of the transaction.
        owner: Name of the owner.
        limit: Largest number of sessions on the page.
        after: Cursor of the page before; None for the first page.
        use: Model that the sessions must use; None for all sessions.
        idle: Seconds after which an unused session ends.
    """
    if use is None:
        rows = records.list_open(owner, after=after, limit=limit + 1)
        total, total_all_owners = records.count_open(owner), records.count_open()
    else:
        # All are read anyway, to be counted.
        using = records.list_using(use)
        # Sorted here, as the cursor is compared here: a database may order ids by the rules of a language.
        owned = sorted((row for row in using if row.owner == owner), key=lambda row: _order(row.used, row.id))
        rows = [row for row in owned if after is None or _order(row.used, row.id) > _order(*after)]
        total, total_all_owners = len(owned), len(using)
    page = _with_segments(records, rows[:limit], idle=idle)
    last = page[-1].row if page else None
    next_token = f"{last.used!r} {last.id}" if last and len(rows) > len(page) else ""
    return SessionPage(tuple(page), next_token, total, total_all_owners)


def list_steps(records: SessionReader, session_id: str, *, segment: int, limit: int, after: StepCursor) -> StepPage:
    """A page of a session's steps.

    Args:
        records: Queries of the transaction.
        session_id: Id of the session.
        segment: Number of the only segment; 0 for all.
        limit: Largest number of steps on the page.
        after: Cursor of the page before.
    """
    rows = {row.number: row for row in records.segments(session_id)}
    steps = records.step_page(session_id, segment=segment or None, after=after, limit=limit, max_bytes=_MAX_BYTES)
    next_token = ""
    if steps:
        last = steps[-1]
        listed = [number for number in rows if not segment or number == segment]
        more = last.number < rows[last.segment].length or any(
            number > last.segment and rows[number].length for number in listed
        )
        next_token = f"{last.segment} {last.number}" if more else ""
    return StepPage([(step, step.number <= rows[step.segment].head) for step in steps], next_token)


def _with_segments(records: SessionReader, rows: Sequence[SessionRow], *, idle: float) -> list[Session]:
    """Sessions with their segments, as many as a page has room for."""
    page: list[Session] = []
    nbytes = 0
    for start in range(0, len(rows), _READ_AT_ONCE):
        block = rows[start : start + _READ_AT_ONCE]
        segments = records.segments_of([row.id for row in block])
        for row in block:
            nbytes += _ROW_BYTES + sum(_ROW_BYTES // 8 + len(each.name.encode()) for each in segments[row.id])
            if page and nbytes > _MAX_BYTES:
                return page
            page.append(Session(row, tuple(segments[row.id]), row.used + idle))
    return page


def _unknown_token() -> InvalidArgument:
    return InvalidArgument(
        "unknown page token; expected next_page_token of the last response",
        violations=(Violation("page_token", "from the last response"),),
    )


def _order(used: float, session_id: str) -> tuple[float, str]:
    """The last used session first, then by id."""
    return -used, session_id
