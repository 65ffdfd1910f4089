"""Sessions on a database with two images."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import insert

from gateway.storage import Database
from gateway.storage.geometries import geometry_to_json
from gateway.storage.schema import images
from tests.gateway.core.sessions.session_process import DIGEST, GEOMETRY, OTHER, Clock, SessionProcess


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    await database.start()
    row = {
        "geometry": geometry_to_json(GEOMETRY),
        "voxel_type": 3,
        "byte_count": 1,
        "owner": "",
        "created": 0,
        "used": 0,
    }
    rows = [{**row, "digest": digest} for digest in (DIGEST, OTHER)]
    await database.write(lambda conn: conn.execute(insert(images), rows))
    yield database
    await database.stop()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def process(database: Database, clock: Clock) -> SessionProcess:
    return SessionProcess(database, clock)
