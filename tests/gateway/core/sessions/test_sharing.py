"""Forks share the steps of the session they come from, on real databases."""

from __future__ import annotations

import asyncio
import threading
import time
from functools import partial
from random import Random

import pytest
from sqlalchemy import Connection, Table, func, select, text

from gateway.core.sessions import ModelUse, SegmentRow
from gateway.core.sessions.segment_state import SegmentState
from gateway.storage import Database
from gateway.storage.schema import segments, sessions, shared_steps, steps
from gateway.storage.scopes import AllTenants
from gateway.storage.sessions import step_sharing
from sixpoint import errors
from sixpoint.prompts import Click
from tests.gateway.core.sessions.session_process import BOX, Clock, SessionProcess, answer_of
from tests.support.callers import NOBODY, caller

CLICK = Click((3, 4, 5))


async def opened_with_steps(process: SessionProcess, count: int, *, owner: str = "") -> str:
    opened = (await process.open(owner)).row.id
    await process.annotate(opened, BOX)
    for _ in range(count - 1):
        await process.annotate(opened, CLICK)
    return opened


async def fork(process: SessionProcess, session_id: str, step: int = 0, *, owner: str = "") -> str:
    forked = await process.sessions.fork(session_id, principal=caller(owner), segment=1 if step else 0, step=step)
    return forked.row.id


async def go_to(process: SessionProcess, session_id: str, head: int) -> None:
    loaded = await process.history.load(session_id, 1, principal=NOBODY)
    state = await process.state_at(session_id, 1, head) if head else SegmentState()
    await process.history.move_head(loaded, head, state)


async def close(process: SessionProcess, session_id: str, clock: Clock) -> None:
    await process.sessions.close(session_id, principal=NOBODY)
    clock.seconds += 1
    await process.expiry.run(every=30)


async def stored(database: Database) -> int:
    return await database.read(partial(rows_of, steps))


def rows_of(table: Table, conn: Connection) -> int:
    return int(conn.execute(select(func.count()).select_from(table)).scalar_one())


async def log_bytes(database: Database, session_id: str) -> int:
    query = select(sessions.c.log_bytes).where(sessions.c.id == session_id)
    return await database.read(lambda conn: conn.execute(query).scalar_one())


async def answers(process: SessionProcess, session_id: str) -> list[int]:
    """The answer after each step of segment 1, read from the database."""
    length = (await process.sessions.get(session_id, principal=NOBODY)).segments[0].length
    return [answer_of(await process.state_at(session_id, 1, number)) for number in range(1, length + 1)]


async def test_a_fork_stores_no_step(process: SessionProcess, database: Database) -> None:
    opened = await opened_with_steps(process, 3)
    before = await log_bytes(database, opened)
    forks = [await fork(process, opened) for _ in range(5)]
    assert await stored(database) == 3
    assert [await answers(process, each) for each in forks] == [[11, 21, 31]] * 5
    assert max([await log_bytes(database, each) for each in forks]) < 300
    assert await log_bytes(database, opened) == before
    assert [step.number for step, _ in await process.steps(forks[0])] == [1, 2, 3]


async def test_a_fork_outlives_the_session_it_comes_from(
    process: SessionProcess, database: Database, clock: Clock
) -> None:
    opened = await opened_with_steps(process, 4, owner="anna")
    forked = await fork(process, opened, 3)
    later = await fork(process, forked)
    await close(process, opened, clock)
    # The fourth step is nobody's now; the other three count for who made them.
    assert await stored(database) == 3
    assert await log_bytes(database, opened) > 0
    clock.seconds += 500
    await process.sessions.get(forked, principal=NOBODY)
    await close(process, forked, clock)
    other = SessionProcess(database, clock)
    assert await answers(other, later) == [11, 21, 31]
    assert answer_of((await other.annotate(later, CLICK)).state) == 41
    await go_to(other, later, 2)
    assert answer_of((await SessionProcess(database, clock).history.load(later, 1, principal=NOBODY)).state) == 21
    await close(process, later, clock)
    for table in (steps, segments, shared_steps):
        assert await database.read(partial(rows_of, table)) == 0
    assert await log_bytes(database, opened) == 0


async def test_the_record_of_a_session_stays_while_its_steps_are_shared(
    process: SessionProcess, database: Database, clock: Clock
) -> None:
    opened = await opened_with_steps(process, 2)
    forked = await fork(process, opened)
    await process.sessions.close(opened, principal=NOBODY)
    for _ in range(2 * 8):
        clock.seconds += 86400 / 2
        await database.write(lambda conn: conn.execute(sessions.update().values(used=clock())))
        await process.expiry.run(every=1e9)
    with pytest.raises(errors.SessionNotFound):
        await process.sessions.get(opened, principal=NOBODY)
    assert await answers(process, forked) == [11, 21]
    await close(process, forked, clock)
    clock.seconds += 8 * 86400
    await process.expiry.run(every=1e9)
    assert await database.read(lambda conn: conn.execute(select(sessions.c.id)).all()) == []


async def test_each_goes_on_behind_the_same_steps(process: SessionProcess, database: Database, clock: Clock) -> None:
    opened = await opened_with_steps(process, 4)
    forked = await fork(process, opened)
    await go_to(process, opened, 2)
    await process.annotate(opened, BOX, version="9")
    await go_to(process, forked, 1)
    await process.annotate(forked, CLICK, version="8")
    for fresh in (process, SessionProcess(database, clock)):
        assert [row.model_version for row, _ in await fresh.steps(opened)] == ["3", "3", "9"]
        assert [row.model_version for row, _ in await fresh.steps(forked)] == ["3", "8"]
    # Steps 3 and 4 were dropped by both; no row is left that nobody shows.
    assert await stored(database) == 4
    assert (await process.sessions.get(opened, principal=NOBODY)).row.step_count == 3
    use = ModelUse("m", "9", assigned=lambda _: False)
    assert [each.row.id for each in (await process.sessions.page(caller(""), use=use)).sessions] == [opened]
    await go_to(process, opened, 2)
    assert (await process.sessions.page(caller(""), use=use)).sessions == ()
    use = ModelUse("m", "3", assigned=lambda _: False)
    assert [each.row.id for each in (await process.sessions.page(caller(""), use=use)).sessions] == [opened]


async def test_another_process_forks_while_steps_are_dropped(
    process: SessionProcess, database: Database, clock: Clock
) -> None:
    opened = await opened_with_steps(process, 3)
    loaded = await process.history.load(opened, 1, principal=NOBODY)
    await process.history.move_head(loaded, 1, await process.state_at(opened, 1, 1))
    loaded = await process.history.load(opened, 1, principal=NOBODY)
    forked = await SessionProcess(database, clock).sessions.fork(opened, principal=caller(""), segment=1, step=3)
    await process.history.append(loaded, [CLICK], process.state_after(loaded, CLICK))
    assert await answers(process, forked.row.id) == [11, 21, 31]


async def test_many_steps_are_dropped_at_once_and_deleted_a_few_at_a_time(
    process: SessionProcess, database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_sharing, "_MAX_DELETED", 2)
    opened = await opened_with_steps(process, 9)
    await go_to(process, opened, 1)
    await process.annotate(opened, CLICK, version="4")
    assert await stored(database) == 9 - 2 + 1
    for fresh in (process, SessionProcess(database, clock)):
        assert [row.model_version for row, _ in await fresh.steps(opened)] == ["3", "4"]
    await go_to(process, opened, 1)
    loaded = await process.history.load(opened, 1, principal=NOBODY)
    row, _ = await process.history.append(loaded, [CLICK], process.state_after(loaded, CLICK, version="5"))
    assert row.log_bytes == await log_bytes(database, opened), "steps that the first call left are released, too"
    assert await stored(database) == 8 - 1 - 2 + 1
    await close(process, opened, clock)
    assert await stored(database) == 0


async def test_two_transactions_that_delete_the_same_steps_release_them_once(
    process: SessionProcess, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = await opened_with_steps(process, 6)
    await go_to(process, opened, 1)
    with monkeypatch.context() as patch:
        patch.setattr(step_sharing, "_MAX_DELETED", 1)
        await process.annotate(opened, CLICK)
    deleted = threading.Event()

    def first(conn: Connection) -> None:
        step_sharing.delete_unused(AllTenants(conn), {opened})
        deleted.set()
        if conn.dialect.name == "postgresql":
            # Until the other one waits for the rows; SQLite does not let it begin.
            for _ in range(500):
                if conn.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted")).scalar_one():
                    break
                time.sleep(0.01)

    async def second() -> None:
        await asyncio.to_thread(deleted.wait, 10)
        await database.write(lambda conn: step_sharing.delete_unused(AllTenants(conn), {opened}))

    await asyncio.gather(database.write(first), second())
    assert await stored(database) == 2
    [(counted, nbytes)] = await database.read(own_bytes)
    assert counted == nbytes


@pytest.mark.parametrize(("seed", "deleted"), [(0, 1000), (1, 1000), (2, 1), (3, 1)])
async def test_whatever_is_done_each_session_shows_what_it_would_alone(
    process: SessionProcess,
    database: Database,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
    deleted: int,
) -> None:
    monkeypatch.setattr(step_sharing, "_MAX_DELETED", deleted)
    random = Random(seed)
    expected: dict[str, tuple[list[str], int]] = {}
    first = (await process.open()).row.id
    expected[first] = ([], 0)
    for turn in range(40):
        session = random.choice([*expected])
        log, head = expected[session]
        kind = random.choices(("annotate", "move", "fork", "close"), (6, 4, 3, 1))[0]
        if kind == "annotate":
            await process.annotate(session, BOX, version=str(turn))
            expected[session] = ([*log[:head], str(turn)], head + 1)
        elif kind == "move" and log:
            head = random.randint(0, len(log))
            await go_to(process, session, head)
            expected[session] = (log, head)
        elif kind == "fork" and log:
            step = random.randint(0, len(log))
            forked = await process.sessions.fork(session, principal=caller(""), segment=1, step=step)
            expected[forked.row.id] = (log[:step], step)
        elif kind == "close" and len(expected) > 1:
            await close(process, session, clock)
            del expected[session]
    await check(SessionProcess(database, clock), expected)
    # Besides its own steps, a fork counts a row for the segment, and one for each range of steps that it shares.
    for counted, nbytes in await database.read(own_bytes):
        assert nbytes <= counted <= nbytes + 10 * 128
    for session in expected:
        await close(process, session, clock)
    assert await stored(database) == 0


def own_bytes(conn: Connection) -> list[tuple[int, int]]:
    """What each open session counts, and the bytes of the steps that it made."""
    size = func.coalesce(func.sum(func.length(steps.c.prompts) + func.length(steps.c.answer)), 0)
    made = select(size).where(steps.c.session_id == sessions.c.id).scalar_subquery()
    query = select(sessions.c.log_bytes, made).where(sessions.c.ended.is_(None))
    return [(int(counted), int(nbytes)) for counted, nbytes in conn.execute(query)]


async def check(process: SessionProcess, expected: dict[str, tuple[list[str], int]]) -> None:
    for session, (log, head) in expected.items():
        found = await process.sessions.get(session, principal=NOBODY)
        assert found.segments in ((), (SegmentRow(1, "", head, len(log)),))
        assert found.row.step_count == len(log)
        assert [(row.model_version, in_force) for row, in_force in await process.steps(session)] == [
            (version, number <= head) for number, version in enumerate(log, 1)
        ]
        if head:
            state = (await process.history.load(session, 1, principal=NOBODY)).state
            assert (state.version, answer_of(state)) == (log[head - 1], 10 * head % 256 + 1)
