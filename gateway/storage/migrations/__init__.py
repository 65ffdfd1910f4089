"""Migrations of the tables: alembic, called from Python, without a configuration file."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

__all__ = ["downgrade", "upgrade"]


def upgrade(conn: Connection, *, to: str = "head") -> None:
    """Migrate the tables up to a revision, within the transaction of the connection, which the caller commits.

    Raises:
        alembic.util.CommandError: The tables are at a revision that this version does not know.
    """
    command.upgrade(_config(conn), to)


def downgrade(conn: Connection, *, to: str) -> None:
    """Migrate the tables down to an earlier revision, or to none with ``base``, as :func:`upgrade` does."""
    command.downgrade(_config(conn), to)


def _config(conn: Connection) -> Config:
    config = Config()
    # In a ConfigParser a percent sign starts a reference.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = conn
    return config
