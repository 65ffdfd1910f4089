"""Migrations of the tables."""

from __future__ import annotations

import asyncio

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, text

from gateway.storage import Database
from gateway.storage.migrations import downgrade, upgrade
from gateway.storage.schema import metadata
from sixpoint.errors import FailedPrecondition


def differences(conn: Connection) -> list[object]:
    return compare_metadata(MigrationContext.configure(conn, opts={"compare_type": True}), metadata)


def tables(conn: Connection) -> set[str]:
    return set(inspect(conn).get_table_names())


async def test_migrations_create_the_tables_of_the_schema_and_can_be_undone(database_url: str) -> None:
    database = Database(database_url)
    await database.start()
    assert await database.read(differences) == []
    await database.write(lambda conn: downgrade(conn, to="base"))
    assert await database.read(tables) == {"alembic_version"}
    await database.write(upgrade)
    assert await database.read(differences) == []
    await database.stop()


async def test_several_gateways_may_start_at_once(database_url: str) -> None:
    databases = [Database(database_url, threads=1) for _ in range(6)]
    await asyncio.gather(*(database.start() for database in databases))
    assert await databases[0].read(differences) == []
    for database in databases:
        await database.stop()


async def test_tables_of_a_newer_gateway_are_left_alone(database_url: str) -> None:
    database = Database(database_url)
    await database.start()
    await database.write(lambda conn: conn.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    with pytest.raises(FailedPrecondition, match="newer gateway"):
        await database.start()
    assert "sessions" in await database.read(tables)
    await database.stop()
