"""Transactions on real databases."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, delete, func, insert, select, text

from gateway.storage import Database
from gateway.storage.schema import clock, segments, sessions
from gateway.storage.scopes import TenantScope
from gateway.storage.sessions.session_queries import SqlSessionReader
from sixpoint.errors import InvalidArgument, StorageFull, StorageUnavailable
from tests.support.disks import small_disk
from tests.support.postgresql import PostgreSQL


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    await database.start()
    yield database
    await database.stop()


def tick(conn: Connection, number: int = 1) -> int:
    conn.execute(insert(clock).values(id=number, ticked=0.0))
    return number


def ticks(conn: Connection) -> int:
    return conn.execute(select(func.count()).select_from(clock)).scalar_one()


async def test_what_is_written_is_read(database: Database) -> None:
    assert await database.write(tick) == 1
    assert await database.read(ticks) == 1


async def test_a_transaction_that_raises_changes_nothing(database: Database) -> None:
    def work(conn: Connection) -> None:
        tick(conn)
        raise KeyError

    with pytest.raises(KeyError):
        await database.write(work)
    assert await database.read(ticks) == 0


async def test_what_comes_before_the_first_statement_keeps_no_writer_waiting(
    database: Database, database_url: str
) -> None:
    other, loop = Database(database_url), asyncio.get_running_loop()

    def work(conn: Connection) -> int:
        asyncio.run_coroutine_threadsafe(other.write(lambda conn: tick(conn, 2)), loop).result(5)
        return tick(conn, 1)

    assert await database.write(work) == 1
    assert await database.read(ticks) == 2
    await other.stop()


async def test_a_cancelled_write_commits_whole_or_not_at_all(database: Database) -> None:
    inside, go_on, done = threading.Event(), threading.Event(), threading.Event()

    def work(conn: Connection) -> None:
        tick(conn, 1)
        inside.set()
        go_on.wait(10)
        tick(conn, 2)
        done.set()

    task = asyncio.create_task(database.write(work))
    await asyncio.to_thread(inside.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await database.read(ticks) == 0
    go_on.set()
    await asyncio.to_thread(done.wait, 10)
    # Behind the first on SQLite; beside it on PostgreSQL, whose commit may take a moment longer.
    await database.write(lambda conn: tick(conn, 3))
    while await database.read(ticks) != 3:
        await asyncio.sleep(0.01)


async def test_a_read_sees_one_snapshot(database: Database) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def work(conn: Connection) -> tuple[int, int]:
        before = ticks(conn)
        inside.set()
        go_on.wait(10)
        return before, ticks(conn)

    reading = asyncio.create_task(database.read(work))
    await asyncio.to_thread(inside.wait, 10)
    await database.write(tick)
    go_on.set()
    assert await reading == (0, 0)


async def test_writers_of_two_gateways_lose_no_update(database: Database, database_url: str) -> None:
    other = Database(database_url)
    await other.start()
    await database.write(tick)

    def add(conn: Connection) -> None:
        ticked = conn.execute(select(clock.c.ticked).where(clock.c.id == 1).with_for_update()).scalar_one()
        conn.execute(clock.update().where(clock.c.id == 1).values(ticked=ticked + 1))

    await asyncio.gather(*(one.write(add) for one in [database, other] * 20))
    await other.stop()
    assert await database.read(lambda conn: conn.execute(select(clock.c.ticked)).scalar_one()) == 40


async def test_a_deadlock_is_tried_again(postgresql: PostgreSQL) -> None:
    database = Database(postgresql.database())
    await database.start()
    await database.write(lambda conn: tick(conn, 1) + tick(conn, 2))
    barrier = threading.Barrier(2)
    first_time, runs = {1, 2}, []

    def work(one: int, other: int, conn: Connection) -> None:
        runs.append(one)
        conn.execute(clock.update().where(clock.c.id == one).values(ticked=one))
        if one in first_time:
            first_time.remove(one)
            barrier.wait(10)
        conn.execute(clock.update().where(clock.c.id == other).values(ticked=one))

    await asyncio.gather(database.write(lambda conn: work(1, 2, conn)), database.write(lambda conn: work(2, 1, conn)))
    assert len(runs) == 3, "one of the two was undone, and made again"
    last = await database.read(lambda conn: conn.execute(select(clock.c.ticked)).scalars().all())
    assert set(last) == {runs[-1]}, "what came last holds, whole"
    await database.stop()


async def test_a_text_that_postgresql_cannot_store_is_an_invalid_argument(postgresql: PostgreSQL) -> None:
    database = Database(postgresql.database())
    await database.start()
    with pytest.raises(InvalidArgument, match="such as NUL"):
        await database.read(lambda conn: SqlSessionReader(TenantScope(conn, "default")).session("a\0b"))
    await database.stop()


async def test_of_two_transactions_that_insert_one_row_the_later_one_runs_again(postgresql: PostgreSQL) -> None:
    database = Database(postgresql.database())
    await database.start()
    barrier, looked = threading.Barrier(2), []

    def work(conn: Connection) -> bool:
        found = conn.execute(select(clock.c.id).where(clock.c.id == 1)).one_or_none()
        looked.append(found)
        if len(looked) <= 2:
            barrier.wait(10)
        if found is None:
            conn.execute(insert(clock).values(id=1, ticked=0))
        return found is None

    made = await asyncio.gather(database.write(work), database.write(work))
    assert sorted(made) == [False, True]
    assert len(looked) == 3
    await database.stop()


async def test_segments_are_deleted_with_their_session(database: Database) -> None:
    def fill(conn: Connection) -> None:
        row = {"id": "s", "owner": "", "image_digest": "0", "model": "m", "revision": 0, "created": 0, "used": 0}
        conn.execute(insert(sessions).values(**row, expired=0))
        conn.execute(insert(segments).values(session_id="s", number=1, name="", head=0, length=0))

    await database.write(fill)
    await database.write(lambda conn: conn.execute(delete(sessions)))
    assert await database.read(lambda conn: conn.execute(select(segments)).all()) == []


async def test_the_database_goes_away_and_comes_back(postgresql: PostgreSQL) -> None:
    database = Database(postgresql.database())
    await database.start()
    await asyncio.gather(*(database.read(ticks) for _ in range(8)))
    postgresql.stop()
    try:
        with pytest.raises(StorageUnavailable) as caught:
            await database.write(tick)
        assert caught.value.retry_after
        with pytest.raises(StorageUnavailable):
            await database.read(ticks)
    finally:
        postgresql.start()
    # The first call after it: old connections are dead, and nobody notices.
    await database.write(tick)
    assert await asyncio.gather(*(database.read(ticks) for _ in range(8))) == [1] * 8
    await database.stop()


async def test_broken_connections_fail_no_call(postgresql: PostgreSQL) -> None:
    database = Database(postgresql.database())
    await database.start()
    await asyncio.gather(*(database.read(ticks) for _ in range(8)))
    postgresql.stop()
    postgresql.start()
    await database.write(tick)
    assert await database.read(ticks) == 1
    await database.stop()


async def test_a_missing_server_is_unavailable_and_its_password_is_not_in_the_error() -> None:
    database = Database("postgresql+psycopg://me:secret@127.0.0.1:9/none")
    with pytest.raises(StorageUnavailable) as caught:
        await database.start()
    await database.stop()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["nonsense", "mysql://me:secret@host/name", "sqlite://", "postgresql:/x:secret:y@@/"])
def test_an_unknown_url_is_refused_and_not_repeated_in_the_error(url: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Database(url)
    assert "secret" not in caught.value.message
    assert "SIXPOINT_DATABASE_URL" in caught.value.message


async def test_a_database_locked_for_too_long_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.storage.database.engines._BUSY_MS", 50)
    url = f"sqlite:///{tmp_path}/sixpoint.db"
    database, other = Database(url), Database(url)
    await database.start()
    await other.start()
    inside, go_on = threading.Event(), threading.Event()

    def hold(conn: Connection) -> None:
        tick(conn)
        inside.set()
        go_on.wait(10)

    holding = asyncio.create_task(database.write(hold))
    await asyncio.to_thread(inside.wait, 10)
    with pytest.raises(StorageUnavailable):
        await other.write(tick)
    assert await other.read(ticks) == 0
    go_on.set()
    await holding
    assert await other.read(ticks) == 1
    await database.stop()
    await other.stop()


async def test_a_full_disk_is_reported_and_committed_rows_stay(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", megabytes=4) as folder:
        database = Database(f"sqlite:///{folder}/sixpoint.db")
        await database.start()
        await database.write(lambda conn: tick(conn))

        def fill(conn: Connection) -> None:
            conn.execute(text("CREATE TABLE big (data BLOB)"))
            conn.execute(text("INSERT INTO big VALUES (zeroblob(8000000))"))

        with pytest.raises(StorageFull):
            await database.write(fill)
        assert await database.read(ticks) == 1
        await database.write(lambda conn: tick(conn, 2))
        await database.stop()
