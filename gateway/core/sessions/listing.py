"""Lists of open sessions, page by page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.core.sessions.records import Cursor, ModelUse, SessionRow
from gateway.core.sessions.repository import SessionReader
from sixpoint.errors import InvalidArgument, Violation

__all__ = ["PageRows", "check_page_size", "list_page", "parse_page_token"]

_DEFAULT_SIZE = 100
_MAX_SIZE = 1000


@dataclass(frozen=True)
class PageRows:
    """A page of an owner's open sessions.

    Attributes:
        rows: Records of the sessions, the last used first.
        next_token: Token of the next page; empty after the last page.
        total: Number of the owner's sessions on all pages.
        total_all_owners: Number of all owners' sessions.
    """

    rows: Sequence[SessionRow]
    next_token: str
    total: int
    total_all_owners: int


def check_page_size(size: int) -> int:
    """The number of sessions on a page; 0 asks for the default.

    Raises:
        InvalidArgument: The size is out of range.
    """
    if not 0 <= size <= _MAX_SIZE:
        raise InvalidArgument(
            f"page size {size}; expected 1 to {_MAX_SIZE}, or 0 for {_DEFAULT_SIZE}",
            violations=(Violation("page_size", f"0 to {_MAX_SIZE}"),),
        )
    return size or _DEFAULT_SIZE


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
        raise InvalidArgument(
            "unknown page token; expected next_page_token of the last response",
            violations=(Violation("page_token", "from the last response"),),
        ) from None


def list_page(
    records: SessionReader, owner: str, *, limit: int, after: Cursor | None, use: ModelUse | None
) -> PageRows:
    """A page of an owner's open sessions.

    Args:
        records: Queries of the transaction.
        owner: Name of the owner.
        limit: Largest number of sessions on the page.
        after: Cursor of the page before; None for the first page.
        use: Model that the sessions must use; None for all sessions.
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
    next_token = f"{rows[limit - 1].used!r} {rows[limit - 1].id}" if len(rows) > limit else ""
    return PageRows(rows[:limit], next_token, total, total_all_owners)


def _order(used: float, session_id: str) -> tuple[float, str]:
    """The last used session first, then by id."""
    return -used, session_id
