"""Jobs in the database: which one a worker takes, and what another tenant sees of it."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection

from gateway.core.jobs import JobCounts, JobRow, JobState
from gateway.storage import Database
from gateway.storage.jobs import SqlJobUpkeep, SqlJobWriter
from gateway.storage.scopes import AllTenants, TenantScope
from tests.gateway.storage.tenant_rows import rows, statements, unscoped

LEASE = 20.0


def job(name: str, *, tenant: str = "default", created: float = 1.0, **changes: Any) -> JobRow:
    row = JobRow(name, tenant, "ada", 3, "segment", {"dataset": "a"}, JobState.QUEUED, created)
    return replace(row, **changes)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    await database.start()
    yield database
    await database.stop()


async def _insert(database: Database, *jobs: JobRow) -> None:
    def work(conn: Connection) -> None:
        for row in jobs:
            SqlJobWriter(TenantScope(conn, row.tenant)).insert_job(row)

    await database.write(work)


async def _take(database: Database, worker: str, *, now: float, limit: int = 9) -> JobRow | None:
    return await database.write(
        lambda conn: SqlJobUpkeep(AllTenants(conn)).take(worker, now=now, lease=now + LEASE, tenant_limit=limit)
    )


async def _taken(database: Database, *, now: float = 10.0, limit: int = 9) -> list[str]:
    """Ids of the jobs that workers take, one after the other."""
    found: list[str] = []
    while (row := await _take(database, f"w{len(found)}", now=now, limit=limit)) is not None:
        found.append(row.id)
    return found


async def test_priority_goes_before_age(database: Database) -> None:
    await _insert(database, job("old"), job("young", created=2.0), job("urgent", created=3.0, priority=5))
    assert await _taken(database) == ["urgent", "old", "young"]


async def test_a_tenant_with_many_jobs_leaves_others_their_turn(database: Database) -> None:
    await _insert(database, *(job(f"a{n}", created=float(n), priority=99) for n in range(4)))
    await _insert(database, job("b", tenant="other", created=9.0))
    assert (await _taken(database))[:2] == ["a0", "b"]


async def test_no_tenant_runs_more_than_its_limit(database: Database) -> None:
    await _insert(database, *(job(f"a{n}", created=float(n)) for n in range(4)), job("b", tenant="other", created=9.0))
    assert sorted(await _taken(database, limit=2)) == ["a0", "a1", "b"]


async def test_a_job_waits_until_its_time_has_come(database: Database) -> None:
    await _insert(database, job("later", not_before=50.0))
    assert await _taken(database, now=49.0) == []
    assert await _taken(database, now=50.0) == ["later"]


async def test_the_job_of_a_silent_worker_is_taken_by_another_one(database: Database) -> None:
    await _insert(database, job("a"))
    first = await _take(database, "one", now=10.0)
    assert first is not None
    assert (first.state, first.worker, first.attempt, first.failures) == (JobState.RUNNING, "one", 1, 0)
    assert await _take(database, "two", now=10.0 + LEASE - 1) is None
    second = await _take(database, "two", now=10.0 + LEASE)
    assert second is not None
    assert (second.worker, second.attempt, second.failures) == ("two", 2, 1)


async def test_the_job_of_a_dead_worker_is_free_at_once(database: Database) -> None:
    await _insert(database, job("a"))
    await _take(database, "one", now=10.0)
    assert await database.write(lambda conn: SqlJobUpkeep(AllTenants(conn)).release("two", now=11.0)) == 0
    assert await database.write(lambda conn: SqlJobUpkeep(AllTenants(conn)).release("one", now=11.0)) == 1
    assert await database.read(lambda conn: SqlJobUpkeep(AllTenants(conn)).counts(now=11.0)) == JobCounts(1, 0)
    assert await _taken(database, now=11.0) == ["a"]


async def test_the_last_prompt_is_noted(database: Database) -> None:
    for moment in (0.0, 7.0, 9.0):
        if moment:
            await database.write(
                lambda conn, moment=moment: SqlJobUpkeep(AllTenants(conn)).mark_prompt(now=moment)  # type: ignore[misc]
            )
        assert await database.read(lambda conn: SqlJobUpkeep(AllTenants(conn)).last_prompt()) == moment


async def test_the_last_lines_are_kept(database: Database) -> None:
    await _insert(database, job("a"))

    def work(conn: Connection) -> list[tuple[int, str]]:
        records = SqlJobWriter(TenantScope(conn, "default"))
        for number in range(1, 6):
            records.append_lines("a", [(float(number), f"line {number}")], keep=3)
        return [(line.number, line.text) for line in records.job_lines("a", after=0, limit=9)]

    assert await database.write(work) == [(3, "line 3"), (4, "line 4"), (5, "line 5")]


async def test_the_latest_jobs_that_ended_are_kept(database: Database) -> None:
    ended = [job(f"e{n}", state=JobState.SUCCEEDED, ended=float(n + 1)) for n in range(4)]
    await _insert(database, *ended, job("waits"))

    def work(conn: Connection) -> set[str]:
        records = SqlJobWriter(TenantScope(conn, "default"))
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
OWN = {"audit", "insert_job", "append_lines"}


async def test_another_tenant_reads_and_changes_nothing(database: Database) -> None:
    await _insert(database, job("a"), job("b", state=JobState.FAILED, ended=5.0))
    await database.write(
        lambda conn: SqlJobWriter(TenantScope(conn, "default")).append_lines("a", [(1.0, "mine")], keep=9)
    )
    before = await database.read(lambda conn: rows(conn, "default"))

    def run(conn: Connection) -> dict[str, Any]:
        records = SqlJobWriter(TenantScope(conn, "other"))
        return {name: call(records) for name, call in CALLS.items()}

    with statements(database) as seen:
        answers = await database.write(run)
        await database.write(lambda conn: SqlJobWriter(TenantScope(conn, "other")).insert_job(job("c", tenant="other")))
        await database.write(
            lambda conn: SqlJobWriter(TenantScope(conn, "other")).append_lines("c", [(1.0, "theirs")], keep=0)
        )
    assert {name: answer for name, answer in answers.items() if answer} == {}
    assert await database.read(lambda conn: rows(conn, "default")) == before
    assert {statement: unscoped(statement) for statement in seen if unscoped(statement)} == {}


def test_every_method_is_tried() -> None:
    methods = {name for name, _ in inspect.getmembers(SqlJobWriter, inspect.isfunction) if not name.startswith("_")}
    assert methods == {*CALLS, *OWN}
