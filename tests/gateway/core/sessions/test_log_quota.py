"""Quotas of the logs of sessions, on real databases."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import func, select

from gateway.core.sessions import LogLimits
from gateway.storage import Database
from gateway.storage.schema import requests, sessions, steps
from sixpoint import errors
from sixpoint.prompts import Click
from tests.gateway.core.sessions.session_process import BOX, Clock, SessionProcess
from tests.support.callers import NOBODY, caller

CLICK = Click((3, 4, 5))
LIMITS = LogLimits(steps=3, session=10**6, owner=10**6, total=10**6)


def limited(database: Database, clock: Clock, **limits: int) -> SessionProcess:
    return SessionProcess(database, clock, log_limits=replace(LIMITS, **limits))


async def add(process: SessionProcess, session_id: str) -> None:
    """Add a step as the engine does."""
    await process.history.check_room(await process.history.load(session_id, 1, principal=NOBODY))
    await process.annotate(session_id, BOX)


async def test_a_session_has_so_many_steps(database: Database, clock: Clock) -> None:
    process = limited(database, clock)
    opened = (await process.open()).row.id
    for _ in range(3):
        await add(process, opened)
    for fresh in (process, limited(database, clock)):
        with pytest.raises(errors.ResourceExhausted, match=r"3 steps, which is the limit \(SIXPOINT_SESSION_STEPS"):
            await add(fresh, opened)
    forked = (await process.sessions.fork(opened, principal=caller(""), segment=0, step=0)).row.id
    with pytest.raises(errors.ResourceExhausted, match="SIXPOINT_SESSION_STEPS"):
        await add(process, forked)
    loaded = await process.history.load(opened, 1, principal=NOBODY)
    await process.history.move_head(loaded, 1, await process.state_at(opened, 1, 1))
    await add(process, opened)
    await add(process, opened)
    with pytest.raises(errors.ResourceExhausted, match="SIXPOINT_SESSION_STEPS"):
        await add(process, opened)


async def test_a_sessions_log_takes_so_many_bytes(database: Database, clock: Clock) -> None:
    process = limited(database, clock, session=150)
    opened = (await process.open()).row.id
    await add(process, opened)
    await add(process, opened)
    with pytest.raises(errors.ResourceExhausted, match=r"the limit is 150 \(SIXPOINT_SESSION_LOG_BYTES\)"):
        await add(process, opened)
    with pytest.raises(errors.ResourceExhausted, match="SIXPOINT_SESSION_LOG_BYTES"):
        await process.sessions.update(opened, model=None, names=[(1, "liver")], principal=NOBODY)
    assert (await process.sessions.get(opened, principal=NOBODY)).row.revision == 2


async def test_request_ids_count_as_they_are_stored(database: Database, clock: Clock) -> None:
    process = limited(database, clock, session=500)
    opened = (await process.open()).row.id
    await process.annotate(opened, BOX)
    loaded = await process.history.load(opened, 1, principal=NOBODY)
    for number in range(4):
        await process.history.move_head(loaded, 1, loaded.state, request_ids=(f"r{number}",))
        loaded = await process.history.load(opened, 1, principal=NOBODY)
    with pytest.raises(errors.ResourceExhausted, match="SIXPOINT_SESSION_LOG_BYTES"):
        await process.history.move_head(loaded, 1, loaded.state, request_ids=("r",))
    # Moving the head stores nothing without an id, and goes on.
    await process.history.move_head(await process.history.load(opened, 1, principal=NOBODY), 1, loaded.state)


@pytest.mark.parametrize("name", ["owner", "total"])
async def test_an_owners_logs_and_all_logs_take_so_many_bytes(database: Database, clock: Clock, name: str) -> None:
    process = limited(database, clock, **{name: 150})
    first, second = [(await process.open("anna")).row.id for _ in range(2)]
    theirs = (await process.open("bert")).row.id
    await add(process, first)
    await add(process, second)
    setting = {"owner": "SIXPOINT_OWNER_LOG_BYTES", "total": "SIXPOINT_LOG_BYTES"}[name]
    for fresh in (process, limited(database, clock, **{name: 150})):
        for session in (first, second):
            with pytest.raises(errors.ResourceExhausted, match=setting):
                await add(fresh, session)
        with pytest.raises(errors.ResourceExhausted, match=setting):
            await fresh.sessions.fork(first, principal=caller("anna"), segment=0, step=0)
    if name == "owner":
        await add(process, theirs)
    await process.sessions.close(first, principal=NOBODY)
    clock.seconds += 6
    await process.expiry.run(every=30)
    clock.seconds += 6
    await add(process, second)


@pytest.mark.parametrize("name", ["owner", "total"])
async def test_a_repeated_fork_is_answered_whatever_the_logs_take(database: Database, clock: Clock, name: str) -> None:
    process, anna = limited(database, clock, **{name: 150}), caller("anna")
    source = (await process.open("anna")).row.id
    forked = await process.sessions.fork(source, principal=anna, segment=0, step=0, request_id="r")
    await add(process, source)
    await add(process, source)
    again = await process.sessions.fork(source, principal=anna, segment=0, step=0, request_id="r")
    assert again.row.id == forked.row.id
    with pytest.raises(errors.ResourceExhausted):
        await process.sessions.fork(source, principal=anna, segment=0, step=0, request_id="another")


async def test_what_a_session_counts_is_what_is_stored(process: SessionProcess, database: Database) -> None:
    opened = (await process.open()).row.id
    for number in range(4):
        await process.annotate(opened, BOX if not number else CLICK, request_id=f"r{number}")
    loaded = await process.history.load(opened, 1, principal=NOBODY)
    await process.history.move_head(loaded, 2, await process.state_at(opened, 1, 2))
    loaded = await process.history.load(opened, 1, principal=NOBODY)
    row, _ = await process.history.append(loaded, [CLICK], process.state_after(loaded, CLICK))
    size = select(func.sum(func.length(steps.c.prompts) + func.length(steps.c.answer)))
    calls = select(func.count()).select_from(requests)
    counted = select(sessions.c.log_bytes, sessions.c.step_count).where(sessions.c.id == opened)
    nbytes, asked, stored = await database.read(
        lambda conn: (conn.execute(size).scalar_one(), conn.execute(calls).scalar_one(), conn.execute(counted).one())
    )
    assert stored == (nbytes + 128 * asked, 3) == (row.log_bytes, row.step_count)
