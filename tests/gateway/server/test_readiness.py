"""Health that follows what prompts need: the database and the blob store."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

import sixpoint
from gateway.triton.local.server import LocalTriton
from tests.support.images import noisy_volume
from tests.support.postgresql import PostgreSQL
from tests.support.servers import running_gateway

LIVENESS = "sixpoint.v1.ImageService"


@contextlib.contextmanager
def _postgresql_away(postgresql: PostgreSQL) -> Iterator[None]:
    postgresql.stop()
    try:
        yield
    finally:
        postgresql.start()


@contextlib.contextmanager
def _renamed(path: Path) -> Iterator[None]:
    aside = path.rename(path.with_name("unmounted"))
    try:
        yield
    finally:
        aside.rename(path)


def _check(
    address: str,
    away: Callable[[], contextlib.AbstractContextManager[None]],
    *,
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Health while something is away, and after it."""
    with grpc.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)

        def serving(service: str = "") -> bool:
            status = stub.Check(health_pb2.HealthCheckRequest(service=service)).status
            return bool(status == health_pb2.HealthCheckResponse.SERVING)

        def eventually(expected: bool) -> bool:
            end = time.monotonic() + 20
            while time.monotonic() < end and serving() != expected:
                time.sleep(0.05)
            return serving() == expected

        assert eventually(True)
        with away():
            assert eventually(False)
            assert serving(LIVENESS)
            assert not serving("sixpoint.v1.AnnotationService")
        assert eventually(True)
    assert [record.reason for record in caplog.records if "health is NOT_SERVING" in record.getMessage()] == [reason]  # type: ignore[attr-defined]


def test_health_follows_the_database(
    triton: LocalTriton, postgresql: PostgreSQL, caplog: pytest.LogCaptureFixture
) -> None:
    url = postgresql.database()
    with running_gateway(triton_url=triton.address, database_url=url, storage_poll_seconds=0.1) as gateway:
        address = f"127.0.0.1:{gateway.port}"
        _check(address, lambda: _postgresql_away(postgresql), reason="STORAGE_UNAVAILABLE", caplog=caplog)


@pytest.mark.parametrize("name", ["blobs", "sixpoint.db"])
def test_health_follows_the_files(
    triton: LocalTriton, tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with running_gateway(triton_url=triton.address, state_folder=tmp_path, storage_poll_seconds=0.1) as gateway:
        with sixpoint.Client(f"127.0.0.1:{gateway.port}") as client:
            client.upload(noisy_volume())
        time.sleep(0.3)
        address = f"127.0.0.1:{gateway.port}"
        _check(address, lambda: _renamed(tmp_path / name), reason="STORAGE_UNAVAILABLE", caplog=caplog)
