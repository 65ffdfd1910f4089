"""The end of sessions and clients."""

from __future__ import annotations

from typing import Any

import grpc
import grpc.aio
import pytest

from sixpoint import errors
from sixpoint.client import (
    AsyncClient,
    Client,
)
from tests.sixpoint.client.fake_gateway import (
    FakeGateway,
    settled,
)
from tests.support.images import noisy_volume


async def test_closing_a_session_closes_it_on_the_gateway(server: FakeGateway, client: Any) -> None:
    session = await settled(client.open_session(noisy_volume()))
    await settled(session.close())
    assert server.requests["CloseSession"].session_id == "s1"


async def test_closing_a_session_of_a_stopped_gateway_raises_no_error(server: FakeGateway, client: Any) -> None:
    session = await settled(client.open_session(noisy_volume()))
    server.stop()
    await settled(session.close())
    assert "CloseSession" not in server.calls


async def test_closing_a_session_after_its_client_raises_no_error(server: FakeGateway, client: Any) -> None:
    session = await settled(client.open_session(noisy_volume(), model="annotation"))
    await settled(client.close())
    await settled(session.close())
    assert "CloseSession" not in server.calls


async def test_closing_a_session_raises_no_error_of_the_gateway(server: FakeGateway, client: Any) -> None:
    server.failures["CloseSession"] = errors.InternalError("torn")
    session = await settled(client.open_session(noisy_volume()))
    await settled(session.close())
    assert server.calls[-1] == "CloseSession"


def test_leaving_the_block_closes_session_and_channel(server: FakeGateway) -> None:
    with Client(server.address) as client, client.open_session(noisy_volume()):
        assert "CloseSession" not in server.calls
    assert server.calls[-1] == "CloseSession"
    with pytest.raises(ValueError, match="closed channel"):
        client.models()


async def test_leaving_the_asynchronous_block_closes_session_and_channel(server: FakeGateway) -> None:
    async with AsyncClient(server.address) as client, await client.open_session(noisy_volume()):
        assert "CloseSession" not in server.calls
    assert server.calls[-1] == "CloseSession"
    with pytest.raises(grpc.aio.UsageError):
        await client.models()


async def test_an_error_inside_the_block_still_closes_the_session(server: FakeGateway) -> None:
    with (
        pytest.raises(RuntimeError, match="mine"),
        Client(server.address) as client,
        client.open_session(noisy_volume()),
    ):
        raise RuntimeError("mine")
    assert server.calls[-1] == "CloseSession"
