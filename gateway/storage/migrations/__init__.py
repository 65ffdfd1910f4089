"""Migrations of the tables: alembic, called from Python, without a configuration file."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

__all__ = ["downgrade", "known_revisions", "upgrade"]


def upgrade(conn: Connection, *, to: str = "head") -> None:
    """Migrate the tables up to a revision, within the transaction of the connection, which the caller commits.

    Raises:
        alembic.util.CommandError: The tables are at a revision that this version does not know.
    """
    command.upgrade(_config(conn), to)


def downgrade(conn: Connection, *, to: str) -> None:
    """Migrate the tables down to an earlier revision, or to none with ``base``, as :func:`upgrade` does."""
    command.downgrade(_config(conn), to)


def known_revisions() -> list[str]:
    """Return the revisions of the tables that this version knows, the oldest first."""
    scripts = ScriptDirectory.from_config(_config(None))
    return [script.revision for script in scripts.walk_revisions()][::-1]


def _config(conn: Connection | None) -> Config:
    config = Config()
    # In a ConfigParser a percent sign starts a reference.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = conn
    return config
