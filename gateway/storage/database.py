"""The database: transactions on threads, off the event loop; SQLite or PostgreSQL, the same statements for both."""

from __future__ import annotations

import asyncio
import fcntl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from alembic.util import CommandError
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from gateway.storage.database_errors import is_conflict, translated
from gateway.storage.migrations import upgrade
from sixpoint.errors import FailedPrecondition, InvalidArgument, StorageUnavailable

__all__ = ["Database"]

_Result = TypeVar("_Result")

# Any constant will do, so long as all gateways on one server name the same one.
_MIGRATION_LOCK = 0x5158_9017
_BUSY_MS = 10_000
_CONNECT_S = 5
_STATEMENT_MS = 30_000
_LOCK_MS = 10_000
_MIGRATION_LOCK_MS = 60_000
_ATTEMPTS = 4
_RETRY_S = 1.0


class Database:
    """One database, and the threads that wait for it.

    Args:
        url: SQLAlchemy's URL: ``sqlite:////folder/file.db`` or ``postgresql+psycopg://...``.
        threads: Transactions at once. On SQLite, which has one writer at a time, those that write queue in order.

    Raises:
        InvalidArgument: When the URL is of no known kind.
    """

    def __init__(self, url: str, *, threads: int = 4) -> None:
        try:
            self._url = make_url(url)
            self._sqlite = self._url.get_backend_name() == "sqlite"
            # One more connection than threads: the writer's.
            self._engine = _sqlite(self._url, threads + 1) if self._sqlite else _postgresql(self._url, threads)
        except (ArgumentError, NoSuchModuleError):
            # The URL itself may hold a password.
            raise InvalidArgument(
                "the database's URL cannot be understood; expected sqlite:////folder/file.db or "
                "postgresql+psycopg://user:password@host/name (SIXPOINT_DATABASE_URL)"
            ) from None
        self._reading = self._engine if self._sqlite else _snapshots(self._engine)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="database")
        # SQLite's own queue is a poll with growing pauses; this one is in order, and wakes at once.
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="database-writer") if self._sqlite else self._threads

    async def start(self) -> None:
        """Bring the tables up to date; several processes may do so at once.

        Raises:
            StorageUnavailable: When the database cannot be reached.
            StorageFull: When its disk is full.
            FailedPrecondition: When a newer gateway has changed it.
        """
        await self._run(self._writer, self._migrate)

    async def stop(self) -> None:
        """Wait for what is running, and close all connections."""
        await asyncio.to_thread(self._close)

    async def read(self, work: Callable[[Connection], _Result]) -> _Result:
        """Run SELECTs on one state of the database.

        Args:
            work: Called on a thread; a second time when the connection was lost. What it writes is undone.

        Raises:
            StorageUnavailable: When the database cannot be reached.
        """
        return await self._run(self._threads, lambda: self._read(work))

    async def write(self, work: Callable[[Connection], _Result]) -> _Result:
        """Run one transaction: committed when ``work`` returned, undone when it raised.

        A task that is cancelled meanwhile leaves a whole transaction, or none.

        Args:
            work: Called on a thread; again when the connection was lost, or another transaction was in the way, before
                anything was committed. It has no effects but those on its connection.

        Raises:
            StorageUnavailable: When the database cannot be reached, or is locked for too long. When the connection was
                lost during the commit itself, the transaction may be there.
            StorageFull: When its disk is full.
        """
        return await self._run(self._writer, lambda: self._write(work))

    async def _run(self, threads: ThreadPoolExecutor, work: Callable[[], _Result]) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(threads, work)

    def _read(self, work: Callable[[Connection], _Result]) -> _Result:
        for last in _attempts():
            try:
                with self._reading.connect() as conn:
                    return work(conn)
            except DBAPIError as error:
                if last or not _worth_again(error):
                    raise translated(error) from error
        raise AssertionError("unreachable")

    def _write(self, work: Callable[[Connection], _Result]) -> _Result:
        for last in _attempts():
            committing = False
            try:
                with self._engine.connect() as conn:
                    if self._sqlite:
                        conn = conn.execution_options(sixpoint_writes=True)
                    with conn.begin():
                        result = work(conn)
                        committing = True
                    return result
            except DBAPIError as error:
                # A commit whose answer was lost may have happened: it is not for us to do it twice.
                if last or not (is_conflict(error) or (_worth_again(error) and not committing)):
                    raise translated(error) from error
        raise AssertionError("unreachable")

    def _migrate(self) -> None:
        try:
            with self._migration_lock():
                self._write(self._upgrade)
        except CommandError:
            raise FailedPrecondition(
                "a newer gateway has changed the database's tables; run that one, or restore a backup"
            ) from None
        except OSError as error:
            raise StorageUnavailable(
                f"the database's folder cannot be used: {error.strerror} (SIXPOINT_DATABASE_URL)", retry_after=_RETRY_S
            ) from None

    def _upgrade(self, conn: Connection) -> None:
        if not self._sqlite:
            conn.execute(text(f"SET LOCAL lock_timeout = {_MIGRATION_LOCK_MS}"))
            conn.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        upgrade(conn)

    @contextmanager
    def _migration_lock(self) -> Iterator[None]:
        if not self._sqlite:
            yield
            return
        path = Path(str(self._url.database))
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_name(f"{path.name}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _close(self) -> None:
        self._writer.shutdown()
        self._threads.shutdown()
        self._engine.dispose()


def _attempts() -> Iterator[bool]:
    for attempt in range(_ATTEMPTS):
        yield attempt == _ATTEMPTS - 1


def _worth_again(error: DBAPIError) -> bool:
    # The pool is emptied when one of its connections is found dead: the next one is new. A connection that could not be
    # made at all has no such mark, and is not tried again.
    return error.connection_invalidated or is_conflict(error)


def _sqlite(url: URL, connections: int) -> Engine:
    if not url.database or url.database == ":memory:":
        raise InvalidArgument("SQLite needs a file: sqlite:////folder/file.db (SIXPOINT_DATABASE_URL)")
    engine = create_engine(url, pool_size=connections, max_overflow=0, connect_args={"timeout": _BUSY_MS / 1000})

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, record: Any) -> None:  # noqa: ARG001
        # The driver begins transactions late, and as readers; ours begin below.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            "journal_size_limit = 67108864",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begun(conn: Connection) -> None:
        # One that reads first and writes later could be refused in between: SQLITE_BUSY, without waiting.
        conn.exec_driver_sql("BEGIN IMMEDIATE" if conn.get_execution_options().get("sixpoint_writes") else "BEGIN")

    return engine


def _postgresql(url: URL, connections: int) -> Engine:
    if url.get_backend_name() != "postgresql":
        raise ArgumentError("no database of ours")
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    # A server that is gone without a word is noticed within seconds; what the URL says holds.
    patience = {
        "connect_timeout": _CONNECT_S,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "tcp_user_timeout": 15_000,
    }
    given = {name: value for name, value in patience.items() if name not in url.query}
    engine = create_engine(url, pool_size=connections, max_overflow=0, connect_args=given)

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, record: Any) -> None:  # noqa: ARG001
        connection.execute(f"SET statement_timeout = {_STATEMENT_MS}")
        connection.execute(f"SET lock_timeout = {_LOCK_MS}")
        connection.commit()

    return engine


def _snapshots(engine: Engine) -> Engine:
    # All SELECTs of one read see one state, as SQLite's do.
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
