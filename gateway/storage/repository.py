"""Repositories of the core on the database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from sqlalchemy import Connection

from gateway.storage.database import Database
from gateway.storage.image_records import SqlImageReader, SqlImageWriter
from gateway.storage.session_changes import SqlSessionWriter
from gateway.storage.session_queries import SqlSessionReader

__all__ = ["SqlRepository", "image_repository", "session_repository"]

_Reader = TypeVar("_Reader")
_Writer = TypeVar("_Writer")
_Result = TypeVar("_Result")


class SqlRepository(Generic[_Reader, _Writer]):
    """A :class:`gateway.core.runtime.transactions.Repository` on a database.

    Args:
        database: The database.
        reader: Makes the queries of a connection.
        writer: Makes the queries and changes of a connection.
    """

    def __init__(
        self, database: Database, *, reader: Callable[[Connection], _Reader], writer: Callable[[Connection], _Writer]
    ) -> None:
        self._database = database
        self._reader = reader
        self._writer = writer

    async def read(self, work: Callable[[_Reader], _Result]) -> _Result:
        """Run queries on one snapshot: see :meth:`gateway.storage.database.Database.read`."""
        return await self._database.read(lambda conn: work(self._reader(conn)))

    async def write(self, work: Callable[[_Writer], _Result]) -> _Result:
        """Run one transaction: see :meth:`gateway.storage.database.Database.write`."""
        return await self._database.write(lambda conn: work(self._writer(conn)))


def session_repository(database: Database) -> SqlRepository[SqlSessionReader, SqlSessionWriter]:
    """The repository of sessions, their segments and steps."""
    return SqlRepository(database, reader=SqlSessionReader, writer=SqlSessionWriter)


def image_repository(database: Database) -> SqlRepository[SqlImageReader, SqlImageWriter]:
    """The repository of images."""
    return SqlRepository(database, reader=SqlImageReader, writer=SqlImageWriter)
