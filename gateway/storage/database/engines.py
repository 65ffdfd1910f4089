"""Engines of SQLAlchemy for SQLite and PostgreSQL, with their limits of time."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError

from sixpoint.errors import InvalidArgument

__all__ = ["postgresql_engine", "sqlite_engine", "with_snapshots"]

_BUSY_MS = 10_000
_CONNECT_S = 5
_STATEMENT_MS = 30_000
_LOCK_MS = 10_000


def sqlite_engine(url: URL, connections: int) -> Engine:
    """An engine for a file of SQLite, with a write-ahead log that is synced at every commit.

    A transaction locks the file as it begins if its connection has the option ``sixpoint_writes``.

    Raises:
        InvalidArgument: The URL names no file.
    """
    if not url.database or url.database == ":memory:":
        raise InvalidArgument("SQLite needs a file: sqlite:////folder/file.db (SIXPOINT_DATABASE_URL)")
    engine = create_engine(url, pool_size=connections, max_overflow=0, connect_args={"timeout": _BUSY_MS / 1000})

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, record: Any) -> None:  # noqa: ARG001
        # The driver begins transactions late, and as readers; this one begins them in the hook below.
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
    def _begin(conn: Connection) -> None:
        # A transaction that first reads and then writes may fail in between, with SQLITE_BUSY, without waiting.
        conn.exec_driver_sql("BEGIN IMMEDIATE" if conn.get_execution_options().get("sixpoint_writes") else "BEGIN")

    return engine


def postgresql_engine(url: URL, connections: int) -> Engine:
    """An engine for PostgreSQL, whose statements and waits for locks end after a while.

    Raises:
        ArgumentError: The URL is of another kind of database.
    """
    if url.get_backend_name() != "postgresql":
        raise ArgumentError("neither SQLite nor PostgreSQL")
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    # A server that vanished is noticed within seconds. Parameters of the URL take precedence.
    timeouts = {
        "connect_timeout": _CONNECT_S,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "tcp_user_timeout": 15_000,
    }
    given = {name: value for name, value in timeouts.items() if name not in url.query}
    engine = create_engine(url, pool_size=connections, max_overflow=0, connect_args=given)

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, record: Any) -> None:  # noqa: ARG001
        connection.execute(f"SET statement_timeout = {_STATEMENT_MS}")
        connection.execute(f"SET lock_timeout = {_LOCK_MS}")
        connection.commit()

    return engine


def with_snapshots(engine: Engine) -> Engine:
    """The engine for reads of PostgreSQL: all queries of one read see one snapshot, as on SQLite."""
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
