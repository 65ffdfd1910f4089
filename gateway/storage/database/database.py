"""The database: transactions on threads, on SQLite or PostgreSQL, with the same statements for both."""

from __future__ import annotations

import asyncio
import fcntl
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from alembic.util import CommandError
from sqlalchemy import Connection, Engine, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from gateway.core.runtime.fairness import FairExecutor
from gateway.core.runtime.process.private_files import make_private_file, make_private_folder, restrict
from gateway.storage.database.engines import postgresql_engine, sqlite_engine, with_snapshots
from gateway.storage.database.errors import is_conflict, translated
from gateway.storage.database.position import Position, PositionMark, advance_position, read_position, report_lost_tail
from gateway.storage.migrations import upgrade
from sixpoint.errors import FailedPrecondition, InvalidArgument, StorageUnavailable

__all__ = ["Database"]

_Result = TypeVar("_Result")

# An arbitrary number that all gateways on one server share.
_MIGRATION_LOCK = 0x5158_9017
_MIGRATION_LOCK_MS = 60_000
_ATTEMPTS = 4
_PAUSE_S = 0.05
_RETRY_S = 1.0


class Database:
    """A database, and the threads that wait for it.

    Args:
        url: URL of SQLAlchemy: ``sqlite:////folder/file.db`` or ``postgresql+psycopg://...``.
        marks: Folder for the file that notes how far a PostgreSQL has come; None for no such file. That of SQLite lies
            beside the database.
        threads: Number of concurrent transactions. SQLite has one writer at a time. Whoever waits is served in turns
            by owner.

    Raises:
        InvalidArgument: The URL is of another kind.
    """

    def __init__(self, url: str, *, marks: Path | None = None, threads: int = 4) -> None:
        try:
            self._url = make_url(url)
            self._sqlite = self._url.get_backend_name() == "sqlite"
            # One connection more than threads, for the writer.
            self._engine = (
                sqlite_engine(self._url, threads + 1) if self._sqlite else postgresql_engine(self._url, threads)
            )
        except (ArgumentError, NoSuchModuleError):
            # The URL itself may hold a password.
            raise InvalidArgument(
                "the URL of the database is not understood; expected sqlite:////folder/file.db or "
                "postgresql+psycopg://user:password@host/name (SIXPOINT_DATABASE_URL)"
            ) from None
        self._mark = PositionMark(self._url, folder=marks)
        self._reading = self._engine if self._sqlite else with_snapshots(self._engine)
        self._threads = FairExecutor(threads, thread_name_prefix="database")
        # SQLite itself polls with growing pauses; this queue is fair, and wakes at once.
        self._writer = FairExecutor(1, thread_name_prefix="database-writer") if self._sqlite else self._threads

    @property
    def queue_url(self) -> str:
        """URL of the database, with its password, for the library that keeps the queue of jobs."""
        return self._url.render_as_string(hide_password=False)

    def queue_engine(self, connections: int) -> Engine:
        """Another engine for the library that keeps the queue of jobs, with so many connections at most."""
        if not self._sqlite:
            return postgresql_engine(self._url, connections)
        # It reads before it writes, so it needs the lock from the beginning: others could write in between.
        return sqlite_engine(self._url, connections).execution_options(sixpoint_writes=True)

    async def start(self) -> None:
        """Migrate the tables to this version; several processes may do so at once.

        A database that lacks its latest transactions is reported in the log.

        Raises:
            StorageUnavailable: The database cannot be reached.
            StorageFull: The disk of the database is full.
            FailedPrecondition: A newer gateway has changed the tables.
        """
        await self._run(self._writer, self._migrate)

    async def check(self) -> None:
        """Ask the database for something small, and note how far it has come.

        Raises:
            StorageUnavailable: The database cannot be reached, or its file is gone.
        """
        await self.read(self._check)
        if not self._sqlite:
            # Each transaction of SQLite notes it itself.
            await self._run(self._threads, self._note_position)

    async def stop(self) -> None:
        """Wait for running transactions, and close all connections."""
        await asyncio.to_thread(self._close)

    async def read(self, work: Callable[[Connection], _Result]) -> _Result:
        """Run queries on one snapshot of the database.

        Args:
            work: Function of the connection, called on a thread; called again when the connection was lost. What it
                writes is rolled back.

        Raises:
            StorageUnavailable: The database cannot be reached.
        """
        return await self._run(self._threads, lambda: self._read(work))

    async def write(self, work: Callable[[Connection], _Result]) -> _Result:
        """Run one transaction: it begins with the first statement, and commits, or rolls back when ``work`` raises.

        If the waiting task is cancelled, the transaction still either commits whole or not at all.

        Args:
            work: Function of the connection, called on a thread. It is called again when the connection was lost, or
                another transaction conflicted, before the commit; so it has no effects besides those on the connection.

        Raises:
            StorageUnavailable: The database cannot be reached, or is locked for too long. If the connection was lost
                during the commit, the transaction may have been committed.
            StorageFull: The disk of the database is full.
        """
        return await self._run(self._writer, lambda: self._write(work))

    async def _run(self, threads: Executor, work: Callable[[], _Result]) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(threads, work)

    def _read(self, work: Callable[[Connection], _Result]) -> _Result:
        for last in _attempts():
            try:
                with self._reading.connect() as conn:
                    return work(conn)
            except DBAPIError as error:
                if last or not _is_retryable(error):
                    raise translated(error) from error
        raise AssertionError("unreachable")

    def _write(self, work: Callable[[Connection], _Result]) -> _Result:
        for last in _attempts():
            committing = False
            position: Position | None = None
            try:
                with self._engine.connect() as conn:
                    if self._sqlite:
                        conn = conn.execution_options(sixpoint_writes=True)
                    changes = self._changes(conn)
                    result = work(conn)
                    if self._changes(conn) != changes:
                        position = advance_position(conn)
                    committing = True
                    conn.commit()
                    if position:
                        self._mark.write(position)
                    return result
            except DBAPIError as error:
                # A commit whose answer was lost may have happened: it must not be done twice.
                if last or not (is_conflict(error) or (_is_retryable(error) and not committing)):
                    raise translated(error) from error
        raise AssertionError("unreachable")

    def _migrate(self) -> None:
        try:
            with self._migration_lock():
                # Before the first transaction, which notes a position of its own.
                noted, position = self._mark.read(), self._read(read_position)
                self._write(self._upgrade)
        except CommandError:
            raise FailedPrecondition(
                "a newer gateway has changed the tables of the database; run that version, or restore a backup"
            ) from None
        except OSError as error:
            raise StorageUnavailable(
                f"the folder of the database cannot be used: {error.strerror} (SIXPOINT_DATABASE_URL)",
                retry_after=_RETRY_S,
            ) from None
        report_lost_tail(noted, position)
        self._note_position()

    def _note_position(self) -> None:
        position = self._read(read_position)
        if position is not None:
            self._mark.write(position)

    def _changes(self, conn: Connection) -> int:
        """Rows that a connection to SQLite has changed so far; PostgreSQL counts transactions by itself."""
        return int(conn.connection.driver_connection.total_changes) if self._sqlite else 0  # type: ignore[union-attr]

    def _check(self, conn: Connection) -> None:
        conn.execute(text("SELECT version_num FROM alembic_version")).all()
        if self._sqlite and not Path(str(self._url.database)).exists():
            # What is open goes on working, and is lost at the next start.
            raise StorageUnavailable("the file of the database is gone (SIXPOINT_DATABASE_URL)", retry_after=_RETRY_S)

    def _upgrade(self, conn: Connection) -> None:
        conn.begin()
        if not self._sqlite:
            # Of several that start at once, one changes the tables, however large they are, and the others wait.
            conn.execute(text("SET LOCAL statement_timeout = 0"))
            conn.execute(text(f"SET LOCAL lock_timeout = {_MIGRATION_LOCK_MS}"))
            conn.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        upgrade(conn)

    @contextmanager
    def _migration_lock(self) -> Iterator[None]:
        if not self._sqlite:
            yield
            return
        path = Path(str(self._url.database))
        if not path.parent.exists():
            make_private_folder(path.parent)
        lock = path.with_name(f"{path.name}.lock")
        # SQLite gives the files beside the database its permissions.
        for private in (path, lock):
            make_private_file(private)
        for beside in ("-wal", "-shm", ".position"):
            restrict(path.with_name(f"{path.name}{beside}"))
        with lock.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _close(self) -> None:
        self._writer.shutdown()
        self._threads.shutdown()
        self._engine.dispose()


def _attempts() -> Iterator[bool]:
    """For each attempt, whether it is the last."""
    for attempt in range(_ATTEMPTS):
        # PostgreSQL lets the loser of a deadlock overtake the winner, and lose again, if it comes back at once.
        time.sleep(random.uniform(0, attempt * _PAUSE_S))
        yield attempt == _ATTEMPTS - 1


def _is_retryable(error: DBAPIError) -> bool:
    # When one connection of the pool is found dead, all are discarded: the next one is new. A failure to connect has no
    # such mark, and is not tried again.
    return error.connection_invalidated or is_conflict(error)
