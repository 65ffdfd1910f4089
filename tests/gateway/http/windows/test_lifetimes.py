"""The end of clients' sessions, on a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from gateway.core.runtime import Model
from gateway.http.windows.annotating import Annotating
from gateway.http.windows.lifetimes import Lifetimes
from gateway.storage import Database
from sixpoint.errors import SessionExpired, SessionNotFound
from tests.gateway.core.sessions.session_process import DIGEST, IDLE, OTHER, Clock, SessionProcess, add_images
from tests.support.callers import NOBODY
from tests.support.models import ELLIPSOID_SPEC

MODEL = Model("m", "1", ELLIPSOID_SPEC)


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[SessionProcess]:
    database = Database(f"sqlite:///{tmp_path / 'db'}")
    await database.start()
    await add_images(database)
    yield SessionProcess(database, Clock())
    await database.stop()


def lifetimes(process: SessionProcess) -> Lifetimes:
    annotating = Annotating(sessions=process.sessions, engine=MagicMock())
    return Lifetimes(sessions=process.sessions, annotating=annotating, now=process.clock)


async def test_use_puts_off_the_end(process: SessionProcess) -> None:
    sessions = lifetimes(process)
    handle = await sessions.open(DIGEST, MODEL, principal=NOBODY, seconds=30)
    for _ in range(10):
        process.clock.seconds += 29
        await sessions.require(handle, principal=NOBODY)
    process.clock.seconds += 31
    with pytest.raises(SessionExpired, match="not used for 30 s"):
        await sessions.require(handle, principal=NOBODY)
    # The session of ours ended, too: nobody goes on with it.
    with pytest.raises(SessionNotFound):
        await process.sessions.get(handle.anchor, principal=NOBODY)


async def test_another_gateway_ends_it_as_well(process: SessionProcess) -> None:
    handle = await lifetimes(process).open(DIGEST, MODEL, principal=NOBODY, seconds=100)
    process.clock.seconds += 70
    await lifetimes(process).require(handle, principal=NOBODY)
    process.clock.seconds += 70
    await lifetimes(process).require(handle, principal=NOBODY)
    process.clock.seconds += 101
    with pytest.raises(SessionExpired):
        await lifetimes(process).require(handle, principal=NOBODY)


async def test_without_a_time_of_its_own_it_ends_as_all_sessions_do(process: SessionProcess) -> None:
    sessions = lifetimes(process)
    handle = await sessions.open(DIGEST, MODEL, principal=NOBODY)
    process.clock.seconds += IDLE - 1
    await sessions.require(handle, principal=NOBODY)
    process.clock.seconds += IDLE + 1
    await process.expiry.run(every=IDLE)
    with pytest.raises(SessionExpired):
        await sessions.require(handle, principal=NOBODY)


async def test_an_id_put_together_is_none(process: SessionProcess) -> None:
    sessions = lifetimes(process)
    handle = await sessions.open(DIGEST, MODEL, principal=NOBODY)
    forged = type(handle).parse(str(handle).replace(DIGEST, OTHER))
    with pytest.raises(SessionNotFound, match="no session has this id"):
        await sessions.require(forged, principal=NOBODY)
