"""What a database's driver raises, as errors of the one tree."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DataError, DBAPIError, InterfaceError, OperationalError

from sixpoint.errors import InvalidArgument, SixpointError, StorageFull, StorageUnavailable

__all__ = ["is_conflict", "translated"]

_RETRY_S = 1.0
# https://www.sqlite.org/rescode.html; the last is a full disk under the memory that SQLite's processes share.
_SQLITE_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE}
# https://www.postgresql.org/docs/current/errcodes-appendix.html: disk_full; then serialization_failure,
# deadlock_detected, and unique_violation: another gateway inserted the row that was looked for just before.
_POSTGRESQL_FULL = "53100"
_POSTGRESQL_CONFLICTS = {"40001", "40P01", "23505"}


def translated(error: DBAPIError) -> SixpointError | DBAPIError:
    """An error for the caller: of the tree, or the error itself, which is then a fault of ours."""
    if getattr(error.orig, "sqlite_errorcode", None) in _SQLITE_FULL or _sqlstate(error) == _POSTGRESQL_FULL:
        return StorageFull(
            "the database's disk is full; nothing was changed. Free space on it, then try again", retry_after=_RETRY_S
        )
    if error.connection_invalidated or isinstance(error, OperationalError | InterfaceError):
        return StorageUnavailable("the database cannot be reached, or is busy; try again", retry_after=_RETRY_S)
    if isinstance(error, DataError):
        # A NUL, say, which PostgreSQL keeps in no text; SQLite does.
        return InvalidArgument("an id or a name in the request holds characters that no database keeps, such as NUL")
    return error


def is_conflict(error: DBAPIError) -> bool:
    """Whether the transaction was undone because of another one, so that it may be tried again."""
    return _sqlstate(error) in _POSTGRESQL_CONFLICTS


def _sqlstate(error: DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)
