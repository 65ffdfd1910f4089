"""Repositories of the core on the database."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

from gateway.storage.database import Database
from gateway.storage.datasets import SqlDatasetWriter, SqlLearningReader, SqlLearningWriter, SqlTraceReader
from gateway.storage.image_records import SqlImageReader, SqlImageUpkeep, SqlImageWriter
from gateway.storage.jobs import DbosQueue, SqlJobReader, SqlJobUpkeep, SqlJobWriter
from gateway.storage.scopes import AllTenants, TenantScope
from gateway.storage.sessions.session_changes import SqlSessionWriter
from gateway.storage.sessions.session_queries import SqlSessionReader
from gateway.storage.sessions.session_upkeep import SqlSessionUpkeep

__all__ = [
    "SqlMaintenance",
    "SqlRepository",
    "dataset_repository",
    "image_maintenance",
    "image_repository",
    "job_maintenance",
    "job_repository",
    "learning_repository",
    "session_maintenance",
    "session_repository",
]

_Reader = TypeVar("_Reader")
_Writer = TypeVar("_Writer")
_Work = TypeVar("_Work")
_Result = TypeVar("_Result")


class SqlRepository(Generic[_Reader, _Writer]):
    """A :class:`gateway.core.runtime.transactions.Repository` on a database.

    Args:
        database: The database.
        reader: Makes the queries of a scope.
        writer: Makes the queries and changes of a scope.
    """

    def __init__(
        self, database: Database, *, reader: Callable[[TenantScope], _Reader], writer: Callable[[TenantScope], _Writer]
    ) -> None:
        self._database = database
        self._reader = reader
        self._writer = writer

    async def read(self, work: Callable[[_Reader], _Result], *, tenant: str) -> _Result:
        """Run queries on one snapshot: see :meth:`gateway.storage.database.Database.read`."""
        return await self._database.read(lambda conn: work(self._reader(TenantScope(conn, tenant))))

    async def write(self, work: Callable[[_Writer], _Result], *, tenant: str) -> _Result:
        """Run one transaction: see :meth:`gateway.storage.database.Database.write`."""
        return await self._database.write(lambda conn: work(self._writer(TenantScope(conn, tenant))))


class SqlMaintenance(Generic[_Work]):
    """A :class:`gateway.core.runtime.transactions.Maintenance` on a database.

    Args:
        database: The database.
        upkeep: Makes the queries and changes of a scope.
    """

    def __init__(self, database: Database, *, upkeep: Callable[[AllTenants], _Work]) -> None:
        self._database = database
        self._upkeep = upkeep

    async def read(self, work: Callable[[_Work], _Result]) -> _Result:
        """Run queries on one snapshot: see :meth:`gateway.storage.database.Database.read`."""
        return await self._database.read(lambda conn: work(self._upkeep(AllTenants(conn))))

    async def write(self, work: Callable[[_Work], _Result]) -> _Result:
        """Run one transaction: see :meth:`gateway.storage.database.Database.write`."""
        return await self._database.write(lambda conn: work(self._upkeep(AllTenants(conn))))


def session_repository(
    database: Database, *, audited: bool = False
) -> SqlRepository[SqlSessionReader, SqlSessionWriter]:
    """The repository of sessions, their segments and steps; audited if changes are noted in the audit log."""
    return SqlRepository(database, reader=SqlSessionReader, writer=partial(SqlSessionWriter, audited=audited))


def image_repository(database: Database, *, audited: bool = False) -> SqlRepository[SqlImageReader, SqlImageWriter]:
    """The repository of images; audited if changes are noted in the audit log."""
    return SqlRepository(database, reader=SqlImageReader, writer=partial(SqlImageWriter, audited=audited))


def dataset_repository(database: Database, *, audited: bool = False) -> SqlRepository[SqlTraceReader, SqlDatasetWriter]:
    """The repository of datasets and annotations; audited if changes are noted in the audit log."""
    return SqlRepository(database, reader=SqlTraceReader, writer=partial(SqlDatasetWriter, audited=audited))


def learning_repository(
    database: Database, *, audited: bool = False
) -> SqlRepository[SqlLearningReader, SqlLearningWriter]:
    """The repository of learning; audited if changes are noted in the audit log."""
    return SqlRepository(database, reader=SqlLearningReader, writer=partial(SqlLearningWriter, audited=audited))


def session_maintenance(database: Database) -> SqlMaintenance[SqlSessionUpkeep]:
    """The transactions on the sessions of all tenants."""
    return SqlMaintenance(database, upkeep=SqlSessionUpkeep)


def image_maintenance(database: Database) -> SqlMaintenance[SqlImageUpkeep]:
    """The transactions on the images of all tenants."""
    return SqlMaintenance(database, upkeep=SqlImageUpkeep)


def job_repository(
    database: Database, queue: DbosQueue, *, audited: bool = False
) -> SqlRepository[SqlJobReader, SqlJobWriter]:
    """The repository of jobs and their queue; audited if changes are noted in the audit log."""
    return SqlRepository(database, reader=SqlJobReader, writer=partial(SqlJobWriter, queue=queue, audited=audited))


def job_maintenance(database: Database, queue: DbosQueue) -> SqlMaintenance[SqlJobUpkeep]:
    """The transactions of workers."""
    return SqlMaintenance(database, upkeep=partial(SqlJobUpkeep, queue=queue))
