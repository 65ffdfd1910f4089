"""The steps by which the tables came to be: alembic, called from Python, without a configuration file."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

__all__ = ["downgrade", "upgrade"]


def upgrade(conn: Connection, *, to: str = "head") -> None:
    """Bring the tables up to a revision, within the connection's transaction, which the caller commits.

    Raises:
        alembic.util.CommandError: When the database is at a revision that is not known here.
    """
    command.upgrade(_config(conn), to)


def downgrade(conn: Connection, *, to: str) -> None:
    """Take the tables back to an earlier revision, ``base`` for none; as :func:`upgrade` otherwise."""
    command.downgrade(_config(conn), to)


def _config(conn: Connection) -> Config:
    config = Config()
    # ConfigParser's: a percent sign begins a reference.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = conn
    return config
