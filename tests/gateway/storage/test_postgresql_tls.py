"""TLS towards a real PostgreSQL, by the parameters of its URL."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.storage import Database
from gateway.storage.inspection import inspect_database, sends_unverified
from sixpoint.errors import StorageUnavailable
from tests.gateway.doctor.doctor_process import findings_of, only
from tests.support.certificates import Certificates, write_certificates
from tests.support.postgresql import tls_postgresql


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return write_certificates(tmp_path_factory.mktemp("certificates") / "ours", "localhost")


@pytest.fixture(scope="module")
def server(ours: Certificates) -> Iterator[str]:
    # Another user runs it, who may not enter pytest's folders.
    with tempfile.TemporaryDirectory(prefix="sixpoint-tests-") as folder:
        Path(folder).chmod(0o755)
        with tls_postgresql(Path(folder) / "server", ours) as address:
            yield address


def url(server: str, *, host: str = "localhost", password: str = "secret", **parameters: str) -> str:
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    return f"postgresql+psycopg://me:{password}@{host}:{server.rpartition(':')[2]}/postgres?{query}"


@pytest.mark.postgres
async def test_a_database_whose_certificate_is_verified_is_used(server: str, ours: Certificates) -> None:
    verified = url(server, sslmode="verify-full", sslrootcert=str(ours.authority))
    database = Database(verified)
    await database.start()
    await database.check()
    await database.stop()
    state = inspect_database(verified)
    assert state.encrypted
    assert state.revision == state.known[-1]


@pytest.mark.postgres
async def test_a_certificate_of_another_authority_or_name_is_refused(
    server: str, ours: Certificates, tmp_path: Path
) -> None:
    others = write_certificates(tmp_path / "others", "localhost")
    for wrong, reason in (
        (url(server, sslmode="verify-full", sslrootcert=str(others.authority)), "certificate verify failed"),
        (url(server, host="127.0.0.1", sslmode="verify-full", sslrootcert=str(ours.authority)), "does not match host"),
    ):
        database = Database(wrong)
        with pytest.raises(StorageUnavailable):
            await database.start()
        await database.stop()
        with pytest.raises(StorageUnavailable, match=reason):
            inspect_database(wrong)


@pytest.mark.postgres
def test_the_reason_does_not_repeat_the_password(server: str) -> None:
    with pytest.raises(StorageUnavailable, match="password authentication failed") as caught:
        inspect_database(url(server, password="hunter2"))
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("mode", "how"), [("prefer", "encrypted, but with whom is not checked"), ("disable", "not even encrypted")]
)
async def test_the_doctor_tells_of_a_database_elsewhere_that_is_not_verified(
    mode: str, how: str, server: str, tmp_path: Path
) -> None:
    # By its name it is elsewhere; the address is where libpq connects to.
    place = url(server, host="db.example", hostaddr="127.0.0.1", sslmode=mode)
    found = await findings_of(database_url=place, state_folder=tmp_path)
    assert only(found, "database TLS").seen == f"the database is on another machine, and the connection is {how}"
    assert "sslmode=verify-full" in only(found, "database TLS").advice


@pytest.mark.parametrize(
    ("place", "unverified"),
    [
        ("postgresql+psycopg://me@db.example/x", True),
        ("postgresql+psycopg://me@db.example/x?sslmode=require", True),
        ("postgresql+psycopg://me@db.example/x?sslmode=verify-full", False),
        ("postgresql+psycopg://me@10.0.0.1:5432/x", True),
        ("postgresql+psycopg:///x?host=/run/postgresql", False),
        ("postgresql+psycopg:///x?host=db1:5432&host=db2:5432", True),
        ("postgresql+psycopg:///x", False),
        ("postgresql+psycopg://me@localhost/x", False),
        ("postgresql+psycopg://me@127.0.0.1/x", False),
        ("postgresql+psycopg://me@[::1]:5432/x", False),
        ("sqlite:////x/y.db", False),
    ],
)
def test_a_database_elsewhere_should_be_verified(place: str, unverified: bool) -> None:
    assert sends_unverified(place) is unverified
