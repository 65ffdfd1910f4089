"""The end of idle sessions, on real databases."""

from __future__ import annotations

from functools import partial

import pytest
from sqlalchemy import Connection, Table, func, select

from gateway.core.sessions import expiry
from gateway.storage import Database, session_repository
from gateway.storage.schema import requests, segments, steps
from gateway.storage.sessions import step_sharing
from gateway.storage.sessions.session_upkeep import SqlSessionUpkeep
from sixpoint import errors
from tests.gateway.core.sessions.session_process import BOX, IDLE, Clock, SessionProcess
from tests.support.callers import NOBODY, caller


async def test_an_idle_session_expires_and_its_history_is_deleted(
    process: SessionProcess, clock: Clock, database: Database
) -> None:
    opened = await process.open()
    await process.annotate(opened.row.id, BOX)
    await process.expiry.run(every=30)
    for _ in range(40):
        clock.seconds += 30
        closed = await process.expiry.run(every=30)
    assert closed == 0
    with pytest.raises(errors.SessionExpired, match="idle"):
        await process.sessions.get(opened.row.id, principal=NOBODY)
    assert await session_repository(database).read(lambda records: records.steps(opened.row.id), tenant="default") == []
    clock.seconds += 8 * 86400
    await process.expiry.run(every=1e9)
    with pytest.raises(errors.SessionNotFound):
        await process.sessions.get(opened.row.id, principal=NOBODY)


async def test_use_puts_off_the_expiry(process: SessionProcess, clock: Clock) -> None:
    opened = await process.open()
    for _ in range(60):
        clock.seconds += 30
        await process.sessions.get(opened.row.id, principal=NOBODY)
        await process.expiry.run(every=30)
    assert (await process.sessions.get(opened.row.id, principal=NOBODY)).expires > clock()


async def test_histories_of_ended_sessions_are_deleted_a_few_at_a_time(
    process: SessionProcess, database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expiry, "_DELETED_AT_ONCE", 2)
    ended = [(await process.open()).row.id for _ in range(5)]
    kept = (await process.open()).row.id
    for session in (*ended, kept):
        await process.annotate(session, BOX, request_id="r")
    for session in ended:
        await process.sessions.close(session, principal=NOBODY)
    clock.seconds += 1
    sizes: list[int] = []
    delete_ended = SqlSessionUpkeep.delete_ended

    def count(writer: SqlSessionUpkeep) -> int:
        return int(writer._scope._conn.execute(select(func.count()).select_from(segments)).scalar_one())

    def counted(writer: SqlSessionUpkeep, *, before: float, tombstones_before: float, limit: int) -> bool:
        segments_before = count(writer)
        more = delete_ended(writer, before=before, tombstones_before=tombstones_before, limit=limit)
        sizes.append(segments_before - count(writer))
        return more

    monkeypatch.setattr(SqlSessionUpkeep, "delete_ended", counted)
    await process.expiry.run(every=30)
    assert sizes == [2, 2, 1]
    assert (await process.history.load(kept, 1, principal=NOBODY)).segment.length == 1
    for table in (segments, steps, requests):
        assert await database.read(partial(session_ids, table=table)) == [kept]


async def test_a_long_history_is_deleted_in_many_transactions(
    process: SessionProcess, database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_sharing, "_MAX_DELETED_BYTES", 200)
    opened = (await process.open()).row.id
    for _ in range(9):
        await process.annotate(opened, BOX)
    forked = (await process.sessions.fork(opened, principal=caller(""), segment=1, step=2)).row.id
    sizes: list[int] = []
    delete_ended = SqlSessionUpkeep.delete_ended

    def counted(writer: SqlSessionUpkeep, *, before: float, tombstones_before: float, limit: int) -> bool:
        rows = len(session_ids(writer._scope._conn, table=steps))
        more = delete_ended(writer, before=before, tombstones_before=tombstones_before, limit=limit)
        sizes.append(rows - len(session_ids(writer._scope._conn, table=steps)))
        return more

    monkeypatch.setattr(SqlSessionUpkeep, "delete_ended", counted)
    await process.sessions.close(opened, principal=NOBODY)
    clock.seconds += 1
    await process.expiry.run(every=30)
    assert sizes == [2, 2, 2, 1]
    assert len(await process.steps(forked)) == 2
    await process.sessions.close(forked, principal=NOBODY)
    clock.seconds += 1
    await process.expiry.run(every=30)
    for table in (segments, steps):
        assert await database.read(partial(session_ids, table=table)) == []


def session_ids(conn: Connection, *, table: Table) -> list[str]:
    return list(conn.scalars(select(table.c.session_id)))


@pytest.mark.parametrize("jump", [2 * 86400.0, -2 * 86400.0])
async def test_a_jump_of_the_clock_or_a_time_without_a_gateway_expires_nothing(
    process: SessionProcess, clock: Clock, jump: float
) -> None:
    opened = await process.open()
    await process.expiry.run(every=30)
    clock.seconds += jump
    assert await process.expiry.run(every=30) == 0
    found = await process.sessions.get(opened.row.id, principal=NOBODY)
    assert clock() <= found.expires <= clock() + IDLE


@pytest.mark.parametrize("behind", [0.001, 20.0])
async def test_small_differences_of_clocks_leave_times_of_last_use_unchanged(
    process: SessionProcess, database: Database, clock: Clock, behind: float
) -> None:
    other = SessionProcess(database, Clock(clock() - behind))
    opened = await process.open()
    for _ in range(5):
        for one in (process, other):
            await one.expiry.run(every=30)
            one.clock.seconds += 5
    assert (await process.sessions.page(caller(""))).sessions[0].row.used == opened.row.used
