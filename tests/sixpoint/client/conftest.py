"""The gateway of these tests, and both clients."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import grpc.aio
import pytest

from sixpoint.client import AsyncClient, Client, Retry
from tests.sixpoint.client.fake_gateway import DrawingGateway, FakeGateway, FlakyGateway, serving, settled
from tests.sixpoint.client.session_gateway import SessionGateway


@pytest.fixture
def server() -> Iterator[FakeGateway]:
    """A gateway that answers everything with one mask."""
    # Calls that no test makes are not implemented.
    gateway = FakeGateway()  # type: ignore[abstract]
    with serving(gateway):
        yield gateway


@pytest.fixture
def drawing() -> Iterator[DrawingGateway]:
    """A gateway whose answers carry what changed of a mask."""
    gateway = DrawingGateway()  # type: ignore[abstract]
    with serving(gateway):
        yield gateway


@pytest.fixture
def flaky() -> Iterator[FlakyGateway]:
    """A gateway that fails calls a given number of times."""
    gateway = FlakyGateway()  # type: ignore[abstract]
    with serving(gateway):
        yield gateway


@pytest.fixture
def stepping() -> Iterator[SessionGateway]:
    """A gateway whose session can be changed in every way."""
    gateway = SessionGateway()
    with serving(gateway):
        yield gateway


@pytest.fixture(params=["blocking", "asyncio"])
async def client(server: FakeGateway, request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    """Each client, on a channel of the test's; :func:`settled` awaits what it returns."""
    made: Client | AsyncClient
    if request.param == "blocking":
        made = Client("not.used:1", channel=grpc.insecure_channel(server.address), retry=Retry.none())
    else:
        made = AsyncClient("not.used:1", channel=grpc.aio.insecure_channel(server.address), retry=Retry.none())
    yield made
    await settled(made.close())
