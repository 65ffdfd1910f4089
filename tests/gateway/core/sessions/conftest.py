"""Sessions on a database with two images."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gateway.storage import Database
from tests.gateway.core.sessions.session_process import Clock, SessionProcess, add_images


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    await database.start()
    await add_images(database)
    yield database
    await database.stop()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def process(database: Database, clock: Clock) -> SessionProcess:
    return SessionProcess(database, clock)
