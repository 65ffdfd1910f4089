"""Jobs in the database: what waits and who is alive, and what another tenant sees of it."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, text

from gateway.core.jobs import JobCounts, JobRow, JobState
from gateway.storage import Database, DbosQueue
from gateway.storage.jobs import SqlJobUpkeep, SqlJobWriter
from gateway.storage.scopes import AllTenants, TenantScope
from tests.gateway.storage.tenant_rows import rows, statements, unscoped


def job(name: str, *, tenant: str = "default", created: float = 1.0, **changes: Any) -> JobRow:
    row = JobRow(name, tenant, "ada", 3, "segment", {"dataset": "a"}, JobState.QUEUED, created, run=f"run-{name}")
    return replace(row, **changes)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    await database.start()
    yield database
    await database.stop()


@pytest.fixture
async def queue(database: Database) -> AsyncIterator[DbosQueue]:
    queue = DbosQueue(database)
    await queue.start()
    yield queue
    await queue.stop()


def _writer(conn: Connection, queue: DbosQueue, tenant: str = "default") -> SqlJobWriter:
    return SqlJobWriter(TenantScope(conn, tenant), queue=queue)


async def _insert(database: Database, queue: DbosQueue, *jobs: JobRow) -> None:
    def work(conn: Connection) -> None:
        for row in jobs:
            _writer(conn, queue, row.tenant).insert_job(row)

    await database.write(work)


async def test_what_waits_and_what_runs_is_counted(database: Database, queue: DbosQueue) -> None:
    running: dict[str, Any] = {"state": JobState.RUNNING, "worker": "one"}
    await _insert(database, queue, job("a"), job("later", not_before=50.0), job("b", **running), job("c", **running))
    await _insert(database, queue, job("d", tenant="other", state=JobState.RUNNING, worker="two"), job("e", run=""))
    await database.write(lambda conn: SqlJobUpkeep(AllTenants(conn), queue=queue).beat("one", now=30.0))

    async def counts(since: float) -> JobCounts:
        return await database.read(
            lambda conn: SqlJobUpkeep(AllTenants(conn), queue=queue).counts(now=40.0, since=since)
        )

    # The one of a worker that nobody has heard of waits.
    assert await counts(20.0) == JobCounts(3, 2)
    assert await counts(30.0) == JobCounts(5, 0)
    await database.write(lambda conn: SqlJobUpkeep(AllTenants(conn), queue=queue).release("one"))
    assert await counts(20.0) == JobCounts(5, 0)


async def test_workers_take_turns_in_sweeping(database: Database, queue: DbosQueue) -> None:
    async def begins(now: float) -> bool:
        return await database.write(
            lambda conn: SqlJobUpkeep(AllTenants(conn), queue=queue).begin_sweep(now=now, interval=5.0)
        )

    assert [await begins(now) for now in (100.0, 104.0, 105.0, 109.0)] == [True, False, True, False]
    # A clock that was an hour ahead has been set right.
    assert await begins(3700.0)
    assert await begins(110.0)


async def test_workers_are_known_while_they_say_that_they_live(database: Database, queue: DbosQueue) -> None:
    def work(conn: Connection) -> list[set[str]]:
        upkeep = SqlJobUpkeep(AllTenants(conn), queue=queue)
        upkeep.beat("one", now=10.0)
        upkeep.beat("two", now=12.0)
        upkeep.mark_prompt(now=99.0)
        upkeep.begin_sweep(now=99.0, interval=1.0)
        upkeep.beat("two", now=20.0)
        return [upkeep.workers(since=since) for since in (5.0, 15.0)]

    assert await database.write(work) == [{"one", "two"}, {"two"}]


async def test_only_the_run_that_was_lost_is_replaced(database: Database, queue: DbosQueue) -> None:
    await _insert(database, queue, job("a"), job("b", state=JobState.PAUSED))

    def work(conn: Connection) -> list[bool]:
        upkeep = SqlJobUpkeep(AllTenants(conn), queue=queue)
        assert upkeep.unfinished() == [("a", "run-a")]
        return [upkeep.queue_again(name, f"run-{name}", new_run=f"{name}2") for name in ("a", "a", "b", "c")]

    assert await database.write(work) == [True, False, False, False]
    assert await queue.pending(["run-a", "a2", "b2", "c2"]) == {"a2"}


async def test_a_job_and_its_place_in_the_queue_are_of_one_transaction(database: Database, queue: DbosQueue) -> None:
    def work(conn: Connection) -> None:
        row = job("a")
        _writer(conn, queue).insert_job(row)
        _writer(conn, queue).enqueue(row)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await database.write(work)
    assert await queue.pending(["run-a"]) == set()


async def test_what_need_not_begin_is_withdrawn_and_removed(database: Database, queue: DbosQueue) -> None:
    def work(conn: Connection) -> None:
        for name, delay in (("a", 0.0), ("b", 0.0), ("c", 60.0)):
            _writer(conn, queue).enqueue(job(name), delay=delay)

    await database.write(work)
    runs = ["run-a", "run-b", "run-c"]
    assert await queue.pending(runs) == {*runs}
    await queue.withdraw(["run-a", "run-c", "none"])
    assert await queue.pending(runs) == {"run-b"}
    assert await queue.drop_ended(before=1.0) == 0
    assert await queue.drop_ended(before=1e11) == 2
    assert (await queue.claimed(), await queue.pending(runs)) == ({}, {"run-b"})


async def test_nothing_of_a_job_but_ids_is_in_the_queue(database: Database, queue: DbosQueue) -> None:
    secret = job("a", parameters={"dataset": "doe-jane"}, note="doe-jane", error="doe-jane", owner="doe-jane")

    def work(conn: Connection) -> str:
        _writer(conn, queue).enqueue(secret)
        if conn.dialect.name == "sqlite":
            names = conn.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'")).scalars().all()
        else:
            query = "SELECT 'dbos.' || table_name FROM information_schema.tables WHERE table_schema = 'dbos'"
            names = conn.execute(text(query)).scalars().all()
        return "".join(repr(conn.execute(text(f"SELECT * FROM {name}")).all()) for name in names)

    stored = await database.write(work)
    assert "run-a" in stored
    assert "doe-jane" not in stored


async def test_the_last_prompt_is_noted(database: Database, queue: DbosQueue) -> None:
    for moment in (0.0, 7.0, 9.0):
        if moment:
            await database.write(
                lambda conn, moment=moment: SqlJobUpkeep(AllTenants(conn), queue=queue).mark_prompt(now=moment)  # type: ignore[misc]
            )
        assert await database.read(lambda conn: SqlJobUpkeep(AllTenants(conn), queue=queue).last_prompt()) == moment


async def test_the_last_lines_are_kept(database: Database, queue: DbosQueue) -> None:
    await _insert(database, queue, job("a"))

    def work(conn: Connection) -> list[tuple[int, str]]:
        records = _writer(conn, queue)
        for number in range(1, 6):
            records.append_lines("a", [(float(number), f"line {number}")], keep=3)
        return [(line.number, line.text) for line in records.job_lines("a", after=0, limit=9)]

    assert await database.write(work) == [(3, "line 3"), (4, "line 4"), (5, "line 5")]


async def test_the_latest_jobs_that_ended_are_kept(database: Database, queue: DbosQueue) -> None:
    ended = [job(f"e{n}", state=JobState.SUCCEEDED, ended=float(n + 1)) for n in range(4)]
    await _insert(database, queue, *ended, job("waits"))

    def work(conn: Connection) -> set[str]:
        records = _writer(conn, queue)
        records.drop_ended(keep=2)
        return {row.id for row in records.jobs(state=None, after=None, limit=9)}

    assert await database.write(work) == {"e2", "e3", "waits"}


CALLS: dict[str, Callable[[SqlJobWriter], Any]] = {
    "job": lambda records: records.job("a"),
    "jobs": lambda records: records.jobs(state=JobState.QUEUED, after=(9.0, ""), limit=9),
    "count_unfinished": lambda records: records.count_unfinished(),
    "job_lines": lambda records: records.job_lines("a", after=0, limit=9),
    "lock_job": lambda records: records.lock_job("a"),
    "lock_jobs": lambda records: records.lock_jobs(),
    "update_job": lambda records: records.update_job(job("a", note="theirs")),
    "drop_ended": lambda records: records.drop_ended(keep=1),
}
# They add rows of the tenant itself.
OWN = {"audit", "insert_job", "enqueue", "append_lines"}


async def test_another_tenant_reads_and_changes_nothing(database: Database, queue: DbosQueue) -> None:
    await _insert(database, queue, job("a"), job("b", state=JobState.FAILED, ended=5.0))
    await database.write(lambda conn: _writer(conn, queue).append_lines("a", [(1.0, "mine")], keep=9))
    before = await database.read(lambda conn: rows(conn, "default"))

    def run(conn: Connection) -> dict[str, Any]:
        records = _writer(conn, queue, "other")
        return {name: call(records) for name, call in CALLS.items()}

    with statements(database) as seen:
        answers = await database.write(run)
        await database.write(lambda conn: _writer(conn, queue, "other").insert_job(job("c", tenant="other")))
        await database.write(lambda conn: _writer(conn, queue, "other").append_lines("c", [(1.0, "theirs")], keep=0))
    assert {name: answer for name, answer in answers.items() if answer} == {}
    assert await database.read(lambda conn: rows(conn, "default")) == before
    assert {statement: unscoped(statement) for statement in seen if unscoped(statement)} == {}


def test_every_method_is_tried() -> None:
    methods = {name for name, _ in inspect.getmembers(SqlJobWriter, inspect.isfunction) if not name.startswith("_")}
    assert methods == {*CALLS, *OWN}
