"""Errors of the database's driver, as errors of sixpoint."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DataError, DBAPIError, InterfaceError, OperationalError

from sixpoint.errors import InvalidArgument, SixpointError, StorageFull, StorageUnavailable

__all__ = ["is_conflict", "translated"]

_RETRY_S = 1.0
# https://www.sqlite.org/rescode.html; the last is a full disk under the shared memory of SQLite.
_SQLITE_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE}
# https://www.postgresql.org/docs/current/errcodes-appendix.html: disk_full; then serialization_failure,
# deadlock_detected, and unique_violation: another gateway inserted a row after this one had looked for it.
_POSTGRESQL_FULL = "53100"
_POSTGRESQL_CONFLICTS = {"40001", "40P01", "23505"}


def translated(error: DBAPIError) -> SixpointError | DBAPIError:
    """The error for the caller: one of sixpoint, or the error itself if it is a bug."""
    if getattr(error.orig, "sqlite_errorcode", None) in _SQLITE_FULL or _sqlstate(error) == _POSTGRESQL_FULL:
        return StorageFull(
            "the disk of the database is full; nothing was changed. Free space on it, then try again",
            retry_after=_RETRY_S,
        )
    if error.connection_invalidated or isinstance(error, OperationalError | InterfaceError):
        return StorageUnavailable("the database cannot be reached, or is busy; try again", retry_after=_RETRY_S)
    if isinstance(error, DataError):
        # A NUL, for example: SQLite stores it, PostgreSQL does not.
        return InvalidArgument("an id or a name in the request has a character that cannot be stored, such as NUL")
    return error


def is_conflict(error: DBAPIError) -> bool:
    """Whether the transaction was rolled back because of another one, so that it may be tried again."""
    return _sqlstate(error) in _POSTGRESQL_CONFLICTS


def _sqlstate(error: DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)
