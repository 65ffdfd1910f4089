"""Look at a database without changing anything: whether it can be reached, and at which revision its tables are."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, NullPool, create_engine, inspect, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from gateway.storage.database import Database
from gateway.storage.jobs.job_queue import SCHEMA
from gateway.storage.migrations import known_revisions
from sixpoint.errors import StorageUnavailable

__all__ = ["DatabaseState", "database_file", "inspect_database", "sends_unverified"]

_CONNECT_S = 5
_TABLE = "alembic_version"


@dataclass(frozen=True)
class DatabaseState:
    """What a database is like.

    Attributes:
        revision: Revision of its tables; empty for a database without tables.
        known: Revisions that this version knows, the oldest first.
        clock_ahead: Seconds by which the server's clock is ahead of this machine's; None for SQLite.
        encrypted: Whether the connection was encrypted; None for SQLite and for sockets.
        may_queue: Whether the schema of the queue of jobs is there, or its role may make it; that of SQLite always is.
    """

    revision: str
    known: tuple[str, ...]
    clock_ahead: float | None = None
    encrypted: bool | None = None
    may_queue: bool = True


def inspect_database(url: str) -> DatabaseState:
    """Return the state of a database. Nothing is created or migrated.

    Args:
        url: URL of SQLAlchemy, as :class:`~gateway.storage.database.Database` takes it.

    Raises:
        InvalidArgument: The URL is of another kind.
        StorageUnavailable: The database cannot be reached; the message says why, without the password.
    """
    # Connects to nothing, and knows which URLs are good.
    Database(url)
    revisions = tuple(known_revisions())
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return DatabaseState(_sqlite_revision(Path(str(parsed.database))), revisions)
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    timeout = {} if "connect_timeout" in parsed.query else {"connect_timeout": _CONNECT_S}
    engine = create_engine(parsed, poolclass=NullPool, connect_args=timeout)
    try:
        with engine.connect().execution_options(postgresql_readonly=True) as conn:
            return _postgresql_state(conn, revisions)
    except DBAPIError as error:
        raise StorageUnavailable(_reason(error, parsed), retry_after=1.0) from None


def database_file(url: str) -> Path | None:
    """Return the file of a SQLite database; None for a PostgreSQL."""
    parsed = make_url(url)
    return Path(str(parsed.database)) if parsed.get_backend_name() == "sqlite" and parsed.database else None


def sends_unverified(url: str) -> bool:
    """Whether a URL names a PostgreSQL on another machine, without ``sslmode=verify-full``."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "postgresql" or parsed.query.get("sslmode") == "verify-full":
        return False
    named = parsed.query.get("host") or parsed.host or ""
    hosts = named.split(",") if isinstance(named, str) else named
    return not all(_is_here(host.partition(":")[0] if host.count(":") == 1 else host) for host in hosts)


def _is_here(host: str) -> bool:
    # No host, or a folder: a socket of this machine.
    if not host or host.startswith(("/", "@")) or host == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def _sqlite_revision(path: Path) -> str:
    if not path.exists():
        return ""
    # A database that nobody has open is read as it lies there: SQLite would make files beside it.
    options = "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "mode=ro&immutable=1"
    try:
        with contextlib.closing(sqlite3.connect(f"file:{quote(str(path))}?{options}", uri=True)) as conn:
            if not conn.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (_TABLE,)).fetchone():
                return ""
            row = conn.execute(f"SELECT version_num FROM {_TABLE}").fetchone()
            return str(row[0]) if row else ""
    except sqlite3.Error as error:
        raise StorageUnavailable(f"its file cannot be read: {error}", retry_after=1.0) from None


def _postgresql_state(conn: Connection, revisions: tuple[str, ...]) -> DatabaseState:
    before = time.time()
    theirs = float(conn.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())
    ahead = theirs - (before + time.time()) / 2
    query = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    encrypted = bool(conn.execute(text(query)).scalar())
    revision = ""
    if inspect(conn).has_table(_TABLE):
        revision = str(conn.execute(text(f"SELECT version_num FROM {_TABLE}")).scalar() or "")
    query = (
        "SELECT CASE WHEN to_regnamespace(:schema) IS NULL THEN has_database_privilege(current_database(), 'CREATE') "
        "ELSE has_schema_privilege(:schema, 'USAGE') END"
    )
    may_queue = bool(conn.execute(text(query), {"schema": SCHEMA}).scalar())
    return DatabaseState(revision, revisions, ahead, encrypted, may_queue)


def _reason(error: DBAPIError, url: URL) -> str:
    """The driver's own words in one line, without the password."""
    words = re.sub(r"\s+", " ", str(error.orig)).strip()
    if url.password:
        words = words.replace(url.password, "***")
    return words.partition(" Multiple connection attempts failed")[0][:300]
