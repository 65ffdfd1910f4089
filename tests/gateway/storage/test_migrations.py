"""Migrations of the tables."""

from __future__ import annotations

import asyncio
import threading

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, select, text

from gateway.core.sessions import EncodedStep
from gateway.storage import Database, session_repository
from gateway.storage.database import engines
from gateway.storage.migrations import downgrade, upgrade
from gateway.storage.schema import metadata, steps
from sixpoint.errors import FailedPrecondition
from tests.gateway.core.sessions.session_process import BOX, Clock, SessionProcess, add_images, answer_of
from tests.support.callers import NOBODY, caller
from tests.support.postgresql import PostgreSQL


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


async def test_a_gateway_waits_for_one_that_migrates_longer_than_a_statement_may_take(
    postgresql: PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Long enough for all other statements, also on a busy machine.
    monkeypatch.setattr(engines, "_STATEMENT_MS", 1000)
    url = postgresql.database()
    first, second = Database(url, threads=1), Database(url, threads=1)
    begun = threading.Event()

    def migrate(conn: Connection) -> None:
        first._upgrade(conn)
        begun.set()
        # What the migration of a large table takes.
        conn.execute(text("SELECT pg_sleep(1.5)"))

    migrating = asyncio.create_task(first.write(migrate))
    await asyncio.to_thread(begun.wait)
    await second.start()
    await migrating
    assert await second.read(differences) == []
    for database in (first, second):
        await database.stop()


async def test_tables_of_a_newer_gateway_are_left_alone(database_url: str) -> None:
    database = Database(database_url)
    await database.start()
    await database.write(lambda conn: conn.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    with pytest.raises(FailedPrecondition, match="newer gateway"):
        await database.start()
    assert "sessions" in await database.read(tables)
    await database.stop()


async def test_forks_get_copies_of_shared_steps_where_older_gateways_look(database_url: str) -> None:
    database = Database(database_url)
    await database.start()
    await add_images(database)
    process = SessionProcess(database, Clock())
    first = (await process.open()).row.id
    for version in "123":
        await process.annotate(first, BOX, version=version, request_id=version)
    second = (await process.sessions.fork(first, principal=caller(""), segment=0, step=0)).row.id
    await process.annotate(second, BOX, version="4")
    # Its own steps 2 and 3 go on for the fork: the next one is stored under another number.
    loaded = await process.history.load(first, 1, principal=NOBODY)
    await process.history.move_head(loaded, 1, await process.state_at(first, 1, 1))
    await process.annotate(first, BOX, version="5")
    logs = {first: ["1", "5"], second: ["1", "2", "3", "4"]}

    await database.write(lambda conn: downgrade(conn, to="0001"))
    columns = (steps.c.session_id, steps.c.number, steps.c.model_version)
    rows = await database.read(lambda conn: conn.execute(select(*columns)).all())
    assert sorted(rows) == sorted(
        (session, number, version) for session, log in logs.items() for number, version in enumerate(log, 1)
    )

    await database.write(upgrade)
    assert await database.read(differences) == []
    again = SessionProcess(database, Clock())
    for session, log in logs.items():
        assert [row.model_version for row, _ in await again.steps(session)] == log
        assert answer_of((await again.history.load(session, 1, principal=NOBODY)).state) == 10 * len(log) + 1
        row = (await again.sessions.get(session, principal=NOBODY)).row
        size = sum(len(step.values["prompts"]) + len(step.values["answer"]) for step in await encoded(again, session))
        assert (row.step_count, row.log_bytes) == (len(log), size + (128 * 3 if session == first else 0))
    await database.stop()


async def encoded(process: SessionProcess, session_id: str) -> list[EncodedStep]:
    repository = session_repository(process.database)
    rows = await repository.read(lambda records: records.steps(session_id), tenant="default")
    return await repository.write(lambda records: [records.encode_step(row) for row in rows], tenant="default")
