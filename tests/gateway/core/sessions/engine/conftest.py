"""Fixtures of the engine's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.storage.database import Database
from tests.gateway.core.sessions.engine.process import Process, database_with_image


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with database_with_image(tmp_path) as database:
        yield database


@pytest.fixture
def process(database: Database) -> Process:
    return Process(database)
