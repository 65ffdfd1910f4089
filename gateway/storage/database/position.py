"""How far a database has come, noted outside of it, so that a database that lost its tail is reported at start."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL, Connection, text
from sqlalchemy.exc import DBAPIError

from gateway.core.runtime.process.private_files import make_private_folder

__all__ = ["Position", "PositionMark", "advance_position", "read_position", "report_lost_tail"]

_log = logging.getLogger(__name__)

# SQLite's PRAGMA user_version, which is free for applications, is a signed number of 32 bits.
_MAX_COUNT = 2**31 - 1
# After a crash PostgreSQL uses ids of transactions again that were rolled back just before it.
_POSTGRESQL_SLACK = 50
_POSTGRESQL = text(
    "SELECT txid_snapshot_xmin(txid_current_snapshot()), (SELECT system_identifier FROM pg_control_system())"
)


@dataclass(frozen=True)
class Position:
    """How far a database has come.

    Attributes:
        count: Number that grows with the transactions that change the database.
        server: Identity of the database's server, which numbers of other servers are not compared with.
    """

    count: int
    server: str


class PositionMark:
    """A file that holds the last position that was seen.

    Args:
        url: URL of the database. The file of SQLite lies beside the database.
        folder: Folder for the file of PostgreSQL; None for no file.
    """

    def __init__(self, url: URL, *, folder: Path | None) -> None:
        name = hashlib.sha256(url.render_as_string(hide_password=True).encode()).hexdigest()[:16]
        self._path = folder / f"database-{name}.position" if folder else None
        if url.get_backend_name() == "sqlite":
            self._path = Path(f"{url.database}.position")

    def read(self) -> Position | None:
        """The position in the file; None without a readable one."""
        if self._path is None:
            return None
        try:
            count, server = self._path.read_text("ascii").splitlines()[:2]
            return Position(int(count), server.strip())
        except (OSError, ValueError):
            return None

    def write(self, position: Position) -> None:
        """Put a position into the file. It is not flushed to the disk: an older position is no false alarm."""
        if self._path is None:
            return
        # A transaction that is committed does not fail for its mark.
        with contextlib.suppress(OSError):
            if not self._path.parent.exists():
                make_private_folder(self._path.parent)
            number = os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            try:
                # Of one width, so that the shorter of two positions leaves nothing of the longer one.
                os.pwrite(number, f"{position.count:020d}\n{position.server:<20}\n".encode("ascii"), 0)
            finally:
                os.close(number)


def read_position(conn: Connection) -> Position | None:
    """The position of a database; None if the server does not permit the query."""
    if conn.dialect.name == "sqlite":
        return Position(int(conn.exec_driver_sql("PRAGMA user_version").scalar_one()), "")
    try:
        count, server = conn.execute(_POSTGRESQL).one()
    except DBAPIError:
        # Not every server may be asked for its identity.
        return None
    return Position(int(count), str(server))


def advance_position(conn: Connection) -> Position:
    """Count a transaction that changes a SQLite database; PostgreSQL counts its transactions itself."""
    count = int(conn.exec_driver_sql("PRAGMA user_version").scalar_one()) % _MAX_COUNT + 1
    conn.exec_driver_sql(f"PRAGMA user_version = {count}")
    return Position(count, "")


def report_lost_tail(noted: Position | None, position: Position | None) -> None:
    """Log a warning if a database is behind the position that was noted."""
    if noted is None or position is None or noted.server != position.server:
        return
    lost = noted.count - position.count
    if lost > (_POSTGRESQL_SLACK if position.server else 0):
        _log.warning(
            "the database lacks its latest transactions: it is an older copy, or files beside it were lost. Sessions, "
            "prompts and images since then are missing. Unless this is on purpose, stop the gateway and restore the "
            "newest copy. Blobs are kept; an image without a record is known again once it is uploaded again",
            extra={"lost_transactions": lost},
        )
