"""Lists of open sessions, page by page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.core.sessions.records import Cursor, ModelUse, SessionRow
from gateway.core.sessions.repository import SessionReader
from sixpoint.errors import InvalidArgument, Violation

__all__ = ["PageRows", "check_page_size", "list_page", "parse_page_token"]

_PAGE = 100
_MOST_PAGE = 1000


@dataclass(frozen=True)
class PageRows:
    """A page's sessions, the token of the next one, and how many there are: of the owner, and of all owners."""

    rows: Sequence[SessionRow]
    next_token: str
    total: int
    total_all_owners: int


def check_page_size(size: int) -> int:
    """How many sessions a page has at most.

    Raises:
        InvalidArgument: When it is no page's size.
    """
    if not 0 <= size <= _MOST_PAGE:
        raise InvalidArgument(
            f"page size {size}; expected 1 to {_MOST_PAGE}, or 0 for {_PAGE}",
            violations=(Violation("page_size", f"0 to {_MOST_PAGE}"),),
        )
    return size or _PAGE


def parse_page_token(token: str) -> Cursor | None:
    """The place after which a page begins; None: at the first.

    Raises:
        InvalidArgument: When it is no token.
    """
    if not token:
        return None
    used, _, last = token.partition(" ")
    try:
        return float(used), last
    except ValueError:
        raise InvalidArgument(
            "the page token is none of this server's", violations=(Violation("page_token", "from the last response"),)
        ) from None


def list_page(
    records: SessionReader, owner: str, *, limit: int, after: Cursor | None, use: ModelUse | None
) -> PageRows:
    """A page of an owner's open sessions.

    Args:
        records: Queries of the transaction.
        owner: Whose.
        limit: Largest number of sessions on the page.
        after: The place of the last one of the page before.
        use: Which a session must make of a model; None: whatever it uses.
    """
    if use is None:
        rows = records.list_open(owner, after=after, limit=limit + 1)
        total, everybodys = records.count_open(owner), records.count_open()
    else:
        # All are looked at anyway, to be counted.
        using = records.list_using(use)
        # Sorted here, where the next page is found, too: a database may order ids by the rules of some language.
        owned = sorted((row for row in using if row.owner == owner), key=lambda row: _order(row.used, row.id))
        rows = [row for row in owned if after is None or _order(row.used, row.id) > _order(*after)]
        total, everybodys = len(owned), len(using)
    token = f"{rows[limit - 1].used!r} {rows[limit - 1].id}" if len(rows) > limit else ""
    return PageRows(rows[:limit], token, total, everybodys)


def _order(used: float, session_id: str) -> tuple[float, str]:
    """The last used first."""
    return -used, session_id
